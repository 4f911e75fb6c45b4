"""A model's card: what it is, what it was trained on, how good it is, how it is loaded, what it is not good for."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from orchestrator.engine.folder import Damaged
from orchestrator.paper import suite
from orchestrator.stages.sections import Data

if TYPE_CHECKING:
    from orchestrator.results import Run

KINDS = {
    "Autoencoder": "An autoencoder: pixels in [0, 1], shape (batch, {shape}), to the same shape. "
    "`model.encode` gives latent vectors, `model.decode` takes them.",
    "Classifier": "A classifier: pixels in [0, 1], shape (batch, {shape}), to logits of the {classes} classes.",
    "Generator": "The generator of a GAN: vectors from N(0, I), shape (batch, latent_dim), to images in (-1, 1), "
    "shape (batch, {shape}).",
}
CARD = """---
license: mit
library_name: pytorch
datasets: [{source}]
---

# {name}

{what}

From the run {location}: preset {preset}, seed {seed}, commit {commit}.

## Trained on

{images}: {part} {num_train:,} training images, with these settings:

| setting | value |
| --- | --- |
{settings}

## Measured

Its row of the table {table}; what is said of test images is of {num_test:,}.

| measure | value | unit | what it is |
| --- | --- | --- | --- |
{measures}

## Loading

```python
from orchestrator import Run

model = Run("{location}").model("{name}")  # in evaluation mode
```

The weights are in `{name}.safetensors`, class and settings in `{name}.json`; nothing is unpickled.

## Limits

- It knows {known}.
- {scale}
{chosen}- On other devices, and exported, it gives the same numbers up to rounding.

## Licence

{licence}
"""
CHOSEN = (
    "- The test images chose some settings of the program (README.md names them), which flatters its test scores a "
    "little.\n"
)


def card(run: Run, name: str) -> str:
    """The card of one of a run's models, as Markdown; Damaged where its stage or tables are not there."""
    told = json.loads(run.read_model(name)[0])
    kind, settings, which = told["class"].rpartition(".")[2], told["settings"], {"seed": told["seed"]}
    if kind not in KINDS:  # the user's own
        kind = "Generator" if "own" in settings else "Autoencoder"
    if kind == "Autoencoder":
        table, which["model"] = "models", name
    elif kind == "Classifier":
        table, which = "classifiers", which | {key: settings[key] for key in ("input", "architecture")}
    else:
        table, which["loss"], which["arm"] = "gans", settings["loss"], name.split("_")[1]
    manifest = run.manifest()
    for stage, entry in manifest.stages.items() if manifest else ():
        if f"models/{name}.json" in entry.files and (own := suite().as_told(entry.settings)):
            less = suite().reduced(own)[stage]
            return CARD.format(
                name=name,
                **_about_images(own.data, kind),
                location=run.location,
                preset=own.preset,
                seed=told["seed"],
                commit=entry.made.commit or "unknown",
                part="the first five sixths of" if kind == "Generator" else "all of",
                settings="\n".join(f"| {key} | {value} |" for key, value in settings.items()),
                table=table,
                measures="\n".join(_measures(run, table, which, settings)),
                scale=f"Less than the paper's scale: {'; '.join(less)}." if less else "It is of the paper's scale.",
                num_train=own.data.num_train,
                num_test=own.data.num_test,
            )
    raise Damaged(f"{run.location}/manifest.json does not say how the model {name} was made")


def _about_images(data: Data, kind: str) -> dict[str, Any]:
    """What a card says of the images that a kind of model knows."""
    channels, height, width = data.shape
    classes = len(data.class_names)
    pictures = f"{'grey' if channels == 1 else 'colour'} pictures, {height} by {width} pixels, "
    told = {"what": KINDS[kind].format(shape=f"{channels}, {height}, {width}", classes=classes), "source": data.name}
    if data.is_papers:
        images = "FashionMNIST (Xiao, Rasul and Vollgraf 2017)"
        licence = "MIT, like the program's and FashionMNIST's."
        known = f"{pictures}of ten kinds of clothes"
        return told | {"images": images, "source": data.source, "licence": licence, "known": known, "chosen": CHOSEN}
    licence = "The program's is MIT; that of the images is their owner's to say."
    known = pictures + (f"of the classes {', '.join(data.class_names)}" if classes else "without labels")
    return told | {"images": data.name, "licence": licence, "known": known, "chosen": ""}


def _measures(run: Run, table: str, which: Mapping[str, Any], settings: Mapping[str, Any]) -> Iterator[str]:
    """A line for each measurement in the model's row of a table."""
    rows = run.table(table)
    for column, value in which.items():
        rows = rows[rows[column] == value]
    row: dict[Any, Any] = rows.to_dict("records")[0]
    for name, kind, unit, description in run.describe(table).itertuples(index=False):
        if kind == "float" and row[name] == row[name] and name.removeprefix("params_") not in settings:
            yield f"| {name} | {row[name]:.5g} | {unit} | {description} |"
