"""A run as an RO-Crate: which files it has, with their checksums, and what made them, when and of what."""

from __future__ import annotations

import json
from datetime import datetime, timedelta
from mimetypes import guess_type
from typing import Any

from orchestrator.engine.manifest import Manifest, StageState
from orchestrator.paper import suite

NAME = "ro-crate-metadata.json"
PROFILE = "https://w3id.org/ro/wfrun/process/0.5"
IMAGES = "https://github.com/zalandoresearch/fashion-mnist"


def crate(manifest: Manifest) -> bytes:
    """The file that makes a run folder a crate, with an action for each stage that is done.

    ModuleNotFoundError without the package rocrate.
    """
    from rocrate.model import ContextEntity, Dataset
    from rocrate.rocrate import ROCrate

    made = ROCrate()
    made.name = f"Run {manifest.name} of fashion-mnist-orchestrator, preset {manifest.preset}, seed {manifest.seed}"
    made.description = "Autoencoders and GANs on images: tables, figures, models and a report."
    made.license = "https://spdx.org/licenses/MIT"
    profile = {"@type": "CreativeWork", "name": "Process Run Crate"}
    made.root_dataset["conformsTo"] = made.add(ContextEntity(made, PROFILE, profile))
    told = suite().as_told(manifest.settings)
    of_images = {"name": told.data.name if told else "images", "identifier": manifest.data_checksum}
    images = made.add(Dataset(made, IMAGES if told and told.data.is_papers else "#images", properties=of_images))
    for name, entry in manifest.stages.items():
        if entry.state == "done":
            _add_stage(made, name, entry, images)
    for name, sealed in manifest.report.items():
        _add_file(made, name, sealed)
    made.datePublished = max((_ended(entry) for entry in manifest.stages.values()), default=None)
    return json.dumps(made.metadata.generate(), indent=1, default=str).encode()


def _add_stage(made: Any, name: str, entry: StageState, images: Any) -> None:
    from rocrate.model import ContextEntity, SoftwareApplication

    version = entry.made.commit or entry.made.sources
    packages = ", ".join(map(" ".join, entry.made.versions.items()))
    about = {"name": "fashion-mnist-orchestrator", "version": version, "softwareRequirements": packages}
    captions = {f"figures/{figure}": caption for figure, caption in entry.captions.items()}
    files = [_add_file(made, it, sealed, captions.get(it.rpartition(".")[0])) for it, sealed in entry.files.items()]
    action = {
        "name": name,
        "description": f"With these settings: {json.dumps(entry.settings, sort_keys=True)}",
        "startTime": entry.started,
        "endTime": _ended(entry),
        "instrument": made.add(SoftwareApplication(made, f"#program-{version}", about)),
        "object": images,
        "result": files,
    }
    done = made.add(ContextEntity(made, f"#{name}", {"@type": "CreateAction"}))
    for key, value in action.items():  # entities, set one by one, become references
        done[key] = value
    made.root_dataset.append_to("mentions", done)


def _add_file(made: Any, name: str, sealed: str, caption: str | None = None) -> Any:
    from rocrate.model import File

    about = {"sha256": sealed, "encodingFormat": guess_type(name)[0], "description": caption}
    if "+" in sealed:  # of the beginning of a file that grows
        del about["sha256"]
    return made.add(File(made, dest_path=name, properties={key: value for key, value in about.items() if value}))


def _ended(entry: StageState) -> str:
    return (datetime.fromisoformat(entry.started) + timedelta(seconds=entry.seconds)).isoformat()
