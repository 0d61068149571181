"""What may exist in the cloud, on disk before it does: a process that comes later can take it down by name."""

import json
import re
import uuid
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, PrivateAttr, ValidationError

from convlab.common import redaction
from convlab.common.files import atomic
from convlab.common.locks import held
from convlab.errors import UserError

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
    account: str = Field(description="A fingerprint of the account, from which its number cannot be found.")
    bucket: str = Field(description="The account's number in its name is hidden; ``reveal`` puts it back.")
    prefix: str = Field(description="Below which all objects of this deployment lie; ends with a slash.")
    keep_objects: bool
    created: str
    asked: list[Kind] = Field([], description="Asked for; whether they were created is not known.")

    _number: str | None = PrivateAttr(None)

    def reveal(self, account: str) -> None:
        """Let the process that is signed in to ``account`` use the bucket's full name; files never have it."""
        self._number = account
        self.bucket, self.prefix = (text.replace(redaction.HIDDEN, account) for text in (self.bucket, self.prefix))

    def save(self, path: Path) -> None:
        """Write it for this user alone, and not return before file and folder are on the disk."""
        written = self.model_dump()
        if self._number:
            written |= {key: written[key].replace(self._number, redaction.HIDDEN) for key in ("bucket", "prefix")}
        with atomic(path) as temporary:
            temporary.touch(mode=0o600)
            temporary.write_text(json.dumps(written, indent=1, sort_keys=True) + "\n", encoding="utf-8")

    @contextmanager
    def pending(self, kind: Kind, path: Path) -> Iterator[None]:
        """Mark a resource as pending on disk before the create request, and clear it after the response."""
        self.asked.append(kind)
        self.save(path)
        yield
        self.asked.remove(kind)
        self.save(path)


def lock(path: Path) -> AbstractContextManager[None]:
    """Hold a deployment's state file for this process; UserError, which names the holder, where another has it."""
    return held(
        path.with_name(f".{FILE}.lock"),
        f"a deployment{{holder}} is at work on {path}; wait until it has ended, or end it with Ctrl-C or kill "
        "(it takes everything down)",
    )


def load(path: Path) -> State:
    """The state that an earlier process left; UserError where the file is missing or does not hold one.

    No job makes it again, unlike results: what it named has to be looked for by hand.
    """
    remedy = f"look in the AWS console for names that begin with {NAMES}, delete them, then the file"
    try:
        return State.model_validate(json.loads(path.read_text(encoding="utf-8")))
    except FileNotFoundError:
        raise UserError(f"{path} is missing; another process may have taken down what it named") from None
    except (ValidationError, RecursionError) as error:
        reason = error.errors()[0]["msg"] if isinstance(error, ValidationError) else "it is nested too deeply"
        raise UserError(f"{path} does not say what was created ({reason}); {remedy}") from None
    except ValueError as error:
        raise UserError(f"{path} is not valid JSON ({error}); {remedy}") from None


def new_name(study: str) -> str:
    """A name for all resources of one deployment: lower-case, 48 characters at most (training jobs add a time)."""
    readable = re.sub(r"[^a-z0-9]+", "-", study.lower()).strip("-")[:14].strip("-") or "study"
    return f"{NAMES}{readable}-{datetime.now(UTC):%Y%m%d-%H%M%S}-{uuid.uuid4().hex[:6]}"
