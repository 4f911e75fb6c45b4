"""docs/tables.md is of the schemas that there are, and has every table."""

from orchestrator.dictionary import lines
from tests.command import REPOSITORY
from tests.orchestrator.test_tables import TABLES


def test_the_page_of_tables_is_current() -> None:
    page = (REPOSITORY / "docs" / "tables.md").read_text()
    assert page == "\n".join(lines()) + "\n", "make docs writes it anew"
    for name, schema in TABLES.items():
        assert f"\n## {name}\n" in page
        assert len(page.split(f"\n## {name}\n")[1].split("\n## ")[0].strip().splitlines()) == 4 + len(schema)
