"""Files of a registration, ``results/<study>/registration/``: what was fixed before the runs, amendments, looks.

``registration.json`` is written before the first run and never again. What is confirmatory and changes once runs are
known goes to ``amendment-<n>.json``. A registration that no finished run has followed may be replaced; the earlier one
is kept as ``superseded-<n>.json``. ``looks.csv`` has a row for each analysis that saw other test results than the one
before. Written by Snakemake's main process and by ``compare``, one at a time. Standard library only, as the Snakefile
imports it.
"""

import csv
import io
import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import asdict, astuple, dataclass, fields
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from convlab.common.atomic import write_text
from convlab.common.text import listing
from convlab.study import layout
from convlab.study.registration import (
    FORMAT,
    KnownRuns,
    Registration,
    Standings,
    entries,
    register,
    sha256,
    shown,
)
from convlab.study.schema import Study

REGISTRATION, LOOKS = "registration.json", "looks.csv"
AMENDMENT, SUPERSEDED = "amendment", "superseded"


@dataclass(frozen=True)
class Look:
    """One analysis that saw test results.

    Attributes:
        look: its number, from 1.
        time: UTC, ISO 8601.
        commit: of convlab's checkout, with ``+`` where it was changed; empty if not known.
        registration: SHA-256 of the study's registration, or of its last amendment; empty without one.
        runs: runs that it saw.
        seeds: finished runs of a variant, ``3`` or ``3-9``.
        data: ``<dataset>=<digest of its arrays>``, space-separated.
        results: digest of the predictions of all runs.
        chain: digest of this row and the chain of the row before, so that an edited row shows.
    """

    look: int
    time: str
    commit: str
    registration: str
    runs: int
    seeds: str
    data: str
    results: str
    chain: str = ""

    def chained(self, previous: str) -> "Look":
        """The look with the digest of itself and of the row before it."""
        values = asdict(self) | {"chain": ""}
        return Look(**(values | {"chain": sha256([previous, values])[:16]}))

    @property
    def digests(self) -> dict[str, str]:
        """Digest of the arrays of each dataset."""
        return dict(part.split("=", 1) for part in self.data.split())


@dataclass(frozen=True)
class Records:
    """All that a study's registration folder holds.

    Attributes:
        registrations: the first one, then its amendments; none that was altered.
        altered: names of files that are not as they were written. If the registration itself is, nothing counts as
            registered.
    """

    registrations: tuple[Registration, ...] = ()
    looks: tuple[Look, ...] = ()
    altered: tuple[str, ...] = ()


def read(folder: Path) -> Records:
    """Read a registration folder; a missing one gives empty records."""
    registrations, altered = [], []
    for path in _documents(folder):
        try:
            registrations.append(_parsed(path.read_text(encoding="utf-8")))
        except (OSError, ValueError, KeyError, TypeError, AttributeError):
            altered.append(path.name)
    looks, intact = _read_looks(folder / LOOKS)
    if not intact:
        altered.append(LOOKS)
    if REGISTRATION in altered or not (folder / REGISTRATION).is_file():
        registrations = []
    return Records(tuple(registrations), looks, tuple(altered))


def _documents(folder: Path) -> Iterator[Path]:
    """The registration and its amendments, those that exist, by time."""
    if (folder / REGISTRATION).exists():
        yield folder / REGISTRATION
    numbers = {int(match[1]): path for path in folder.glob(f"{AMENDMENT}-*.json") if (match := _numbered(path))}
    yield from (numbers[number] for number in sorted(numbers))


def _numbered(path: Path) -> re.Match[str] | None:
    return re.fullmatch(r"[a-z]+-(\d+)\.json", path.name)


def _next(folder: Path, stem: str) -> Path:
    numbers = [int(match[1]) for path in folder.glob(f"{stem}-*.json") if (match := _numbered(path))]
    return folder / f"{stem}-{max(numbers, default=0) + 1}.json"


def _parsed(text: str) -> Registration:
    """A registration from its file. Raises ValueError if the file is not as it was written."""
    written = json.loads(text)
    checksum = written.pop("checksum")
    registration = Registration(**{key: value for key, value in written.items() if key != "sha256"})
    if checksum != sha256(written) or written["sha256"] != registration.sha256:
        raise ValueError("altered")
    if registration.content["format"] != FORMAT:
        raise ValueError("of another version of convlab")
    return registration


def _write(path: Path, registration: Registration) -> None:
    written = {field.name: getattr(registration, field.name) for field in fields(registration)}
    written |= {"sha256": registration.sha256}
    text = json.dumps(written | {"checksum": sha256(written)}, indent=1, sort_keys=True, ensure_ascii=False)
    write_text(path, text + "\n")


# ---------------------------------------------------------------------------------------------------------------------
# Before the runs


def now() -> str:
    """The time, UTC, to the second."""
    return datetime.now(UTC).isoformat(timespec="seconds")


def known_runs(study: Study, results: Path, kept: Path | None, looks: tuple[Look, ...]) -> KnownRuns:
    """Finished runs that are known.

    Args:
        results: folder of all studies' results.
        kept: folder of finished runs that are kept for other studies.
        looks: earlier looks of this study; the last one saw its runs, also if they were deleted.
    """
    own, elsewhere = 0, set()
    others = [] if kept is None else list(kept.glob("*/run.json"))
    for path in layout.run_records(results):
        if layout.run_of_record(path)[0] == study.study:
            own += 1
        else:
            others.append(path)
    for path in () if own or looks else others:
        try:
            elsewhere.add(json.loads(path.read_text(encoding="utf-8"))["spec_hash"])
        except (OSError, ValueError, KeyError, TypeError):
            continue
    return KnownRuns(looks[-1].runs if looks else own, frozenset(elsewhere))


def begun(study: Study, folder: Path, results: Path) -> bool:
    """Whether a finished run or a look has followed, so that the registration is replaced no more."""
    return bool(known_runs(study, results, None, read(folder).looks).own)


def fix(
    study: Study, folder: Path, results: Path, kept: Path | None, commit: Mapping[str, Any] | None
) -> tuple[Registration | None, str]:
    """Register a study, or what it has changed since; nothing is written where all of it is registered.

    Args:
        folder: the study's registration folder.
        results, kept: see :func:`known_runs`.
        commit: of convlab's checkout.

    Returns:
        What was written, None for nothing, and a sentence about it, empty for none.
    """
    records = read(folder)
    if records.altered:
        return None, altered_message(records, folder)
    runs = known_runs(study, results, kept, records.looks)
    registration = register(study, now(), commit, len(records.looks), runs)
    if not records.registrations:
        _write(folder / REGISTRATION, registration)
        return registration, _message(registration, folder / REGISTRATION)
    registered = {digest for earlier in records.registrations for digest in earlier.labels}
    new = [entry for entry in entries(study) if entry.digest not in registered]
    if not runs.own:
        if registration.sha256 == records.registrations[0].sha256:
            return None, ""
        (folder / REGISTRATION).rename(_next(folder, SUPERSEDED))
        _write(folder / REGISTRATION, registration)
        return registration, f"{_message(registration, folder / REGISTRATION)}; it replaces one that no run followed"
    if not new:
        return None, ""
    path = _next(folder, AMENDMENT)
    _write(path, registration)
    names = listing(list(dict.fromkeys(shown(entry.label) for entry in new))[:5], "and")
    more = f" and {len(new) - 5} more" if len(new) > 5 else ""
    text = (
        f"not as registered, and {runs.own} runs are known: {names}{more}; what depends on it is exploratory ({path})"
    )
    return registration, text


def _message(registration: Registration, path: Path) -> str:
    known = max(registration.runs_known.values(), default=0)
    when = f"when {known} runs were known" if known else "before any run"
    return f"registered {when}: SHA-256 {registration.sha256} ({path})"


def altered_message(records: Records, folder: Path) -> str:
    """Names the files of a registration that are not as they were written."""
    return (
        f"not as they were written: {listing([str(folder / name) for name in records.altered], 'and')}; until they are "
        "put back nothing of this study counts as registered"
        if REGISTRATION in records.altered
        else f"not as they were written: {listing([str(folder / name) for name in records.altered], 'and')}"
    )


def standings(study: Study, records: Records, runs: int, data: Mapping[str, str]) -> Standings:
    """Standing of everything that a study decides now.

    Args:
        runs: its runs now.
        data: digest of the arrays of each dataset now.
    """
    other = {}
    for look in records.looks:
        other |= {name: look.runs for name, digest in look.digests.items() if data.get(name, digest) != digest}
    return Standings(study, records.registrations, records.looks[-1].runs if records.looks else runs, other)


# ---------------------------------------------------------------------------------------------------------------------
# Looks


def _read_looks(path: Path) -> tuple[tuple[Look, ...], bool]:
    """All looks, and whether the file is as it was written."""
    try:
        rows = list(csv.DictReader(io.StringIO(path.read_text(encoding="utf-8"))))
        looks = tuple(Look(**(row | {"look": int(row["look"]), "runs": int(row["runs"])})) for row in rows)
    except FileNotFoundError:
        return (), True
    except (OSError, ValueError, KeyError, TypeError):
        return (), False
    previous, intact = "", True
    for number, look in enumerate(looks, start=1):
        intact = intact and look.look == number and look == look.chained(previous)
        previous = look.chain
    return looks, intact


def add_look(folder: Path, look: Look) -> tuple[Look, ...]:
    """Append a look to the ledger unless the last one saw the same results and data; returns all looks.

    Args:
        look: without number and chain, which it is given.
    """
    looks, _ = _read_looks(folder / LOOKS)
    if looks and (looks[-1].results, looks[-1].data) == (look.results, look.data):
        return looks
    values = asdict(look) | {"look": len(looks) + 1}
    looks = (*looks, Look(**values).chained(looks[-1].chain if looks else ""))
    stream = io.StringIO()
    writer = csv.writer(stream, lineterminator="\n")
    writer.writerow([field.name for field in fields(Look)])
    writer.writerows(astuple(entry) for entry in looks)
    write_text(folder / LOOKS, stream.getvalue())
    return looks
