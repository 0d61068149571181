"""CITATION.cff of a study (Citation File Format 1.2.0): what to cite, and the software that made it."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

import yaml

from convlab.archive.code import Code
from convlab.study.schema import Study

SOFTWARE_FIELDS = ("type", "title", "abstract", "authors", "version", "license", "url", "repository-code", "doi")
"""Fields of convlab's own CITATION.cff that a reference to it repeats."""


@dataclass(frozen=True)
class Deposit:
    """What only the author of a deposit knows.

    Attributes:
        licence: of results, as an SPDX identifier; None where it is not decided.
        url: where the archive will be found, such as a DOI; None where it is not known.
    """

    licence: str | None = None
    url: str | None = None


def title_of(study: Study) -> str:
    """The title under which a study is cited: that of its report, in one line."""
    return " ".join((study.report.title or study.question or study.study).split())


def citation(study: Study, code: Code, time: datetime, deposit: Deposit) -> str:
    """Text of the file.

    Args:
        code: of which ``CITATION.cff`` names the software.
        time: the day of the release, UTC.
    """
    content: dict[str, Any] = {
        "cff-version": "1.2.0",
        "message": "If you use these results, please cite them as below, with the SHA-256 of the archive.",
        "type": "dataset",
        "title": title_of(study),
        "authors": [{"name": study.report.author or f"the authors of the study {study.study}"}],
        "date-released": time.date().isoformat(),
        "keywords": ["image classification", "controlled experiment", "reproducible research"],
    }
    if study.description:
        content["abstract"] = study.description
    if deposit.licence:
        content["license"] = deposit.licence
    if deposit.url:
        content["url"] = deposit.url
    if software := software_of(code):
        content["references"] = [software]
    return yaml.safe_dump(content, sort_keys=False, allow_unicode=True, width=120)


def software_of(code: Code) -> dict[str, Any]:
    """The reference to the software; empty for a checkout without CITATION.cff."""
    if "CITATION.cff" not in code.files:
        return {}
    with code.files["CITATION.cff"].open() as stream:
        written = yaml.safe_load(stream)
    software = {name: written[name] for name in SOFTWARE_FIELDS if name in written}
    return software | ({"commit": code.commit["commit"]} if code.commit else {})
