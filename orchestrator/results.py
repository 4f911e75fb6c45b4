"""A run's results for who goes on with them, in a notebook or a script: tables, verdicts, figures, models."""

from __future__ import annotations

import io
import json
from collections.abc import Iterable
from html import escape
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from orchestrator.engine import results
from orchestrator.engine.folder import Damaged, Folder
from orchestrator.engine.manifest import Manifest
from orchestrator.engine.records import Records
from orchestrator.engine.results import NO_TABLE, schema_of
from orchestrator.engine.settings import Tracker, UserError
from orchestrator.engine.tables import described
from orchestrator.engine.tracking import Tracking
from orchestrator.settings_file import similar

if TYPE_CHECKING:
    import pandas as pd
    from optuna import Study
    from PIL.Image import Image
    from torch import nn

FILES = {"tables": (".parquet",), "models": (".json",), "figures": (".png", ".gif")}
"""Endings of the files that tables, models and figures are in."""
NAMES = ("table", "tables", "describe", "claims", "study", "figure", "model", "card", "export", "track", "crate")
"""What completion offers of a run, beside where and how far it is; the rest of it is the engine's."""


class Run(results.Run):
    """The results of a run, by its folder: `Run("runs/laptop")` or `Run("s3://bucket/runs/paper")`.

    A table, figure or model that is not there is a FileNotFoundError that says which one was probably meant.
    """

    def __dir__(self) -> list[str]:
        return sorted((*NAMES, "location", "manifest", "path"))

    def __repr__(self) -> str:
        return "\n".join([f'Run("{self.location}")', *(f"  {label}: {text}" for label, text in self._parts())])

    def _repr_html_(self) -> str:
        rows = "".join(f"<tr><th>{label}</th><td>{escape(text)}</td></tr>" for label, text in self._parts())
        return f"<table><caption>{escape(self.location)}</caption>{rows}</table>"

    def _parts(self) -> Iterable[tuple[str, str]]:
        """What there is, in words; nothing that is damaged keeps the rest from being shown."""
        try:
            manifest = self.manifest()
        except (Damaged, UserError) as error:
            yield "manifest", str(error)
        else:
            if manifest:
                yield "settings", f"preset {manifest.preset}, seed {manifest.seed}"
                yield "stages", ", ".join(f"{name} {it.state}" for name, it in manifest.stages.items())
        for folder in FILES:
            yield folder, ", ".join(self._names(folder)) or "none"

    def _names(self, folder: str) -> list[str]:
        """Of the tables, models or figures that there are."""
        return sorted({PurePosixPath(path).stem for suffix in FILES[folder] for path in self.list(folder, suffix)})

    def _not_there(self, folder: str, name: str) -> FileNotFoundError:
        known = self._names(folder)
        there = similar(name, known) or f"; there are: {', '.join(known) or 'none'}"
        return FileNotFoundError(f"{self.location} has no {folder.removesuffix('s')} {name!r}{there}")

    def _read(self, folder: str, name: str, suffix: str) -> bytes:
        try:
            return self.read(f"{folder}/{name}{suffix}")
        except (FileNotFoundError, ValueError):
            raise self._not_there(folder, name) from None

    def table(self, name: str) -> pd.DataFrame:
        """A result table; its `attrs` name the run it is from. Damaged where it is none."""
        try:
            return super().table(name)
        except FileNotFoundError:
            raise self._not_there("tables", name) from None

    def describe(self, name: str) -> pd.DataFrame:
        """What the columns of a table are: a row for each, with its type, unit and description."""
        import pandas as pd

        content = self._read("tables", name, ".parquet")
        try:
            schema = schema_of(content)
        except NO_TABLE:
            raise Damaged(f"tables/{name}.parquet is no table of a run") from None
        return pd.DataFrame(described(schema))

    @property
    def claims(self) -> pd.DataFrame:
        """The paper's statements, each with its verdict (the table claims)."""
        return self.table("claims")

    def figure(self, name: str) -> Image:
        """A figure, as notebooks show it."""
        from PIL import Image

        suffix = ".png" if self.exists(f"figures/{name}.png") else ".gif"
        content = self._read("figures", name, suffix)
        return Image.open(io.BytesIO(content))

    def model(self, name: str, kind: type[nn.Module] | None = None) -> Any:
        """A trained model, in evaluation mode on the CPU; its `input_shape` says what it takes, the batch aside.

        Autoencoders and classifiers take pixels in [0, 1], generators random vectors from N(0, I). An autoencoder's
        `encode` and `decode` take NumPy arrays too: images, uint8 or in [0, 1], of shape (n, rows, columns) or
        (n, channels, rows, columns), to latent vectors, shape (n, latent_dim), and back.

        Nothing is unpickled, and of what the files name only the classes of `trainables.models` are ever built.

        Args:
            name: under models/.
            kind: the class, of a model of your own.

        Raises:
            UserError: the model is of another class of the user's own than `kind`.
            Damaged: the files are no model's.
        """
        from safetensors import SafetensorError

        from trainables.models import KINDS, own, restored, takes_arrays

        described, weights = self.read_model(name)
        try:
            told = json.loads(described)
            if ":" in told["class"]:
                kind = _same(kind, told["class"], f"{self.location}/models/{name}")
                return takes_arrays(own(kind, told["settings"], weights))
            of_kind, settings = KINDS[told["class"]]
            return takes_arrays(restored(of_kind, settings.model_validate(told["settings"]), weights))
        except (ValueError, TypeError, KeyError, RecursionError, ValidationError, SafetensorError, RuntimeError):
            raise Damaged(f"{self.location}/models/{name} is no model of this program, or is damaged") from None

    def read_model(self, name: str) -> tuple[bytes, bytes]:
        """What the two files of a model hold: its description as JSON, its weights as safetensors."""
        return self._read("models", name, ".json"), self._read("models", name, ".safetensors")

    def study(self, name: str = "search", kind: type[nn.Module] | None = None) -> Study:
        """A study as Optuna has it, made from the records as optuna.journal is; what is added to it is not kept.

        Args:
            name: search, or a loss whose GAN was tuned: minimax, non_saturating.
            kind: the class, of a search of a model of your own.

        Raises:
            UserError: what was searched is of another class of the user's own than `kind`.
            Damaged: the run's settings or a record are damaged.
        """
        from orchestrator.engine.book import Book
        from orchestrator.paper import suite
        from trainables.autoencoder_settings import OwnAutoencoder

        stage = "search" if name == "search" else "gan_search"
        manifest = self.manifest()
        studies: dict[str, Study] = {}
        if manifest and stage in manifest.stages:
            settings = suite().as_told(manifest.stages[stage].settings)
            book = settings and Book(suite(), settings, self, set_aside=False)
            if not book or stage not in book.stages:
                raise Damaged(f"{self.location}/manifest.json does not say how {stage} was done")
            done: Any = book.stages[stage]
            config = OwnAutoencoder if stage == "search" and settings.autoencoder.own else done.config
            addresses = manifest.stages[stage].records
            records = [book.records(stage).read(address, config, done.metric) for address in addresses]
            for record in records if config is OwnAutoencoder else ():
                _same(kind, record.config.model, f"{self.location}'s search")
            studies = done.studies(book.context(stage), records)
        if name not in studies:
            raise FileNotFoundError(
                f"{self.location} has no study {name!r}{similar(name, {'search', *studies} - {name})}"
            )
        return studies[name]

    def track(self, *trackers: Tracker, to: str | Path = "tracking") -> None:
        """Tell trackers ("tensorboard", "mlflow", "wandb") of the run's trainings; files go into the folder `to`.

        With `--track` a run tells them while it trains. UserError where a package is missing, or a server.
        """
        manifest = self._manifest()
        tracking = Tracking(trackers, manifest.name, str(Path(to).absolute()), self.say)
        with tracking.open():
            for stage, entry in manifest.stages.items():
                for address in entry.records:
                    told = self.read_json(Records(self, stage).name(address))
                    name = f"{stage}/{told['key']}"
                    tracking.started(name, told["config"] | {"seed": told["seed"]})
                    tracking.ended(name, told["epochs"], failed=told["state"] == "failed")

    def crate(self) -> Path:
        """Write ro-crate-metadata.json into the run folder, which is an RO-Crate then; where it lies.

        Raises:
            UserError: there is no run, or the package rocrate is missing.
        """
        from orchestrator.crate import NAME, crate

        try:
            self.write(NAME, crate(self._manifest()))
        except ModuleNotFoundError as error:
            extra = "pip install 'fashion-mnist-orchestrator[rocrate]'"
            raise UserError(f"the package {error.name} is not installed ({extra})") from None
        return Path(self.path(NAME))

    def _manifest(self) -> Manifest:
        manifest = self.manifest()
        if manifest is None:
            raise UserError(f"{self.location} has no run: is the name right?")
        return manifest

    def card(self, name: str) -> str:
        """A model's card, as Markdown: what it is, trained on what, how good, how to load it, its limits."""
        from orchestrator.model_card import card

        return card(self, name)

    def export(self, name: str, to: str | Path, kind: type[nn.Module] | None = None) -> Path:
        """Write a model for other programs, NAME.pt2 for torch.export.load or NAME.onnx, and beside it its card.

        It takes batches of any size. It is written only once its outputs were seen to be the model's, up to
        `trainables.export.ABSOLUTE` and `RELATIVE`.

        Raises:
            UserError: the file's name has another ending, or a package is missing that ONNX takes.
        """
        from trainables.export import as_onnx, as_program

        path, exporters = Path(to), {".pt2": as_program, ".onnx": as_onnx}
        if path.suffix not in exporters:
            raise UserError(f"{path}: a model is exported as .pt2 (torch.export) or .onnx")
        model, told = self.model(name, kind), self.card(name)
        try:
            content = exporters[path.suffix](model)
        except ModuleNotFoundError as error:
            extra = "pip install 'fashion-mnist-orchestrator[export]'"
            raise UserError(f"{path}: the package {error.name} is not installed ({extra})") from None
        folder = Folder(path.parent)
        folder.write(path.name, content)
        folder.write(path.with_suffix(".md").name, told.encode())
        return path


def _same(kind: type[nn.Module] | None, told: str, what: str) -> type[nn.Module]:
    """A class of the user's own, if it is the one that a file tells of; else UserError."""
    if kind is None or told != f"{kind.__module__}:{kind.__qualname__}":
        raise UserError(f"{what} is of the class {told}: give that class as the second argument, if it is yours")
    return kind
