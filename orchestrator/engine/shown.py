"""How text that others wrote is shown, on a terminal and on the page: nothing in it acts; and tables of it."""

import contextlib
import io
import shutil
import sys
import textwrap
from collections.abc import Collection, Iterable, Iterator, Sequence
from itertools import zip_longest

STYLES = {
    **dict.fromkeys(("done", "complete"), "green"),
    **dict.fromkeys(("failed", "blocked"), "red"),
    **dict.fromkeys(("to do", "missing", "running", "unfinished"), "yellow"),
}
"""Colours of states in a terminal."""
WHOLE = 100_000
"""Columns of what is no terminal: each row is one line there."""
BELOW = "\ue000"
"""Stands in a table for the lines below a row; of nobody's text, since it is not printable."""


def shown(text: str) -> str:
    """A line with all written out that no person sees: control characters, line ends, what turns text round."""
    return text if text.isprintable() else "".join(map(_letter, text))


def shown_lines(text: str) -> str:
    """The same of a text of several lines."""
    return "\n".join(map(shown, text.splitlines()))


def in_a_line(error: BaseException) -> str:
    """An exception in one line: its class, and how its text begins."""
    return f"{type(error).__name__}: {' '.join(str(error).split())[:300]}"


def _letter(letter: str) -> str:
    return letter if letter.isprintable() else letter.encode("unicode_escape").decode()


def width() -> int:
    """Columns to print in."""
    return shutil.get_terminal_size().columns if sys.stdout.isatty() else WHOLE


def print_table(
    headings: Sequence[str],
    rows: Iterable[Sequence[str]],
    right: Collection[str] = (),
    below: Iterable[Sequence[str]] = (),
) -> None:
    """Print rows below headings, in a terminal folded to its width; elsewhere each is a line, whole.

    Args:
        headings: of the columns.
        rows: text for each column.
        right: headings of columns of numbers, which stand on the right and are not folded.
        below: of each row, lines that stand below it over all columns.
    """
    from rich.console import Console
    from rich.table import Column, Table
    from rich.text import Text

    columns = (
        Column(it, justify="right" if it in right else "left", no_wrap=it in right, overflow="fold")
        for it in headings
    )
    grid, further = Table(*columns, box=None, pad_edge=False), []
    for row, lines in zip_longest(rows, below, fillvalue=()):
        grid.add_row(*(Text(shown(it), STYLES.get(it, "")) for it in row))
        if lines:
            grid.add_row(BELOW)
            further.append(lines)
    console = Console(width=width())
    with console.capture() as captured:
        console.print(grid)
    lines_below = iter(further)
    for line in captured.get().splitlines():
        if line.startswith(BELOW):
            for text in next(lines_below):
                print(textwrap.fill(shown(text), width(), initial_indent="  ", subsequent_indent="    "))
        else:
            print(line.rstrip())


class Lossy(io.TextIOWrapper):
    """Text that drops what its disk does not take: nothing else may end for that. A reader that has gone is told."""

    dropped: OSError | None = None
    """Why some of it was."""

    def write(self, text: str) -> int:
        """As any stream does."""
        with self._dropping():
            return super().write(text)
        return len(text)

    def flush(self) -> None:
        """As any stream does."""
        with self._dropping():
            super().flush()

    @contextlib.contextmanager
    def _dropping(self) -> Iterator[None]:
        try:
            yield
        except BrokenPipeError:
            raise
        except OSError as error:
            self.dropped = error
