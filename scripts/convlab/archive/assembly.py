"""All files of a study's archive, from its results, its config and the checkout."""

import json
import os
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path, PurePosixPath
from typing import Any

import yaml

from convlab.archive import bag, crate
from convlab.archive.bag import Member
from convlab.archive.citation import Deposit, citation, title_of
from convlab.archive.code import Code, commit_text
from convlab.archive.content import results_of
from convlab.archive.hub import hub_folder
from convlab.archive.reading import fault_of_name
from convlab.archive.readme import Facts, readme
from convlab.common.files import read_json
from convlab.common.redaction import MASK, account_numbers, masked
from convlab.common.specs import canonical_json
from convlab.datasets.registry import kind_of
from convlab.errors import UserError
from convlab.models.user_code import UserCode
from convlab.results.data_cards import prepared_card
from convlab.study import layout
from convlab.study.schema import Study
from convlab.study.seeds import SCHEDULE

TIME_VARIABLE = "SOURCE_DATE_EPOCH"
"""Environment variable with the time that reproducible builds write, in seconds of Unix."""

WORKFLOW = "code/Snakefile"


@dataclass(frozen=True)
class Contents:
    """The files of an archive.

    Attributes:
        payload: the content by path, ``data/`` included.
        tags: the other files, the tag manifest excepted.
        time: modification time of all.
    """

    payload: Mapping[str, Member]
    tags: Mapping[str, bytes]
    time: datetime


@dataclass(frozen=True)
class Options:
    """What the user chooses: whether the prepared arrays and the models of all runs are in it, and of the deposit."""

    data: bool = False
    models: bool = True
    deposit: Deposit = field(default_factory=Deposit)


def assemble(study: Study, config: Path, folder: Path, code: Code, options: Options) -> Contents:
    """Collect the archive of a finished study.

    Args:
        study: with the schedule of its looks.
        config: its file as the user wrote it.
        folder: its results.
    """
    summary = read_json(layout.compared(folder) / "summary.json")
    time = archive_time(summary)
    sources, outside = own_code(study)
    below = layout.study_folder(study.study).as_posix()
    files: dict[str, Member] = {
        **{f"code/{name}": member for name, member in without_accounts(code.files).items()},
        **{f"code/{name}": member for name, member in sources.items()},
        **({"code.diff": Member(changes_of(code))} if code.changes else {}),
        f"config/{config.name}": Member(config_text(study, config).encode()),
        "validated-config.json": Member(_json(json.loads(canonical_json(study.validated_config)))),
        **{
            f"{below}/{name}": member
            for name, member in results_of(study, folder, options.data, options.models).items()
        },
    }
    for name, spec in study.datasets.items():
        card = layout.prepared(Path(below), name) / layout.DATA_CARD
        files.setdefault(card.as_posix(), Member(_json(prepared_card(layout.prepared(folder, name), spec))))
    for name in study.exported:
        hub = hub_folder(study, name, folder, options.deposit)
        files |= {f"models/{name}/{file}": member for file, member in hub.items()}
    refuse_names(files)
    checksums = {path: member.sha256() for path, member in files.items()}
    run = run_of(study, summary, config, code, files)
    described = Member(_json(crate.crate(run, files, checksums, time, options.deposit)))
    files[crate.NAME], checksums[crate.NAME] = described, described.sha256()
    payload = {bag.PAYLOAD + path: member for path, member in files.items()}
    facts = facts_of(study, config, summary, code, files, options, outside)
    tags = {
        **bag.tag_files(
            payload, {bag.PAYLOAD + path: checksum for path, checksum in checksums.items()}, info(study, time)
        ),
        "README.md": readme(facts).encode(),
        "CITATION.cff": citation(study, code, time, options.deposit).encode(),
    }
    return Contents(payload, tags, time)


def refuse_names(files: Iterable[str]) -> None:
    """Raise UserError for a path that not every system can unpack, and that :func:`reading.opened` refuses."""
    for path in files:
        if fault_of_name(path):
            raise UserError(
                f"{path!r} cannot be archived, since a zip file for all systems has no names with backslashes, with "
                "characters that are not printed or with bytes that are not UTF-8; rename it"
            )


def archive_time(summary: Mapping[str, Any]) -> datetime:
    """The time of every file: that of SOURCE_DATE_EPOCH, else when the last run ended.

    Raises UserError for a variable that is no number.
    """
    if given := os.environ.get(TIME_VARIABLE):
        try:
            return datetime.fromtimestamp(int(given), UTC)
        except (ValueError, OverflowError, OSError):
            raise UserError(f"{TIME_VARIABLE} is {given!r}; give seconds since 1970, or unset it") from None
    return datetime.fromisoformat(summary["training"]["last_finished"])


def config_text(study: Study, config: Path) -> str:
    """The config as the user wrote it, with stars instead of account numbers."""
    return masked_yaml(config.read_text(encoding="utf-8"))


def masked_yaml(text: str) -> str:
    """YAML with stars instead of account numbers; with zeros where an unquoted value would begin with stars, since
    YAML takes that for an alias."""
    starred = masked(text, account_numbers(text))
    try:
        for _ in yaml.parse(starred):
            pass
    except yaml.YAMLError:
        return starred.replace(MASK, "0" * len(MASK))
    return starred


def without_accounts(files: Mapping[str, Member]) -> dict[str, Member]:
    """The files of the code with stars instead of the account numbers in its YAML and JSON: configs, and profiles."""
    hidden = {}
    for name, member in files.items():
        if name.endswith((".yaml", ".yml", ".json")):
            with member.open() as stream:
                text = stream.read().decode(errors="surrogateescape")
            if account_numbers(text):
                hidden[name] = Member(masked_yaml(text).encode(errors="surrogateescape"), member.executable)
    return {**files, **hidden}


def changes_of(code: Code) -> bytes:
    """What differs in the code from its commit, with stars instead of account numbers."""
    text = code.changes.decode(errors="surrogateescape")
    return masked(text, account_numbers(text)).encode(errors="surrogateescape")


def located(study: Study) -> dict[str, Any]:
    """The specs of datasets by name whose files are where the config says: the user's own, and published ones there."""
    return {name: spec for name, spec in study.datasets.items() if getattr(spec, "path", None)}


def data_paths(study: Study) -> set[Path]:
    """Files and folders on the disk that the study's images are read from, without links."""
    paths = set()
    for spec in located(study).values():
        path = Path(spec.path).expanduser()
        paths.add(path.resolve())
        if spec.users_own and path.is_file():  # which may name images beside it
            with suppress(UserError, OSError):
                paths |= {Path(file).resolve() for _, file in kind_of(spec).files(path)}
    return paths


def own_code(study: Study) -> tuple[dict[str, Member], tuple[str, ...]]:
    """The user's own Python files by path below Snakemake's working folder, and the names of those outside of it."""
    members, outside = {}, []
    for file in sorted({model.file for model in study.models.values() if hasattr(model, "file")}):
        path = PurePosixPath(file)
        if path.is_absolute() or ".." in path.parts or file.startswith("~"):
            outside.append(path.name)
            continue
        texts = UserCode.read(Path(file)).texts
        members |= {(path.parent / name).as_posix(): Member(text.encode()) for name, text in texts.items()}
    return members, tuple(outside)


def run_of(
    study: Study, summary: Mapping[str, Any], config: Path, code: Code, files: Mapping[str, Member]
) -> crate.Run:
    """What the crate says of the run."""
    below = f"{layout.study_folder(study.study).as_posix()}/"
    config_name = f"config/{config.name}"
    inputs = [config_name, *(path for path in files if path.startswith(f"{below}prepare/"))]
    results = [path for path in files if path.startswith((f"{below}compare/", f"{below}report/", "models/"))]
    return crate.Run(
        title=title_of(study),
        description=study.description,
        author=study.report.author,
        started=summary["training"]["first_started"],
        ended=summary["training"]["last_finished"],
        versions=dict(pair for versions in summary["training"]["versions"] for pair in versions.items()),
        workflow=WORKFLOW,
        config=config_name,
        report=f"{below}report/index.html",
        inputs=inputs,
        results=results,
        code=commit_text(code),
    )


def facts_of(
    study: Study,
    config: Path,
    summary: Mapping[str, Any],
    code: Code,
    files: Mapping[str, Member],
    options: Options,
    outside: tuple[str, ...],
) -> Facts:
    """What the README names; seven parameters, since it is about all of them."""
    training = summary["training"]
    versions = [f"{name} {version}" for versions in training["versions"] for name, version in sorted(versions.items())]
    return Facts(
        study=study.study,
        title=title_of(study),
        config=config.name,
        code=commit_text(code),
        changed="code.diff" in files,
        hub_models=tuple(name for name in study.datasets if f"models/{name}/README.md" in files),
        data=options.data,
        models=options.models,
        own_images={name: spec.path for name, spec in located(study).items()},
        outside=outside,
        looks=f"{layout.registered(layout.study_folder(study.study)).as_posix()}/{SCHEDULE}" in files,
        processor=", ".join(dict.fromkeys(machine["processor"] for machine in training["hardware"])),
        versions=", ".join(dict.fromkeys(versions)),
    )


def info(study: Study, time: datetime) -> dict[str, str]:
    """Entries of ``bag-info.txt``."""
    return {
        "External-Identifier": study.study,
        "External-Description": title_of(study),
        "Contact-Name": study.report.author or "",
        "Bagging-Date": time.date().isoformat(),
        "Bag-Software-Agent": "convlab",
    }


TEXT_SUFFIXES = (".json", ".csv", ".md", ".html", ".yaml", ".yml", ".tex", ".txt", ".svg", ".checksums")


def naming_this_machine(files: Mapping[str, Member], names: list[str]) -> Iterator[tuple[str, str]]:
    """Path and name, for each text among results, models and config that has one of ``names`` in it."""
    for path, member in files.items():
        if path.endswith(TEXT_SUFFIXES) and not path.startswith(f"{bag.PAYLOAD}code"):
            with member.open() as stream:
                text = stream.read().decode("utf-8", errors="replace")
            yield from ((path, name) for name in names if name in text)


def _json(value: Any) -> bytes:
    return (json.dumps(value, indent=1, ensure_ascii=False) + "\n").encode()
