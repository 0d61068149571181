"""Provenance of the results: versions, machines, inputs, and the command that makes them again."""

import json
import re
import shlex
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any

from convlab.common import i18n
from convlab.common.i18n import gettext as _
from convlab.common.i18n import ngettext
from convlab.findings.registration import look_text
from convlab.language import numbers as say
from convlab.language.energy import energy_text
from convlab.page.format import duration
from convlab.page.loading import ReportData
from convlab.page.measures import STATES
from convlab.page.views import Table
from convlab.study.load import to_yaml
from convlab.study.registration_files import Records
from convlab.study.schema import Study


def provenance_view(
    study: Study,
    data: ReportData,
    records: Records,
    config_files: Sequence[str],
    config_values: Mapping[str, Any],
) -> dict[str, Any]:
    """Provenance of the results: registration, versions, machines, inputs, and the command that makes them again."""
    training, runs = data.summary["training"], data.results.runs
    rows = [
        (
            _("{variant}, seed {seed}", variant=row["variant"], seed=row["seed"]),
            row["dataset"],
            _(STATES[row["status"]]),
            _("{n} of {all}", n=row["best_epoch"], all=row["epochs_run"]),
            say.number(row["train_seconds"], 1),
            say.count(row["images_per_second"]),
            say.count(row["peak_memory_mb"]),
            say.count(row["energy_joules"]),
            _("yes") if data.trained[row["dataset"], row["variant"], row["seed"]]["resumed_after_epoch"] else _("no"),
            row["spec_hash"],
        )
        for row in runs.to_dict("records")
    ]
    resumed = [
        _(
            "{variant}, seed {seed} on {dataset} (after epoch {epoch})",
            variant=variant,
            seed=seed,
            dataset=dataset,
            epoch=entry["resumed_after_epoch"],
        )
        for (dataset, variant, seed), entry in data.trained.items()
        if entry["resumed_after_epoch"]
    ]
    columns = (
        "run", "dataset", "status", "kept_epoch", "train_seconds", "images_per_second", "peak_memory_mb", "energy",
        "resumed", "spec_hash",
    )  # fmt: skip
    return {
        "registration": (
            (i18n.instant(datetime.fromisoformat(records.registrations[0].time)), records.registrations[0].sha256)
            if records.registrations
            else None
        ),
        "looks": "; ".join(look_text(look) for look in records.looks),
        "runs": Table("runs", columns, rows),
        "resumed": resumed,
        "versions": [sorted(entry.items()) for entry in training["versions"]],
        "hardware": [machine(entry) for entry in training["hardware"]],
        "environment": [sorted(entry.items()) for entry in training["environment"]],
        "devices": [device(text) for text in training["devices"]],
        "started": i18n.instant(datetime.fromisoformat(training["first_started"])),
        "finished": i18n.instant(datetime.fromisoformat(training["last_finished"])),
        "train_time": duration(training["train_seconds"]),
        "peak_memory": f"{say.count(training['peak_memory_mb'])} MB",
        "energy": energy_text(training["energy"]),
        "config_file": ", ".join(config_files),
        "command": command(study, training["hardware"], config_files, config_values),
        "config": to_yaml(study.validated_config),
    }


def command(
    study: Study, hardware: Iterable[Mapping[str, Any]], config_files: Sequence[str], config_values: Mapping[str, Any]
) -> str:
    """Shell command that makes these results again: config files, values of --config, number of cores."""
    cores = max((entry["cores"] for entry in hardware), default=1)
    parts = ["snakemake", "--cores", str(cores), "--configfile", *(config_files or [f"{study.study}.yaml"])]
    if config_values:
        parts += ["--config", *(f"{key}={_setting(value)}" for key, value in config_values.items())]
    return shlex.join(parts)


def _setting(value: Any) -> str:
    """A value as Snakemake's ``--config`` reads it: YAML, in which JSON is valid."""
    return json.dumps(value, ensure_ascii=False) if isinstance(value, dict | list) else str(value)


def machine(entry: Mapping[str, Any]) -> str:
    """``A chip, 2 cores, 8 GB, Linux x86_64``."""
    cores = ngettext("{n} core", "{n} cores", entry["cores"])
    memory = i18n.with_unit(i18n.number(entry["memory_gb"], "g"), "GB")
    return f"{entry['processor']}, {cores}, {memory}, {entry['system']}"


def device(text: str) -> str:
    """``CPU, 2 threads`` for the device of a run's record (``CPU, 2 thread(s)``); other devices unchanged."""
    match = re.fullmatch(r"CPU, (\d+) thread\(s\)", text)
    return ngettext("CPU, {n} thread", "CPU, {n} threads", int(match[1])) if match else text
