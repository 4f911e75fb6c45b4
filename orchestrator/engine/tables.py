"""Tables as Parquet: a schema each, every column with a description and, where it has one, a unit."""

import io
import json
from collections.abc import Mapping, Sequence
from typing import Any

import pyarrow as pa

Row = Mapping[str, Any]
Rows = Sequence[Row] | Mapping[str, Any]
"""One dictionary for each row or, where they are many, one dictionary of columns."""

CATEGORY = pa.dictionary(pa.int32(), pa.string())
TEXT, INT, FLOAT, BOOL = pa.string(), pa.int64(), pa.float64(), pa.bool_()


def column(name: str, kind: pa.DataType, description: str, unit: str = "") -> pa.Field:
    """A column of a table, that says in the file what it is."""
    return pa.field(name, kind, metadata={"description": description} | ({"unit": unit} if unit else {}))


def schema(*columns: pa.Field) -> pa.Schema:
    """A table's columns."""
    return pa.schema(columns)


SECONDS = column("seconds", FLOAT, "time spent training and measuring", "s")
EPOCH = column("epoch", INT, "counted from 1")
EPOCHS = column("epochs", INT, "epochs that were finished")
SEED = column("seed", INT, "seed of the initial weights and of the batches' order")
TRIAL = column("trial", INT, "number of the trial in the study, from 0")
STATE = column("state", CATEGORY, "complete, pruned (stopped early by the scheduler) or failed")
ERROR = column("error", TEXT, "why it failed; missing where it did not")

STAGES = schema(
    column("stage", CATEGORY, "name of the stage"),
    column("state", CATEGORY, "done, failed, running or blocked (by a stage that it needs)"),
    column("started", pa.timestamp("us", tz="UTC"), "when it last started"),
    column("seconds", FLOAT, "wall time from its start to its tables, waiting for slots included", "s"),
    column("training_seconds", FLOAT, "time that its trainings took, added up", "s"),
    column("slots", INT, "trainings that could run at once"),
    column("fingerprint", TEXT, "hash of all that decides its outcome"),
    column("preset", CATEGORY, "preset of the command that did it"),
    column("seed", INT, "seed of the run, from which its trainings' seeds are counted"),
    column("commit", TEXT, "of the code that wrote its tables, with -dirty where that was changed since"),
    column("sources", TEXT, "hash of the code that did its trainings and tables; several where they differ"),
    column("versions", TEXT, "of the packages with which its tables were written"),
    column("device", TEXT, "GPU or processor on which it was trained; several where they differ"),
    column("host", TEXT, "machine on which it was trained; several where they differ"),
    column("error", TEXT, "why it failed; missing where it did not"),
)
"""The table stages, which the engine itself writes."""


def described(schema: pa.Schema) -> list[dict[str, str]]:
    """Of each column its name, type, unit and description, in words."""
    kinds = {CATEGORY: "category", TEXT: "text", INT: "integer", FLOAT: "float", BOOL: "boolean"}
    told = [(field, field.metadata or {}) for field in schema]
    return [
        {
            "column": field.name,
            "type": kinds.get(field.type, "time"),
            "unit": metadata.get(b"unit", b"").decode(),
            "description": metadata.get(b"description", b"").decode(),
        }
        for field, metadata in told
    ]


def to_arrow(schema: pa.Schema, rows: Rows, attributes: Mapping[str, Any]) -> pa.Table:
    """Rows as a table, with `attributes` in its schema metadata and as pandas' `df.attrs`.

    Every column of the schema is there and no other; None is a missing value.
    """
    for keys in [set(rows)] if isinstance(rows, Mapping) else map(set, rows):
        assert keys == set(schema.names), f"columns too many or too few: {sorted(keys ^ set(schema.names))}"
    metadata = {key: str(value) for key, value in attributes.items()}
    schema = schema.with_metadata(metadata | {"PANDAS_ATTRS": json.dumps(dict(attributes))})
    if isinstance(rows, Mapping):
        return pa.Table.from_arrays(
            [pa.array(rows[name]).cast(schema.field(name).type) for name in schema.names], schema=schema
        )
    return pa.Table.from_pylist([dict(row) for row in rows], schema=schema)


def as_parquet(schema: pa.Schema, rows: Rows, attributes: Mapping[str, Any]) -> bytes:
    """A table as a file that `pandas.read_parquet` reads; the same rows give the same bytes."""
    import pyarrow.parquet as pq

    content = io.BytesIO()
    pq.write_table(to_arrow(schema, rows, attributes), content)
    return content.getvalue()
