"""Which class of the user's own a network is of; loads no torch."""

from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field


class OwnNetwork(BaseModel):
    """A class of the user's own, and its settings."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    model: str
    """The class, as package.module:Class."""
    code: str
    """Hash of its module's code: another one, another network."""
    parameters: dict[str, Any] = {}
    """Its settings, as plain values by name."""


Own = Annotated[OwnNetwork | None, Field(exclude_if=lambda own: own is None)]
"""A setting that JSON leaves out where there is no such class: older records know of none."""
