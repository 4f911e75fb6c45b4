"""What a stage gives, as files of the run folder: tables, models and others, then figures."""

import json
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any

from orchestrator.engine.book import Book
from orchestrator.engine.drawing import drawn
from orchestrator.engine.folder import beginning, digest
from orchestrator.engine.heap import give_back_memory
from orchestrator.engine.manifest import Manifest
from orchestrator.engine.provenance import made
from orchestrator.engine.records import with_description
from orchestrator.engine.results import as_frame, check_own
from orchestrator.engine.settings import UserError
from orchestrator.engine.shown import in_a_line
from orchestrator.engine.stage import File, Model, Picture, Table
from orchestrator.engine.tables import as_parquet


class StageFiles:
    """Files of one stage, as they are written, and what the manifest says of them."""

    def __init__(
        self, name: str, book: Book, manifest: Manifest, modules: tuple[str, ...], say: Callable[[str], None]
    ) -> None:
        """`modules` are those whose commit stands in figures; `say` tells the user something in a line."""
        self._stage, self._context, self._book, self._say = book.stages[name], book.context(name), book, say
        self._manifest, self._fingerprint, self._modules = manifest, book.fingerprints[name], modules
        self._before = manifest.stages[name].files if name in manifest.stages else {}
        """What the stage wrote before, by name with the SHA-256."""
        self._tables: dict[str, Any] = {}
        """As files of them are read."""
        self.digests: dict[str, str] = {}
        """SHA-256 by name."""
        self.captions: dict[str, str] = {}
        self.warnings: list[str] = []

    def write(self, parts: Iterable[Table | Model | File]) -> None:
        """Write what the stage gives; of an exception the files before it are left."""
        for part in parts:
            self._write_part(part)
            del part
            give_back_memory()
        missing = self._stage.schemas.keys() - self._tables.keys() - set(self._stage.optional)
        assert not missing, f"the stage gave no table {', '.join(missing)}"

    def draw(self) -> None:
        """Write the figures; one that fails is a warning, and the next command draws it again."""
        with self._warning_of("figures"):
            for picture in self._stage.figures(self._context, self._tables):
                with self._warning_of(f"figures/{picture.name}"):
                    self._write_picture(picture)

    def _write_part(self, part: Table | Model | File) -> None:
        if isinstance(part, Table):
            attributes = self._manifest.attributes(part.name, self._fingerprint)
            content = as_parquet(self._stage.schemas[part.name], part.rows, attributes)
            self._write(f"tables/{part.name}.parquet", content)
            self._tables[part.name] = as_frame(content)
        elif isinstance(part, Model):
            weights = with_description(self._context.weights(part.record), json.dumps(part.description))
            described = json.dumps(part.description | {"fingerprint": self._fingerprint}, indent=2)
            self._write(f"models/{part.name}.safetensors", weights)
            self._write(f"models/{part.name}.json", described.encode())
        else:
            self._write(part.name, part.content, grows=part.grows)

    def _write_picture(self, picture: Picture) -> None:
        settings = self._book.settings
        stamp = f"run {settings.run_name}, preset {settings.preset}, seed {settings.seed}"
        for suffix, content in drawn(picture, stamp, made(self._modules).commit).items():
            self._write(f"figures/{picture.name}.{suffix}", content)
        self.captions[picture.name] = picture.caption

    def _write(self, name: str, content: bytes, *, grows: bool = False) -> None:
        check_own(name)
        self.digests[name] = beginning(content) if grows else digest(content)
        if not (grows and self._book.run.has_grown(name, content, self._before.get(name, ""))):
            self._book.run.write(name, content)

    @contextmanager
    def _warning_of(self, what: str) -> Iterator[None]:
        try:
            yield
        except UserError:
            raise
        except Exception as error:
            self.warnings.append(f"{what}: {in_a_line(error)}")
            self._say(f"{self._stage.name}: could not draw {self.warnings[-1]}")
