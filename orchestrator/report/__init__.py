"""The report: one self-contained page of what a run found, made from what its stages say, and three tables.

`claims` has a verdict for each statement of the paper, `anchors` the best published numbers beside the run's,
`key_numbers` the main ones beside the paper's. Of other images than the paper's there is only the last.
"""

import base64
import hashlib
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from pathlib import PurePosixPath
from typing import Any

import jinja2
import pandas as pd
import pyarrow as pa

from orchestrator.claims import EVIDENCE, judged, rules_version
from orchestrator.claims.anchors import anchored
from orchestrator.engine.manifest import Manifest
from orchestrator.engine.results import NO_TABLE, Run, as_frame
from orchestrator.engine.settings import RunSettings
from orchestrator.engine.shown import shown_lines
from orchestrator.engine.suite import Suite
from orchestrator.engine.tables import STAGES, as_parquet
from orchestrator.figures.names import NAMES, in_words
from orchestrator.report import sections, words
from orchestrator.report.key_numbers import key_numbers, sentences
from orchestrator.report.schemas import ANCHORS, CLAIMS, KEY_NUMBERS
from orchestrator.report.words import VERDICTS

PROGRAM = "python -m orchestrator.run"
LARGEST = 1_000_000
"""Bytes of a table that is published; those with a row for each test image are left to the run."""


def report(suite: Suite, run: Run, manifest: Manifest, mixture: Sequence[str]) -> Mapping[str, bytes]:
    """The files of the report, of what there is by now: its three tables, and report.html.

    Of a stage that has begun, scale and settings are those that it was done with. `mixture` are sentences that say in
    which code, packages or devices the results differ.
    """
    tables = _tables(suite, run, manifest)
    settings = {name: suite.as_told(entry.settings) for name, entry in manifest.stages.items()}
    last: Any = suite.as_told(manifest.settings) or suite.preset(suite.full)
    reduced = {stage.name: _less(suite, stage.name, settings.get(stage.name, last)) for stage in suite.stages}
    flags = {table: stage.flag for stage in suite.stages if stage.flag for table in stage.schemas}
    scales = _scales(manifest, reduced)
    papers = all(told.data.is_papers for told in (*settings.values(), last) if told)
    rows: dict[str, tuple[pa.Schema, list[dict[str, Any]]]] = {
        "claims": (CLAIMS, judged(tables, scales, flags) if papers else []),
        "anchors": (ANCHORS, list(anchored(tables, scales)) if papers else []),
        "key_numbers": (KEY_NUMBERS, list(key_numbers(tables, scales, papers=papers))),
    }
    files = {
        f"tables/{name}.parquet": as_parquet(columns, of, manifest.attributes(name, ""))
        for name, (columns, of) in rows.items()
        if papers or of
    }
    shown = [section for stage in suite.stages if (section := sections.section(stage, tables, run, manifest))]
    owners = {table: stage.name for stage in suite.stages for table in stage.schemas}
    claims = _claims(rows["claims"][1], owners, {section["id"] for section in shown})
    for section in shown:
        section["claims"] = [claim for claim in claims if claim["sections"][:1] == [section["id"]]]
    shown += _appendix(suite, manifest, rows["anchors"][1])
    script = _template("page.js").render()
    page = _template("report.html.j2").render(
        manifest=manifest,
        papers=papers,
        data=last.data,
        names=NAMES | {"Classes": dict(enumerate(last.data.class_names))},
        largest=LARGEST // 10**6,
        found=list(sentences(tables)),
        numbers=_numbers(rows["key_numbers"][1], owners),
        sections=shown,
        claims=_by_verdict(claims),
        rules_version=rules_version(),
        whole={name: sections.described(name, sections.framed(*of), of[0]) for name, of in rows.items()},
        evidence=_counts(claims, EVIDENCE),
        protocol=_counts(claims, ("protocol",)),
        facts=_facts(suite, manifest, {name: told for name, told in settings.items() if told} or {"": last}),
        mixture=mixture,
        absent={it.name: it.absent(last) for it in suite.stages if not it.flag and it.absent(last)},
        in_full=f"{PROGRAM} {suite.typed(suite.in_full(last))}",
        missing=[stage.name for stage in suite.wanted(last) if stage.name not in manifest.stages],
        reduced=list(dict.fromkeys(line for lines in reduced.values() for line in lines)),
        script=script,
        script_hash=base64.b64encode(hashlib.sha256(script.encode()).digest()).decode(),
    )
    return files | {"report.html": page.encode()}


def _template(name: str) -> jinja2.Template:
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("orchestrator"),
        autoescape=jinja2.select_autoescape(enabled_extensions=("j2",), default=False),
        trim_blocks=True,
        lstrip_blocks=True,
        finalize=lambda value: type(value)(shown_lines(value)) if isinstance(value, str) else value,
    )
    environment.globals["verdicts"] = VERDICTS
    environment.policies["json.dumps_kwargs"] = {}  # in the order that is given, which the first choice goes by
    return environment.get_template(name)


def _claims(rows: Sequence[dict[str, Any]], owners: Mapping[str, str], there: set[str]) -> list[dict[str, Any]]:
    """Claims as the page has them, each with a name for links, and the sections of what it is judged by."""
    times, told = Counter(claim["claim"] for claim in rows), []
    seen: Counter[int] = Counter()
    for claim in rows:
        number = claim["claim"]
        seen[number] += 1
        mark = f"-{seen[number]}" if times[number] > 1 else ""
        stages = dict.fromkeys(owners.get(table, "") for table in (claim["evidence"] or "").split(", "))
        more = {"id": f"claim-{number}{mark}", "sections": [stage for stage in stages if stage in there]}
        more |= {it: in_words(claim[it]) for it in ("quantity", "reading", "reason") if claim[it]}
        told.append(claim | more | {"told": words.measured(claim), "tested": words.tested(claim)})
    return told


def _by_verdict(claims: Sequence[dict[str, Any]]) -> dict[str, tuple[str, list[dict[str, Any]]]]:
    """Of each verdict that there is how many have it, and which; those of evidence first, which the bar counts."""
    kinds = {"": EVIDENCE, " of the protocol": ("protocol",), " definitions or opinions": ("definition", "opinion")}
    found = {}
    for name in VERDICTS:
        own = {
            said: [it for it in claims if it["verdict"] == name and it["kind"] in of] for said, of in kinds.items()
        }
        numbers = [f"{len(of)}{said}" for said, of in own.items() if of]
        if numbers:
            found[name] = (
                ", and ".join(numbers) if own[""] else numbers[0].split()[0],
                [it for of in own.values() for it in of],
            )
    return found


def _counts(claims: Sequence[dict[str, Any]], kinds: Sequence[str]) -> dict[str, int]:
    """How many claims of some kinds have each verdict."""
    number = Counter(claim["verdict"] for claim in claims if claim["kind"] in kinds)
    return {verdict: number[verdict] for verdict in VERDICTS if number[verdict]}


def _numbers(rows: Sequence[dict[str, Any]], owners: Mapping[str, str]) -> list[dict[str, Any]]:
    """The key numbers that the run has, as the page has them."""
    return [
        row | {"told": words.interval(row["ours"], row["low"], row["high"]), "section": owners[row["evidence"]]}
        for row in rows
        if row["ours"] is not None
    ]


def _appendix(suite: Suite, manifest: Manifest, anchors: Sequence[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    """Sections that no stage made."""
    if any(anchor["ours"] is not None for anchor in anchors):
        line = "The best that others published, all of them, met or missed."
        yield sections.of_rows("anchors", "Published numbers beside ours", ANCHORS, anchors, line)
    known = [stage.name for stage in suite.stages if stage.name in manifest.stages]
    if known:
        rows = [{"stage": name, **manifest.stages[name].row()} for name in known]
        yield sections.of_rows("stages", "What it took", STAGES, rows)


def _less(suite: Suite, stage: str, settings: RunSettings | None) -> list[str]:
    """What of a stage is less than the paper's scale."""
    return (
        ["settings that this program does not know"] if settings is None else suite.reduced(settings).get(stage, [])
    )


def _facts(suite: Suite, manifest: Manifest, settings: Mapping[str, Any]) -> dict[str, str]:
    """When, how and with what the results were made; where that is not the same for all, with the stages."""
    entries = manifest.stages
    begun = sorted(datetime.fromisoformat(entry.started) for entry in entries.values())
    hours = sum(entry.training_seconds for entry in entries.values()) / 3600
    facts: dict[str, dict[str, Iterable[str]]] = {
        "Preset": {name: [f"{told.preset}, seed {told.seed}"] for name, told in settings.items()},
        "Command": {name: [f"{PROGRAM} {suite.typed(told)}"] for name, told in settings.items()},
        "Images": {
            name: [f"{told.data.name}, {told.data.num_train:,} training and {told.data.num_test:,} test images"]
            for name, told in settings.items()
        },
        "Begun": {"": [f"{begun[0]:%Y-%m-%d %H:%M}, last stage {begun[-1]:%Y-%m-%d %H:%M} UTC"] if begun else []},
        "Trainings": {"": [f"{sum(len(it.records) for it in entries.values())}, {hours:.2g} hours, added up"]},
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


def _scales(manifest: Manifest, reduced: Mapping[str, list[str]]) -> dict[str, str]:
    """full or reduced, by table."""
    return {
        PurePosixPath(name).stem: "reduced" if reduced.get(stage) else "full"
        for stage, entry in manifest.stages.items()
        for name in entry.files
        if name.startswith("tables/")
    }
