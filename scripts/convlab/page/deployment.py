"""The report's section on deployments: facts and logs of endpoint.json, and pictures of the images that were sent."""

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
"""Images shown with their predictions: mistakes first, then the others, in the order they were sent."""

STATES = {"succeeded": N_("succeeded"), "failed": N_("failed")}
"""Text of each status, before translation."""


@dataclass(frozen=True)
class Deployment:
    """One deployment's evidence as texts. ``site``: where the model was served; ``current``: whether the model
    belongs to a run of the study as it is now; ``logs``: name and last lines of each."""

    dataset: str
    succeeded: bool
    site: Literal["here", "aws", "double"]
    current: bool
    facts: list[tuple[str, str]]
    logs: list[tuple[str, str]]
    answers: Sprite | None


def deployment(folder: Path, dataset: str, runs: pd.DataFrame) -> Deployment | None:
    """View of a dataset's deployment; None if it has not been deployed.

    Args:
        folder: the study's folder.
        runs: rows with dataset, variant, seed, spec_hash.
    """
    path = layout.deployed(folder, dataset) / "endpoint.json"
    if not path.is_file():
        return None
    evidence = masked(read_json(path))
    model = evidence["model"]
    same = runs[(runs["dataset"] == dataset) & (runs["variant"] == (model or {}).get("variant"))]
    current = model is None or model["spec_hash"] in set(same[same["seed"] == model["seed"]]["spec_hash"])
    return Deployment(
        dataset,
        evidence["status"] == "succeeded",
        deployment_site(evidence),
        current,
        facts(evidence),
        logs(evidence),
        answered_images(evidence["answers"], layout.prepared(folder, dataset)) if evidence["answers"] else None,
    )


def deployment_site(evidence: Mapping[str, Any]) -> Literal["here", "aws", "double"]:
    """Where the model was served: this machine, AWS, or a double of AWS; a failure before that counts as AWS."""
    if evidence["target"] == "local":
        return "here"
    return "aws" if (evidence["endpoint"] or {}).get("on_aws", True) else "double"


def facts(evidence: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Name and value of each fact; those that a failure left open are omitted."""
    rows = [("status", _(STATES[evidence["status"]]))]
    if evidence["error"]:
        rows.append(("error", evidence["error"]["message"]))
    if evidence["model"]:
        model = evidence["model"]
        rows.append(
            (
                "deployed",
                f"{_('{variant}, seed {seed}', variant=model['variant'], seed=model['seed'])} ({model['runtime']})",
            )
        )
    rows += cloud_facts(evidence["endpoint"] or {}, evidence.get("training") or {})
    if evidence["images"] and evidence["answers"]:
        images = evidence["images"]
        rows.append(("asked", _("{n} of {all}", n=say.count(images["count"]), all=say.count(images["of"]))))
    if evidence["accuracy"]:
        accuracy = evidence["accuracy"]
        interval = say.ci_text(accuracy["ci_low"], accuracy["ci_high"], "%")
        rows.append(("accuracy", f"{say.percent(accuracy['value'])} ({interval})"))
    if evidence["parity"]:
        rows.append(("parity", say.percent(evidence["parity"]["agreement"])))
        rows.append(("largest_difference", number(evidence["parity"]["largest_difference"], ".1e")))
    latency = evidence["latency_ms"] or {}
    if latency:
        rows.append(("first_call", i18n.with_unit(say.number(latency["first"], 2), "ms")))
        known = [(name, latency.get(name)) for name in ("p50", "p90", "p95", "p99")]
        texts = [f"{name} {i18n.with_unit(say.number(value, 2), 'ms')}" for name, value in known if value is not None]
        rows += [("latency", ", ".join(texts))] if texts else []
    rows += server_facts(evidence.get("cold_starts") or {}, evidence.get("server") or {})
    if evidence["finished"]:
        begin, end = (i18n.instant(datetime.fromisoformat(evidence[name])) for name in ("started", "finished"))
        rows.append(("time", f"{begin} – {end}"))
    teardown = evidence["teardown"] or {}
    # Beside what would not go, objects are left for that and not as asked.
    kept = [] if teardown.get("remaining") else list(teardown.get("about", {}).get("kept_objects", ()))
    if registered := evidence.get("registration"):
        package = registered["package"].split(":model-package/")[-1]
        parts = [package, registered["approval"], f"{registered['card']} ({registered['card_status']})"]
        rows.append(("registered", ", ".join(parts)))
        kept += registered["kept_objects"]
    if kept:
        rows.append(("kept_objects", ", ".join(kept)))
    if evidence["teardown"]:
        rows.append(("teardown", ", ".join(evidence["teardown"]["remaining"]) or _("nothing")))
    return rows


def cloud_facts(endpoint: Mapping[str, Any], job: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Name and value of each fact about a training job and an endpoint on AWS."""
    rows = []
    if job.get("name"):
        parts = [job["name"], job["status"], job["instance_type"], job["image"]]
        parts += [_("spare capacity")] if job["spot"] else []
        parts += [i18n.with_unit(str(job["billable_seconds"]), "s")] if job["billable_seconds"] else []
        rows.append(("job", ", ".join(part for part in parts if part)))
    if "test_accuracy" in job:
        rows.append(("job_accuracy", say.percent(job["test_accuracy"])))
    if "transform" in endpoint:
        transform = endpoint["transform"]
        rows.append(
            (
                "transform",
                f"{transform['name']}, {endpoint['region']}, {transform['instance_type']}, {endpoint['image']}",
            )
        )
        if transform.get("seconds"):
            seconds = i18n.with_unit(say.number(transform["seconds"], 1), "s")
            rate = say.number(transform["images_per_second"], 1)
            rows.append(("transform_time", _("{seconds}, {rate} images per second", seconds=seconds, rate=rate)))
    if "variant" in endpoint:
        serverless = endpoint["variant"].get("ServerlessConfig")
        size = f"serverless, {serverless['MemorySizeInMB']} MB" if serverless else endpoint["variant"]["InstanceType"]
        rows.append(("endpoint", f"{endpoint['name']}, {endpoint['region']}, {size}, {endpoint['image']}"))
    if "seconds_to_service" in endpoint:
        rows.append(("start", i18n.with_unit(say.number(endpoint["seconds_to_service"], 1), "s")))
    if controls := endpoint.get("controls"):
        rows.append(("controls", ", ".join(_control(key, value) for key, value in controls.items())))
    if endpoint.get("objects"):
        sizes = i18n.with_unit(say.number(sum(entry["bytes"] for entry in endpoint["objects"]) / 1e6, 2), "MB")
        rows.append(("objects", f"{say.count(len(endpoint['objects']))} ({sizes})"))
    return rows


def _control(key: str, value: Any) -> str:
    """A setting of network or encryption as the config has it."""
    values = [text for part in value.values() for text in part] if isinstance(value, Mapping) else [value]
    return key if value is True else f"{key} ({', '.join(values)})"


def server_facts(cold: Mapping[str, Any], server: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Name and value of each fact about cold starts, and about what the service measured beside the client."""
    rows = []
    if cold.get("asked", 1) > 1:
        count = len(cold["milliseconds"])
        text = _("median {median}, {low} to {high} (n = {n})", n=say.count(count), **_times(cold, "median"))
        rows.append(("cold_starts", f"{text}; {cold['error']}" if cold["error"] else text))
    if not server:
        return rows
    if server["invocations"] is None:
        seconds = i18n.with_unit(say.number(server["waited_seconds"], 0), "s")
        text = _("not there within {seconds}", seconds=seconds)
        return [*rows, ("server", f"{text}: {server['error']}" if server["error"] else text)]
    names = ("invocations", "errors_4xx", "errors_5xx")
    counts = {name: say.count(server[name]) for name in names if server[name] is not None}
    text = counts["invocations"]
    if len(counts) == len(names):
        text = _("{invocations}, of them {errors_4xx} answered 4xx and {errors_5xx} 5xx", **counts)
    rows.append(("server", text if server["complete"] else f"{text}; {_('not all had been counted yet')}"))
    for name in ("model_latency_ms", "overhead_latency_ms", "model_setup_ms", "client_latency_ms"):
        if server[name]:
            rows.append((name, _("mean {mean}, {low} to {high}", **_times(server[name], "mean"))))
    if server["outside_ms"] is not None:
        rows.append(("outside_ms", i18n.with_unit(say.number(server["outside_ms"], 2), "ms")))
    for name in ("memory_percent", "cpu_percent"):
        if server[name]:
            rows.append((name, _("{value} at most", value=say.percent(server[name]["max"] / 100, 1))))
    return rows


def _times(spread: Mapping[str, Any], middle: str) -> dict[str, str]:
    """Milliseconds of a spread as texts: its middle under that name, ``low`` and ``high``."""
    values = {middle: spread[middle], "low": spread["min"], "high": spread["max"]}
    return {name: i18n.with_unit(say.number(value, 2 if value < 100 else 0), "ms") for name, value in values.items()}


def logs(evidence: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Name and last lines of the logs of a training job and an endpoint, and the steps of the teardown."""
    texts = []
    for part in (evidence.get("training") or {}, evidence["endpoint"] or {}):
        for stream, lines in part.get("log", {}).get("streams", {}).items():
            texts.append((f"{part['log']['group']}: {stream}", "\n".join(lines)))
    steps = (evidence["teardown"] or {}).get("about", {}).get("steps", [])
    if steps:
        lines = [f"{step['at'][:19]}  {step['resource']}: {step['outcome']}" for step in steps]
        texts.append((_("How it was taken down"), "\n".join(lines)))
    return texts


def answered_images(given: Sequence[Mapping[str, Any]], prepared: Path) -> Sprite:
    """Test images that were sent, each with its class, the prediction, its probability and the latency."""
    images, _labels = load_test(prepared)
    classes = read_json(prepared / "manifest.json")["classes"]
    shown = sorted(given, key=lambda reply: reply["correct"])[:MAX_ANSWER_IMAGES]
    groups = [
        Group(
            images[reply["index"]][np.newaxis],
            classes[reply["true_class"]],
            (
                f"→ {reply['label']} {say.percent(max(reply['probabilities']), 1)}",
                *(
                    [i18n.with_unit(say.number(reply["latency_ms"], 1), "ms")]
                    if reply["latency_ms"] is not None
                    else []
                ),
            ),
            "right" if reply["correct"] else "wrong",
        )
        for reply in shown
    ]
    return sprite_view(*sprite_of(groups))
