"""What may exist in the cloud, on disk before it does: a process that comes later can take it down by name."""

import re
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from convlab.errors import UserError
from convlab.files import read_json, write_json

NAMES = "convlab-"
"""How the names of all resources begin; the policy allows no others."""

FILE = "state.json"

Kind = Literal["object", "training_job", "model", "endpoint_config", "endpoint"]


class State(BaseModel):
    """``state.json``: the one name of all resources of a deployment, and which were asked for without an answer."""

    model_config = ConfigDict(extra="forbid")

    format: Literal[1] = 1
    name: str
    region: str
    endpoint_url: str | None = Field(description="Of a double of AWS; null on AWS itself.")
    account: str = Field(description="A fingerprint of the account.")
    bucket: str
    prefix: str = Field(description="Below which all objects of this deployment lie; ends with a slash.")
    keep_objects: bool
    created: str
    asked: list[Kind] = Field([], description="Asked for; whether they were created is not known.")

    def save(self, path: Path) -> None:
        """Write it, and not return before it is on the disk, its name in the folder included."""
        write_json(path, self.model_dump())

    @contextmanager
    def asking(self, kind: Kind, path: Path) -> Iterator[None]:
        """Around requests that create something: it counts as asked for until the answer is there."""
        self.asked.append(kind)
        self.save(path)
        yield
        self.asked.remove(kind)
        self.save(path)


def load(path: Path) -> State:
    """The state that an earlier process left; UserError where the file is none."""
    try:
        return State.model_validate(read_json(path))
    except ValidationError as error:
        raise UserError(
            f"{path} does not say what was created ({error.errors()[0]['msg']}); look in the AWS console for names "
            f"that begin with {NAMES}, delete them, then the file"
        ) from None


def new_name(study: str) -> str:
    """A name for all resources of one deployment: lower-case, 48 characters at most (training jobs add a time)."""
    readable = re.sub(r"[^a-z0-9]+", "-", study.lower()).strip("-")[:14].strip("-") or "study"
    return f"{NAMES}{readable}-{datetime.now(UTC):%Y%m%d-%H%M%S}-{uuid.uuid4().hex[:6]}"
