"""``state.json``: resources that may exist in the cloud, written before they are created, for a later teardown."""

import json
import logging
import re
import uuid
from collections.abc import Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, PrivateAttr, ValidationError

from convlab.common import redaction
from convlab.common.files import atomic
from convlab.common.locks import held
from convlab.errors import UserError

NAME_PREFIX = "convlab-"
"""Prefix of the names of all resources; the policy allows no others."""

STATE_FILE = "state.json"

Kind = Literal[
    *("object", "training_job", "transform_job", "model", "endpoint_config", "endpoint", "schedule"),
    *("model_package_group", "model_package", "model_card"),
]

log = logging.getLogger("teardown")


class State(BaseModel):
    """Content of ``state.json``: the name of all resources of a deployment, and the kinds of pending ones."""

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
    schedules: dict[str, str] = Field({}, description="Times (UTC) of the schedules that delete the rest, by name.")

    registry_group: str | None = Field(None, description="Model package group of an unfinished registration.")
    new_registry_group: bool = Field(False, description="Whether that group is made by this registration.")

    _number: str | None = PrivateAttr(None)

    def reveal(self, account: str) -> None:
        """Restore the account number in the bucket's name, for use in this process; files never have it."""
        self._number = account
        self.bucket, self.prefix = (text.replace(redaction.MASK, account) for text in (self.bucket, self.prefix))

    def save(self, path: Path) -> None:
        """Write the file durably, readable only by this user."""
        written = self.model_dump()
        if self._number:
            written |= {key: written[key].replace(self._number, redaction.MASK) for key in ("bucket", "prefix")}
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
    """Lock a deployment's state file. Raises UserError, which names the holder, if another process has it."""
    return held(
        path.with_name(f".{STATE_FILE}.lock"),
        f"a deployment{{holder}} is at work on {path}; wait until it has ended, or end it with Ctrl-C or kill "
        "(it takes everything down)",
    )


@contextmanager
def locked_if_possible(path: Path) -> Iterator[None]:
    """As ``lock``, but where its file cannot be written, as on a full disk, nothing is locked: a teardown matters more.

    Raises UserError if another process has it.
    """
    with ExitStack() as stack:
        try:
            stack.enter_context(lock(path))
        except OSError as error:
            log.warning("%s is not locked (%s); no deployment should be at work on it", path, error.strerror)
        yield


class EarlierDeployment(UserError):
    """An earlier deployment is not finished; the evidence on disk is that deployment's."""


def load(path: Path) -> State:
    """Read an earlier process' state. Raises UserError if the file is missing or invalid.

    Unlike results, no job makes it again: the user has to look for the resources by hand.
    """
    remedy = f"look in the AWS console for names that begin with {NAME_PREFIX}, delete them, then the file"
    try:
        state = State.model_validate(json.loads(path.read_text(encoding="utf-8")))
    except FileNotFoundError:
        raise UserError(f"{path} is missing; another process may have taken down what it named") from None
    except (ValidationError, RecursionError) as error:
        reason = error.errors()[0]["msg"] if isinstance(error, ValidationError) else "it is nested too deeply"
        raise UserError(f"{path} does not say what was created ({reason}); {remedy}") from None
    except ValueError as error:
        raise UserError(f"{path} is not valid JSON ({error}); {remedy}") from None
    except OSError as error:
        raise UserError(f"{path} cannot be read: {error.strerror}; mend that, then run it again") from None
    # A teardown deletes by these, so none may be wider than one deployment.
    if deployment_of(state.name) != state.name or not state.prefix.endswith(f"/{state.name}/"):
        raise UserError(f"{path} does not name one deployment and its folder in the bucket; {remedy}")
    if others := [name for name in state.schedules if deployment_of(name) != state.name]:
        raise UserError(f"{path} names {others[0]!r}, which is no schedule of {state.name}; {remedy}")
    return state


def new_name(study: str) -> str:
    """A name for all resources of one deployment: lower-case, 48 characters at most (training jobs add a time)."""
    readable = re.sub(r"[^a-z0-9]+", "-", study.lower()).strip("-")[:14].strip("-") or "study"
    return f"{NAME_PREFIX}{readable}-{datetime.now(UTC):%Y%m%d-%H%M%S}-{uuid.uuid4().hex[:6]}"


DEPLOYMENT = re.compile(rf"({NAME_PREFIX}[a-z0-9-]+-\d{{8}}-\d{{6}}-[0-9a-f]{{6}})(-.*)?")
"""A deployment's name, as new_name gives it, and what jobs and schedules add to it."""


def deployment_of(resource_name: str) -> str | None:
    """Name of the deployment to which a resource of this name belongs; None for a name that convlab does not give."""
    match = DEPLOYMENT.fullmatch(resource_name)
    return match[1] if match else None
