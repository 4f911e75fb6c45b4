"""Tables load in plain pandas, tidy and typed, and say where they are from and what their columns mean."""

import io
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from orchestrator.engine.manifest import SCHEMA_VERSION, Manifest
from orchestrator.engine.results import Run, pooled
from orchestrator.engine.tables import CATEGORY, STAGES, Row, as_parquet, to_arrow
from orchestrator.paper import suite
from orchestrator.report.schemas import ANCHORS, CLAIMS, KEY_NUMBERS

TABLES = {name: schema for stage in suite().stages for name, schema in stage.schemas.items()}
TABLES |= {"stages": STAGES, "claims": CLAIMS, "anchors": ANCHORS, "key_numbers": KEY_NUMBERS}
MANIFEST = Manifest(name="mine", data_checksum="c0ffee", preset="smoke", seed=7)


def made_up(field: pa.Field, number: int) -> object:
    """A value of a column's type."""
    if pa.types.is_timestamp(field.type):
        return datetime(2026, 1, 1 + number, tzinfo=UTC)
    if pa.types.is_boolean(field.type):
        return number % 2 == 0
    if pa.types.is_floating(field.type):
        return 1 / (number + 3)
    if pa.types.is_integer(field.type):
        return number
    return f"text {number % 2}"


def made_up_rows(name: str, num_rows: int = 3) -> list[Row]:
    return [{field.name: made_up(field, number) for field in TABLES[name]} for number in range(num_rows)]


def written(folder: Path, name: str, rows: list[Row]) -> Path:
    """The file of a table."""
    run = Run(folder)
    run.write(f"tables/{name}.parquet", as_parquet(TABLES[name], rows, MANIFEST.attributes(name, "f1n6e2")))
    return Path(run.path(f"tables/{name}.parquet"))


def dtype_of(field: pa.Field) -> str:
    """What pandas should make of a column without missing values."""
    if field.type == CATEGORY:
        return "category"
    return {
        pa.timestamp("us", tz="UTC"): "datetime64[us, UTC]",
        pa.bool_(): "bool",
        pa.int64(): "int64",
        pa.float64(): "float64",
        pa.string(): "str",
    }[field.type]


@pytest.mark.parametrize("name", TABLES)
def test_plain_pandas_reads_rows_types_and_no_index_column(tmp_path: Path, name: str) -> None:
    rows = made_up_rows(name)
    table = pd.read_parquet(written(tmp_path, name, rows))
    assert list(table.columns) == TABLES[name].names
    assert isinstance(table.index, pd.RangeIndex)
    assert {column: str(dtype) for column, dtype in table.dtypes.items()} == {
        field.name: dtype_of(field) for field in TABLES[name]
    }
    assert table.to_dict("records") == rows


@pytest.mark.parametrize("name", TABLES)
def test_a_table_without_rows_has_the_same_columns_and_types(tmp_path: Path, name: str) -> None:
    table = pd.read_parquet(written(tmp_path, name, []))
    assert table.empty
    assert {column: str(dtype) for column, dtype in table.dtypes.items()} == {
        field.name: dtype_of(field) for field in TABLES[name]
    }


@pytest.mark.parametrize("name", TABLES)
def test_a_table_says_which_run_it_is_from(tmp_path: Path, name: str) -> None:
    path = written(tmp_path, name, made_up_rows(name))
    origin = {
        "table": name,
        "run": "mine",
        "preset": "smoke",
        "seed": 7,
        "schema_version": SCHEMA_VERSION,
        "fingerprint": "f1n6e2",
    }
    assert pd.read_parquet(path).attrs == origin
    metadata = pq.read_schema(path).metadata
    assert {key: metadata[key.encode()].decode() for key in origin} == {key: str(v) for key, v in origin.items()}


@pytest.mark.parametrize("name", TABLES)
def test_every_column_says_in_the_file_what_it_is_and_measurements_their_unit(tmp_path: Path, name: str) -> None:
    for field in pq.read_schema(written(tmp_path, name, made_up_rows(name))):
        assert field.metadata[b"description"].strip(), field.name
        if field.name.endswith("seconds"):
            assert field.metadata[b"unit"] == b"s", field.name
        if field.name.endswith("_mse"):
            assert b"squared pixel value" in field.metadata[b"unit"], field.name


@pytest.mark.parametrize("name", TABLES)
def test_columns_are_lower_case_words_and_measurements_64_bit_floats(name: str) -> None:
    for field in TABLES[name]:
        assert field.name.isidentifier(), field.name
        assert field.name == field.name.lower(), field.name
        if field.name.endswith(("_mse", "seconds", "_loss", "_accuracy")):
            assert field.type == pa.float64(), field.name


def test_losses_keep_every_bit(tmp_path: Path) -> None:
    losses = [0.1 + 0.2, np.nextafter(0.02, 1), 5e-324]
    rows = [row | {"val_mse": loss} for row, loss in zip(made_up_rows("trial_epochs"), losses, strict=True)]
    assert pd.read_parquet(written(tmp_path, "trial_epochs", rows))["val_mse"].tolist() == losses


def test_missing_values_are_missing_and_keep_the_type_of_losses_and_categories(tmp_path: Path) -> None:
    first, *others = made_up_rows("trials")
    spoilt = first | {"val_mse": None, "error": None, "state": None}
    table = pd.read_parquet(written(tmp_path, "trials", [spoilt, *others]))
    assert table[["val_mse", "error", "state"]].isna().sum(axis=1).tolist() == [3, 0, 0]
    assert (str(table["val_mse"].dtype), str(table["state"].dtype)) == ("float64", "category")


@pytest.mark.parametrize("name", TABLES)
def test_a_row_with_a_column_too_few_or_too_many_is_refused(name: str) -> None:
    first, *others = made_up_rows(name)
    lacking = dict(list(first.items())[1:])
    for row in (lacking, first | {"colour": "red"}, lacking | {"colour": "red"}, {}):
        with pytest.raises(AssertionError):
            to_arrow(TABLES[name], [*others, row], {})


def test_columns_give_the_table_that_rows_give() -> None:
    rows = made_up_rows("trials")
    columns = {column: [row[column] for row in rows] for column in rows[0]}
    assert to_arrow(TABLES["trials"], columns, {"run": "mine"}).equals(
        to_arrow(TABLES["trials"], rows, {"run": "mine"}), check_metadata=True
    )
    with pytest.raises(AssertionError):
        to_arrow(TABLES["trials"], columns | {"colour": ["red"] * 3}, {})
    with pytest.raises(AssertionError):
        to_arrow(TABLES["trials"], {name: values for name, values in columns.items() if name != "trial"}, {})


def test_a_run_gives_the_tables_that_pandas_reads(tmp_path: Path) -> None:
    paths = {name: written(tmp_path, name, made_up_rows(name)) for name in ("trials", "folds")}
    run = Run(tmp_path)
    assert set(run.tables()) == set(paths)
    for name, path in paths.items():
        pd.testing.assert_frame_equal(run.table(name), pd.read_parquet(path))
        assert run.table(name).attrs == pd.read_parquet(path).attrs


def test_writing_a_table_again_replaces_it(tmp_path: Path) -> None:
    written(tmp_path, "trials", made_up_rows("trials", 3))
    written(tmp_path, "trials", made_up_rows("trials", 2))
    assert len(Run(tmp_path).table("trials")) == 2


def test_the_same_rows_give_the_same_file(tmp_path: Path) -> None:
    one, other = (written(tmp_path / name, "trials", made_up_rows("trials")) for name in ("one", "other"))
    assert one.read_bytes() == other.read_bytes()


def test_a_table_survives_a_round_through_pandas_with_its_origin(tmp_path: Path) -> None:
    table = pd.read_parquet(written(tmp_path, "trials", made_up_rows("trials")))
    again = io.BytesIO()
    table.to_parquet(again)
    assert pd.read_parquet(again).attrs == table.attrs


@pytest.mark.parametrize("name", TABLES)
def test_tables_of_several_runs_are_pooled_into_one_with_their_types(tmp_path: Path, name: str) -> None:
    texts = [field.name for field in TABLES[name] if field.type == CATEGORY]
    places = [str(tmp_path / run) for run in ("one", "other", "empty")]
    for number, place in enumerate(places):
        rows = [dict(row) for row in made_up_rows(name, num_rows=3 - 3 * (number == 2))]
        for row in rows:
            row.update({text: f"of {number}" for text in texts})
        written(Path(place), name, rows)
    table, alone = pooled(places, name), Run(places[0]).table(name)
    assert list(table.columns) == ["run", *alone.columns]
    assert list(table["run"]) == [places[0]] * 3 + [places[1]] * 3
    for column in alone:
        assert table[column].dtype.name == alone[column].dtype.name, column
    for text in texts:
        assert list(table[text]) == ["of 0"] * 3 + ["of 1"] * 3
