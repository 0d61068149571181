"""Workflow Run RO-Crate of an archive (JSON-LD): the workflow, its run, and every file with its SHA-256.

Profile: https://w3id.org/ro/wfrun/workflow/0.5, on RO-Crate 1.1.
"""

import mimetypes
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from urllib.parse import quote

from convlab.archive.bag import Member
from convlab.archive.citation import Deposit

NAME = "ro-crate-metadata.json"

CONTEXT = ["https://w3id.org/ro/crate/1.1/context", "https://w3id.org/ro/terms/workflow-run/context"]

CRATE, WORKFLOW_CRATE = "https://w3id.org/ro/crate/1.1", "https://w3id.org/workflowhub/workflow-ro-crate/1.0"

PROFILES = {
    "https://w3id.org/ro/wfrun/process/0.5": ("Process Run Crate", "0.5"),
    "https://w3id.org/ro/wfrun/workflow/0.5": ("Workflow Run Crate", "0.5"),
    WORKFLOW_CRATE: ("Workflow RO-Crate", "1.0"),
}

WORKFLOW_PROFILE = "https://bioschemas.org/profiles/ComputationalWorkflow/1.0-RELEASE"
FORMAL_PARAMETER = "https://bioschemas.org/profiles/FormalParameter/1.0-RELEASE"

MEDIA_TYPES = {
    **{".cff": "application/yaml", ".yaml": "application/yaml", ".yml": "application/yaml", ".md": "text/markdown"},
    **{".checksums": "application/json", ".onnx": "application/octet-stream", ".csv": "text/csv"},
}
"""Media types that Python's table lacks, or takes from the system, by suffix."""

LICENCE_NOT_STATED = (
    "Not stated for the results: ask their authors. The code has the licence in code/LICENSE, the data have theirs."
)


@dataclass(frozen=True)
class Run:
    """What a crate says of the run of the workflow.

    Attributes:
        title, description: of the study.
        author: None where the config names none.
        started, ended: when its first run began and its last one ended.
        versions: of the software that trained, by package.
        workflow, config, report: paths of the main files in the crate.
        inputs, results: paths of the files that the run used and made.
        code: the commit in words.
    """

    title: str
    description: str
    author: str | None
    started: str
    ended: str
    versions: Mapping[str, str]
    workflow: str
    config: str
    report: str
    inputs: Iterable[str]
    results: Iterable[str]
    code: str


def crate(
    run: Run, files: Mapping[str, Member], checksums: Mapping[str, str], time: datetime, deposit: Deposit
) -> dict:
    """The metadata of a crate, as JSON.

    Args:
        files: all files of the crate but this, by path; ``checksums`` has the SHA-256 of each.
        time: when it is published, UTC.
    """
    described = {path: _file(path, member, checksums[path]) for path, member in sorted(files.items())}
    described[run.workflow] |= {
        "@type": ["File", "SoftwareSourceCode", "ComputationalWorkflow"],
        "name": "convlab",
        "version": run.code,
        "programmingLanguage": {"@id": "#snakemake"},
        "conformsTo": {"@id": WORKFLOW_PROFILE},
        "input": {"@id": "#config"},
        "output": {"@id": "#report"},
        "softwareRequirements": _references(_package(*item) for item in sorted(run.versions.items())),
    }
    described[run.config] |= {"exampleOfWork": {"@id": "#config"}}
    described[run.report] |= {"exampleOfWork": {"@id": "#report"}}
    licence = f"https://spdx.org/licenses/{deposit.licence}" if deposit.licence else ""
    author = {"author": {"@id": "#author"}} if run.author else {}
    root = {
        "@id": "./",
        "@type": "Dataset",
        "name": run.title,
        "description": run.description or run.title,
        "datePublished": time.date().isoformat(),
        "license": {"@id": licence} if licence else LICENCE_NOT_STATED,
        **author,
        **({"identifier": deposit.url} if deposit.url else {}),
        "conformsTo": _references(PROFILES),
        "mainEntity": {"@id": _id(run.workflow)},
        "mentions": {"@id": "#run"},
        "hasPart": _references(map(_id, described)),
    }
    action = {
        "@id": "#run",
        "@type": "CreateAction",
        "name": f"Run of the study: {run.title}",
        "description": "Preparation of the data, training of every run, evaluation, comparison and report",
        "instrument": {"@id": _id(run.workflow)},
        "object": _references(map(_id, run.inputs)),
        "result": _references(map(_id, run.results)),
        "startTime": run.started,
        "endTime": run.ended,
        "actionStatus": "http://schema.org/CompletedActionStatus",
        **({"agent": {"@id": "#author"}} if run.author else {}),
    }
    descriptor = {
        "@id": NAME,
        "@type": "CreativeWork",
        "about": {"@id": "./"},
        "conformsTo": _references([CRATE, WORKFLOW_CRATE]),
    }
    graph = [descriptor, root, *described.values(), action, *_contextual(run)]
    if licence:
        graph.append({"@id": licence, "@type": "CreativeWork", "name": deposit.licence, "description": deposit.licence})
    return {"@context": CONTEXT, "@graph": graph}


def _file(path: str, member: Member, checksum: str) -> dict[str, Any]:
    suffix = f".{path.rpartition('.')[2]}"
    media_type = MEDIA_TYPES.get(suffix) or mimetypes.MimeTypes().guess_type(path)[0] or "application/octet-stream"
    return {
        "@id": _id(path),
        "@type": "File",
        "name": path,
        "contentSize": str(member.size),
        "encodingFormat": media_type,
        "sha256": checksum,
    }


def _contextual(run: Run) -> list[dict[str, Any]]:
    """What the other entities refer to: parameters, language, packages, profiles, author."""
    parameters = [
        {
            "@id": f"#{name}",
            "@type": "FormalParameter",
            "conformsTo": {"@id": FORMAL_PARAMETER},
            "additionalType": "File",
            "name": name,
            "workExample": {"@id": _id(path)},
        }
        for name, path in (("config", run.config), ("report", run.report))
    ]
    language = {
        "@id": "#snakemake",
        "@type": "ComputerLanguage",
        "name": "Snakemake",
        "url": {"@id": "https://snakemake.readthedocs.io"},
        "identifier": {"@id": "https://snakemake.readthedocs.io"},
        "version": run.versions.get("snakemake", ""),
    }
    packages = [
        {
            "@id": _package(name, version),
            "@type": "SoftwareApplication",
            "name": name,
            "softwareVersion": version,
            "url": {"@id": _package(name, version)},
        }
        for name, version in sorted(run.versions.items())
    ]
    profiles = [
        {"@id": address, "@type": "CreativeWork", "name": name, "version": version}
        for address, (name, version) in PROFILES.items()
    ]
    author = [{"@id": "#author", "@type": "Person", "name": run.author}] if run.author else []
    return [*parameters, language, *packages, *profiles, *author]


def _package(name: str, version: str) -> str:
    """The address of a version of Python or of one of its packages."""
    if name == "python":
        return f"https://www.python.org/downloads/release/python-{version.replace('.', '')}/"
    return f"https://pypi.org/project/{name}/{version}/"


def _id(path: str) -> str:
    """The identifier of a file: its path as a relative URI."""
    return quote(path, safe="/")


def _references(identifiers: Iterable[str]) -> list[dict[str, str]]:
    return [{"@id": identifier} for identifier in identifiers]
