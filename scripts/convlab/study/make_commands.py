"""Commands of make that errors advise: they name the study's config, since without it make takes config.yaml."""

import shlex
from pathlib import Path


def make_command(target: str, config: Path, **variables: str) -> str:
    """``make <target> STUDY=<config> ...``, with values as a shell takes them."""
    given = {"STUDY": str(config), **variables}
    return " ".join(["make", target, *(f"{name}={shlex.quote(value)}" for name, value in given.items())])
