"""The report: one self-contained page of what a run found, made from what its stages say, and the table claims."""

import base64
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import PurePosixPath
from typing import Any

import jinja2
import pandas as pd
import pyarrow as pa

from orchestrator.claims import EVIDENCE, judged
from orchestrator.claims.anchors import anchored
from orchestrator.engine.manifest import Manifest, StageState
from orchestrator.engine.results import NO_TABLE, Run, as_frame
from orchestrator.engine.settings import RunSettings
from orchestrator.engine.shown import shown_lines
from orchestrator.engine.stage import Stage
from orchestrator.engine.suite import Suite
from orchestrator.engine.tables import BOOL, CATEGORY, FLOAT, INT, STAGES, TEXT, Rows, as_parquet, column, schema
from orchestrator.statistics.intervals import LEVEL

CLAIMS = schema(
    column("claim", INT, "in the order of the paper's text"),
    column("reading", TEXT, "which of several readings of the statement, where it can be read in several ways"),
    column("kind", CATEGORY, "definition, protocol, measurement, cause or opinion"),
    column("statement", TEXT, "what the paper says"),
    column("paper", TEXT, "its number or word; (a) from its author's repository"),
    column("quantity", TEXT, "what is measured, with its unit"),
    column("measured", FLOAT, "the quantity in this run"),
    column("low", FLOAT, "lower end of its 95 % interval, or of a range"),
    column("high", FLOAT, "upper end of it"),
    column("interval", CATEGORY, "t, bootstrap, F, chi_squared; range: from the least to the greatest; none"),
    column("n", INT, "observations that it is of: seeds, folds, images"),
    column("p", FLOAT, "p value of the test that the verdict follows from, two-sided"),
    column("p_holm", FLOAT, "the same after Holm's correction over all tests of measurements and causes"),
    column("smallest_effect", FLOAT, "distance from its bound that the test would have seen with a power of 80 %"),
    column("threshold", FLOAT, "a bound of the rule that somebody had to choose"),
    column("sensitivity", TEXT, "what half and twice the threshold would have made of the verdict; none: the same"),
    column("seconds", FLOAT, "the time that the claim is about", "s"),
    column(
        "verdict",
        CATEGORY,
        "supported, partly, contradicted, inconclusive or not_tested; of a protocol followed, partly_followed or "
        "not_followed",
    ),
    column("scale", CATEGORY, "full, or reduced where what it is judged by is other than the paper's"),
    column("reason", TEXT, "the rule of the verdict, and what else is to be known"),
    column("evidence", TEXT, "tables that it is judged by"),
    column("rules_version", TEXT, "number of the rules, and hash of their code"),
)

ANCHORS = schema(
    column("quantity", TEXT, "what was measured"),
    column("published", FLOAT, "the best number that others published"),
    column("source", TEXT, "where"),
    column("better", CATEGORY, "whether lower or higher is better"),
    column("ours", FLOAT, "the same in this run, mean over seeds; missing where the run has none"),
    column("difference", FLOAT, "ours less the published one"),
    column("met", BOOL, "whether ours is as good"),
    column("scale", CATEGORY, "full, or reduced where ours is of settings other than the paper preset's"),
    column("evidence", TEXT, "table that ours is from"),
)


def report(suite: Suite, run: Run, manifest: Manifest, mixture: Sequence[str]) -> Mapping[str, bytes]:
    """The files tables/claims.parquet, tables/anchors.parquet and report.html, of what there is by now.

    Of a stage that has begun, scale and settings are those that it was done with. `mixture` are sentences that say in
    which code, packages or devices the results differ.
    """
    tables = _tables(suite, run, manifest)
    settings = {name: suite.as_told(entry.settings) for name, entry in manifest.stages.items()}
    last = suite.as_told(manifest.settings) or suite.preset(suite.full)
    reduced = {stage.name: _less(suite, stage.name, settings.get(stage.name, last)) for stage in suite.stages}
    flags = {table: stage.flag for stage in suite.stages if stage.flag for table in stage.schemas}
    scales = _scales(manifest, reduced)
    anchors = list(anchored(tables, scales))
    claims = judged(tables, scales, flags)
    sections = [section for stage in suite.stages if (section := _section(stage, tables, run, manifest))]
    if any(anchor["ours"] is not None for anchor in anchors):
        title, line = "Published numbers beside ours", "The best that others published, all of them, met or missed."
        sections.append(_of_rows("anchors", title, ANCHORS, anchors, line))
    known = [stage.name for stage in suite.stages if stage.name in manifest.stages]
    if known:
        rows = [{"stage": name, **manifest.stages[name].row()} for name in known]
        sections.append(_of_rows("stages", "What it took", STAGES, rows))
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("orchestrator"),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        finalize=lambda value: type(value)(shown_lines(value)) if isinstance(value, str) else value,
    )
    less = list(dict.fromkeys(line for lines in reduced.values() for line in lines))
    page = environment.get_template("report.html.j2").render(
        manifest=manifest,
        sections=sections,
        claims=[claim | {"measured": _measured(claim), "tested": _tested(claim)} for claim in claims],
        verdicts=Counter(claim["verdict"] for claim in claims if claim["kind"] in EVIDENCE).most_common(),
        followed=Counter(claim["verdict"] for claim in claims if claim["kind"] == "protocol").most_common(),
        facts=_facts(manifest, {name: told for name, told in settings.items() if told} or {"": last}),
        mixture=mixture,
        reduced=f"This run used {', '.join(less)}." if less else "",
    )
    table = as_parquet(CLAIMS, claims, manifest.attributes("claims", ""))
    return {
        "tables/claims.parquet": table,
        "tables/anchors.parquet": as_parquet(ANCHORS, anchors, manifest.attributes("anchors", "")),
        "report.html": page.encode(),
    }


def _less(suite: Suite, stage: str, settings: RunSettings | None) -> list[str]:
    """What of a stage is less than the paper's scale."""
    return (
        ["settings that this program does not know"] if settings is None else suite.reduced(settings).get(stage, [])
    )


def _facts(manifest: Manifest, settings: Mapping[str, Any]) -> dict[str, str]:
    """What the results were made with; where that is not the same for all, with the stages."""
    entries = manifest.stages
    facts: dict[str, dict[str, Iterable[str]]] = {
        "Preset": {name: [f"{told.preset}, seed {told.seed}"] for name, told in settings.items()},
        "Images": {
            name: [f"FashionMNIST, {told.data.num_train:,} training and {told.data.num_test:,} test images"]
            for name, told in settings.items()
        },
        "Trained on": {name: (it.device for it in entry.trained) for name, entry in entries.items()},
        "Hosts": {name: (it.host for it in (*entry.trained, entry.made)) for name, entry in entries.items()},
        "Packages": {
            name: (", ".join(map(" ".join, it.versions.items())) for it in (*entry.trained, entry.made))
            for name, entry in entries.items()
        },
        "Code": {name: (it.code for it in (*entry.trained, entry.made)) for name, entry in entries.items()},
    }
    lines = {}
    for label, values in facts.items():
        stages: dict[str, list[str]] = {}
        for value, name in dict.fromkeys((value, name) for name, own in values.items() for value in own if value):
            stages.setdefault(value, []).append(name)
        several = len(stages) > 1
        parts = [f"{value} ({', '.join(names)})" if several else value for value, names in stages.items()]
        lines[label] = "; ".join(parts) or "unknown"
    return lines


def _tables(suite: Suite, run: Run, manifest: Manifest) -> dict[str, pd.DataFrame]:
    """What the stages wrote; a file that is no longer that, or that none of them wrote, is not looked at."""
    schemas = {f"tables/{name}.parquet": stage.schemas[name] for stage in suite.stages for name in stage.schemas}
    written = [file for entry in manifest.stages.values() for file in entry.files.items()]
    files = {name: content for name, content in written if name in schemas}
    contents, tables = run.as_written(files), {}
    for name in files:
        try:
            tables[PurePosixPath(name).stem] = as_frame(contents[name], schemas[name])
        except NO_TABLE:
            run.say(f"{name} is damaged or missing; the report does without it")
    return tables


def _section(
    stage: Stage[Any, Any], tables: Mapping[str, pd.DataFrame], run: Run, manifest: Manifest
) -> dict[str, Any] | None:
    """What a stage has to show; None where that is nothing."""
    there = [name for name in stage.shown if name in tables and len(tables[name])]
    shown = [_table(name, tables[name], stage.schemas[name]) for name in there]
    entry = manifest.stages.get(stage.name)
    figures = _figures(entry, run) if entry else []
    if not shown and not figures:
        return None
    text = list(stage.findings(tables)) if stage.schemas.keys() <= tables.keys() and shown else []
    return {"name": stage.name, "title": stage.title or stage.name, "text": text, "tables": shown, "figures": figures}


def _of_rows(name: str, title: str, columns: pa.Schema, rows: Rows, *text: str) -> dict[str, Any]:
    """A section of one table that no stage made."""
    table = _table(name, as_frame(as_parquet(columns, rows, {})), columns)
    return {"name": name, "title": title, "text": text, "tables": [table], "figures": []}


def _figures(entry: StageState, run: Run) -> list[dict[str, str]]:
    """What a stage drew, as pixels; a file that is no longer that is left out."""
    drawn = [(name, kind) for name in entry.captions for kind in ("png", "gif")]
    files = {file: entry.files[file] for name, kind in drawn if (file := f"figures/{name}.{kind}") in entry.files}
    contents = run.as_written(files)
    return [
        {"caption": entry.captions[name], "kind": kind, "content": base64.b64encode(contents[file]).decode()}
        for name, kind in drawn
        if (file := f"figures/{name}.{kind}") in contents
    ]


def _measured(claim: dict[str, Any]) -> str:
    """What was measured, with its interval, as people write it."""
    if claim["measured"] is None:
        return "" if claim["seconds"] is None else f"{claim['seconds']:.3g} s"
    low, high = claim["low"], claim["high"]
    if low is None or low == high:
        return _cell(claim["measured"])
    word = "range " if claim["interval"] == "range" else ""
    return f"{_cell(claim['measured'])} ({word}{_cell(low)} to {_cell(high)})"


def _tested(claim: dict[str, Any]) -> str:
    """How many observations there were, and what the test and another threshold say, as people write it."""
    told = []
    if claim["n"] is not None:
        told.append(f"n = {claim['n']:,}")
    if claim["p"] is not None:
        among = "" if claim["p_holm"] is None else f", among all tests {_p(claim['p_holm'])}"
        told.append(f"p {_p(claim['p'])}{among}")
    if (claim["p"] or 0) >= LEVEL and claim["smallest_effect"] is not None:
        told.append(f"smallest effect that would have been seen {_cell(claim['smallest_effect'])}")
    if claim["sensitivity"] not in (None, "none"):
        told.append(f"threshold {_cell(claim['threshold'])}; {claim['sensitivity']}")
    return "; ".join(told)


def _p(value: float) -> str:
    return "< 0.0001" if value < 1e-4 else f"= {value:.2g}"


def _scales(manifest: Manifest, reduced: Mapping[str, list[str]]) -> dict[str, str]:
    """full or reduced, by table."""
    return {
        PurePosixPath(name).stem: "reduced" if reduced.get(stage) else "full"
        for stage, entry in manifest.stages.items()
        for name in entry.files
        if name.startswith("tables/")
    }


def _table(name: str, table: pd.DataFrame, columns: Any) -> dict[str, Any]:
    """A table as the template wants it, without columns that are empty throughout."""
    table = table.dropna(axis="columns", how="all")
    described = {field.name: (field.metadata or {}).get(b"description", b"").decode() for field in columns}
    rows = [[_cell(value) for value in row] for row in table.itertuples(index=False, name=None)]
    return {
        "name": name,
        "columns": [{"name": column, "description": described.get(str(column), "")} for column in table.columns],
        "rows": rows,
    }


def _cell(value: Any) -> str:
    if value is None or (not isinstance(value, str) and pd.isna(value)):
        return "–"
    if isinstance(value, pd.Timestamp):
        return f"{value:%Y-%m-%d %H:%M:%S}"
    if isinstance(value, float):
        return f"{value:.0f}" if value.is_integer() and abs(value) < 1e6 else f"{value:.4g}"
    return str(value)
