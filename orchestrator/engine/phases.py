"""In which order stages train: Tune's in one stream, and those that workers share, by turns."""

from collections.abc import Collection, Mapping, Sequence


def turns(needs: Mapping[str, Sequence[str]], shared: Collection[str]) -> dict[str, int]:
    """Of each stage, its turn: in even ones stages train with Ray Tune, in odd ones in groups of workers.

    A worker group wants several cores or a whole GPU, so that what it trains waits until other trainings are done.
    Stages come in an order in which needs come first; those are `shared` whose trials several workers train together.
    """
    turn: dict[str, int] = {}
    for stage, needed in needs.items():
        first = max((turn[name] for name in needed if name in turn), default=0)
        turn[stage] = first + (first % 2 != (stage in shared))
    return turn
