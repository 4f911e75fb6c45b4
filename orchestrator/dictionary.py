"""docs/tables.md: every table of a run with its columns, from their schemas (`make docs`)."""

from collections.abc import Iterator

from orchestrator.engine.tables import STAGES, described
from orchestrator.paper import STAGES as EXPERIMENTS
from orchestrator.report.schemas import ANCHORS, CLAIMS, KEY_NUMBERS

HEAD = """# Tables

Every table of a run, by the stage that writes it, with its columns. Made of the schemas by `make docs`. The files are
`tables/NAME.parquet`; each column says the same there, and `Run("runs/laptop").describe("folds")` shows it."""
WRITERS = {stage.name: stage.schemas for stage in EXPERIMENTS}
WRITERS |= {
    "the report": {"claims": CLAIMS, "anchors": ANCHORS, "key_numbers": KEY_NUMBERS},
    "every stage": {"stages": STAGES},
}


def lines() -> Iterator[str]:
    """The page's lines."""
    yield HEAD
    for writer, schemas in WRITERS.items():
        for name, schema in schemas.items():
            yield f"\n## {name}\n\nWritten by {writer}.\n"
            yield "| column | type | unit | description |\n| --- | --- | --- | --- |"
            for column in described(schema):
                yield f"| {' | '.join(text.replace('|', chr(92) + '|') for text in column.values())} |"


if __name__ == "__main__":
    print("\n".join(lines()))
