"""What the page shows of a deployment: the evidence that `deploy` left, with pictures of the images it asked about."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pandas as pd

from convlab.common import i18n
from convlab.common.files import read_json
from convlab.common.i18n import N_, number
from convlab.common.i18n import gettext as _
from convlab.common.redaction import masked
from convlab.datasets.prepared import load_test
from convlab.figures.sprites import Group, sprite_of
from convlab.language import numbers as say
from convlab.page.figures import Sprite, sprite_view
from convlab.study import layout

MAX_ANSWER_IMAGES = 12
"""Answers with a picture: all mistakes first, then the others, in the order of asking."""

STATES = {"succeeded": N_("succeeded"), "failed": N_("failed")}
"""How a status reads, before translation."""


@dataclass(frozen=True)
class Deployment:
    """One deployment's evidence as texts. ``place``: where it ran: here, on AWS, or on a double of AWS; ``current``:
    whether the model is one that this study's runs give now; ``logs``: names and the last lines of each."""

    dataset: str
    succeeded: bool
    place: Literal["here", "aws", "double"]
    current: bool
    facts: list[tuple[str, str]]
    logs: list[tuple[str, str]]
    answers: Sprite | None


def deployment(folder: Path, dataset: str, runs: pd.DataFrame) -> Deployment | None:
    """The evidence of a dataset's deployment; None where there is none.

    Args:
        folder: the study's folder.
        runs: rows with dataset, variant, seed, spec_hash.
    """
    path = layout.deployed(folder, dataset) / "endpoint.json"
    if not path.is_file():
        return None
    found = masked(read_json(path))
    model = found["model"]
    same = runs[(runs["dataset"] == dataset) & (runs["variant"] == (model or {}).get("variant"))]
    current = model is None or model["spec_hash"] in set(same[same["seed"] == model["seed"]]["spec_hash"])
    return Deployment(
        dataset,
        found["status"] == "succeeded",
        place(found),
        current,
        facts(found),
        logs(found),
        answers(found["answers"], layout.prepared(folder, dataset)) if found["answers"] else None,
    )


def place(found: Mapping[str, Any]) -> Literal["here", "aws", "double"]:
    """Where it ran; on AWS only what says so, and what failed before it went anywhere."""
    if found["target"] == "local":
        return "here"
    return "aws" if (found["endpoint"] or {}).get("on_aws", True) else "double"


def facts(found: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Name and value of each fact; what a failure left open is not listed."""
    rows = [("status", _(STATES[found["status"]]))]
    if found["error"]:
        rows.append(("error", found["error"]["message"]))
    if found["model"]:
        model = found["model"]
        rows.append(
            (
                "deployed",
                f"{_('{variant}, seed {seed}', variant=model['variant'], seed=model['seed'])} ({model['runtime']})",
            )
        )
    rows += cloud_facts(found["endpoint"] or {}, found.get("training") or {})
    if found["images"] and found["answers"]:
        rows.append(
            ("asked", _("{n} of {all}", n=say.count(found["images"]["count"]), all=say.count(found["images"]["of"])))
        )
    if found["accuracy"]:
        accuracy = found["accuracy"]
        interval = say.ci_text(accuracy["ci_low"], accuracy["ci_high"], "%")
        rows.append(("accuracy", f"{say.percent(accuracy['value'])} ({interval})"))
    if found["parity"]:
        rows.append(("parity", say.percent(found["parity"]["agreement"])))
        rows.append(("largest_difference", number(found["parity"]["largest_difference"], ".1e")))
    latency = found["latency_ms"] or {}
    if latency:
        rows.append(("first_call", i18n.with_unit(say.number(latency["first"], 2), "ms")))
        known = [(name, latency.get(name)) for name in ("p50", "p90", "p95", "p99")]
        texts = [f"{name} {i18n.with_unit(say.number(value, 2), 'ms')}" for name, value in known if value is not None]
        rows += [("latency", ", ".join(texts))] if texts else []
    if found["finished"]:
        begin, end = (i18n.instant(datetime.fromisoformat(found[name])) for name in ("started", "finished"))
        rows.append(("time", f"{begin} – {end}"))
    if found["teardown"]:
        rows.append(("teardown", ", ".join(found["teardown"]["remaining"]) or _("nothing")))
    return rows


def cloud_facts(endpoint: Mapping[str, Any], job: Mapping[str, Any]) -> list[tuple[str, str]]:
    """What there is to know of a training job and an endpoint in a cloud."""
    rows = []
    if job.get("name"):
        parts = [job["name"], job["status"], job["instance_type"], job["image"]]
        parts += [_("spare capacity")] if job["spot"] else []
        parts += [i18n.with_unit(str(job["billable_seconds"]), "s")] if job["billable_seconds"] else []
        rows.append(("job", ", ".join(part for part in parts if part)))
    if "test_accuracy" in job:
        rows.append(("job_accuracy", say.percent(job["test_accuracy"])))
    if "variant" in endpoint:
        serverless = endpoint["variant"].get("ServerlessConfig")
        size = f"serverless, {serverless['MemorySizeInMB']} MB" if serverless else endpoint["variant"]["InstanceType"]
        rows.append(("endpoint", f"{endpoint['name']}, {endpoint['region']}, {size}, {endpoint['image']}"))
    if "seconds_to_service" in endpoint:
        rows.append(("start", i18n.with_unit(say.number(endpoint["seconds_to_service"], 1), "s")))
    if endpoint.get("objects"):
        sizes = i18n.with_unit(say.number(sum(entry["bytes"] for entry in endpoint["objects"]) / 1e6, 2), "MB")
        rows.append(("objects", f"{say.count(len(endpoint['objects']))} ({sizes})"))
    return rows


def logs(found: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Name and last lines of what a job and an endpoint wrote, and what was done to take them down."""
    texts = []
    for about in (found.get("training") or {}, found["endpoint"] or {}):
        for stream, lines in about.get("log", {}).get("streams", {}).items():
            texts.append((f"{about['log']['group']}: {stream}", "\n".join(lines)))
    steps = (found["teardown"] or {}).get("about", {}).get("steps", [])
    if steps:
        lines = [f"{step['at'][:19]}  {step['resource']}: {step['outcome']}" for step in steps]
        texts.append((_("How it was taken down"), "\n".join(lines)))
    return texts


def answers(given: Sequence[Mapping[str, Any]], prepared: Path) -> Sprite:
    """Pictures of the images that were asked about, each with the truth, the answer and its probability."""
    images, _labels = load_test(prepared)
    classes = read_json(prepared / "manifest.json")["classes"]
    shown = sorted(given, key=lambda answer: answer["correct"])[:MAX_ANSWER_IMAGES]
    groups = [
        Group(
            images[answer["index"]][np.newaxis],
            classes[answer["true_class"]],
            (
                f"→ {answer['label']} {say.percent(max(answer['probabilities']), 1)}",
                i18n.with_unit(say.number(answer["latency_ms"], 1), "ms"),
            ),
            "right" if answer["correct"] else "wrong",
        )
        for answer in shown
    ]
    return sprite_view(*sprite_of(groups))
