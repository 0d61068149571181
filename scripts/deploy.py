"""Deploy the exported model of one dataset, ask the endpoint about test images, and take it down again.

Writes endpoint.json, the evidence, whatever happens; and answers.csv where all went well. Nothing is left running.
"""

import argparse
import csv
import json
import logging
import time
from collections.abc import Mapping
from contextlib import AbstractContextManager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from convlab import data, provenance
from convlab.accounts import masked
from convlab.checksums import verify_all, write_record
from convlab.cli import run
from convlab.errors import UserError
from convlab.evaluation import read_probabilities
from convlab.files import atomic, read_json, write_json
from convlab.serving import trial
from convlab.serving.evidence import Answer, Deployed, Evidence, Failure, Teardown
from convlab.serving.local import LocalEndpoint
from convlab.signals import exit_on_signals

RULE = "test images in the classes' proportions, drawn by seed"

log = logging.getLogger("deploy")


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--options", required=True, type=json.loads, help="`deploy` of the config, as JSON")
    parser.add_argument("--dataset", required=True, help="the dataset's name in the config")
    parser.add_argument("--results-dir", required=True, type=Path, help="the study's folder under results/")
    arguments = parser.parse_args(argv)
    folder, output = arguments.results_dir, arguments.results_dir / "deploy" / arguments.dataset

    exit_on_signals()
    begin = time.perf_counter()
    evidence = Evidence(study=folder.name, target=arguments.options["target"], started=now())
    evidence.versions, evidence.hardware = provenance.versions(), provenance.hardware()
    try:
        deploy(evidence, folder, arguments.dataset, arguments.options)
        evidence.status = "succeeded"
    except BaseException as error:
        evidence.error = Failure(type=type(error).__name__, message=str(error)[:2000])
        if evidence.teardown and evidence.teardown.remaining:
            log.error("%s", error)
            raise SystemExit(LEFT) from error
        raise
    finally:
        evidence.finished, evidence.wall_seconds = now(), time.perf_counter() - begin
        write_json(output / "endpoint.json", masked(evidence.model_dump(), accounts(arguments.options)))
        log.info("%s; see %s", evidence.status, output / "endpoint.json")
    write_answers(output / "answers.csv", evidence.answers)
    write_record(output / "answers.csv")


def deploy(evidence: Evidence, folder: Path, dataset: str, options: Mapping[str, Any]) -> None:
    """Fill ``evidence`` step by step, so that it holds what was found out when something fails."""
    model_dir = folder / "export" / dataset
    verify_all(model_dir / "export.json")
    exported = read_json(model_dir / "export.json")
    evidence.model = Deployed(
        **{name: exported[name] for name in ("dataset", "variant", "seed", "spec_hash", "files_sha256")},
        runtime=options["runtime"],
    )
    images, labels = data.load_test(folder / "prepare" / dataset)
    chosen = data.subset(labels, min(options["test_images"], len(labels)), options["seed"])
    evidence.images = {"count": len(chosen), "of": len(labels), "seed": options["seed"], "rule": RULE}
    (evaluated,) = read_probabilities(folder / "evaluate" / dataset / exported["variant"], [exported["seed"]])

    asked = (options.get("sagemaker") or {}).get("mode") != "train"  # which ends with a model and no endpoint
    endpoint = TARGETS[options["target"]](folder, dataset, options)
    try:
        with endpoint:
            for answer in trial.ask(endpoint.invoke, images, chosen if asked else [], labels):
                evidence.answers.append(answer)
    finally:
        evidence.teardown, facts = Teardown(**endpoint.teardown), endpoint.facts()
        evidence.training, evidence.endpoint = facts.pop("training", None), facts
        if evidence.teardown.remaining:
            log.error("%s would not end; %s", ", ".join(evidence.teardown.remaining), AFTERWARDS[options["target"]])
    if evidence.teardown.remaining:
        raise UserError("the deployment left something behind")
    if not asked:
        return
    reference = evaluated if endpoint.reference() is None else endpoint.reference()
    evidence.accuracy = trial.accuracy(evidence.answers)
    evidence.latency_ms = trial.latency(evidence.answers)
    evidence.parity = trial.agreement(evidence.answers, reference)
    log.info("%s", summary(evidence))
    tolerance = read_json(model_dir / "parity.json")["tolerance"]
    if evidence.parity.largest_difference > tolerance:
        raise UserError(
            "the endpoint's probabilities differ from the evaluated model's by up to "
            f"{evidence.parity.largest_difference:.2g}, more than rounding explains ({tolerance:g}); export it again "
            "with --forcerun export_model"
        )


def local(folder: Path, dataset: str, options: Mapping[str, Any]) -> AbstractContextManager:
    return LocalEndpoint(folder / "export" / dataset, options["runtime"])


def sagemaker(folder: Path, dataset: str, options: Mapping[str, Any]) -> AbstractContextManager:
    from convlab.cloud.endpoint import SageMakerEndpoint  # boto3, which the other target does not need

    return SageMakerEndpoint(folder, dataset, options)


TARGETS = {"local": local, "sagemaker": sagemaker}
"""What makes an endpoint of each target. It is a context manager: entered, ``invoke`` answers; left, nothing remains.
``facts()`` says where the answers came from, ``teardown`` what became of it, also when entering it failed, and
``reference()`` what the answers are held against if it trained a model of its own."""

AFTERWARDS = {"local": "end it by hand", "sagemaker": "run: make teardown"}
"""What to do about what is left."""

LEFT = 3
"""Exit status where something is left."""


def accounts(options: Mapping[str, Any]) -> list[str]:
    """Numbers of AWS accounts in the options."""
    role = (options.get("sagemaker") or {}).get("role_arn")
    return [role.split(":")[4]] if role else []


def summary(evidence: Evidence) -> str:
    """What came out, in one line."""
    found, latency = evidence.accuracy, evidence.latency_ms
    p50 = f", then {latency.p50:.2f} ms (p50)" if latency.p50 is not None else ""
    return (
        f"{found.images} images, accuracy {found.value:.4f}, largest difference to the evaluated model "
        f"{evidence.parity.largest_difference:.1e}; first answer after {latency.first:.2f} ms{p50}"
    )


def write_answers(path: Path, answers: list[Answer]) -> None:
    """One row for each image."""
    columns = ("index", "true_class", "predicted_class", "label", "probability", "correct", "latency_ms")
    with atomic(path) as temporary, temporary.open("w", newline="", encoding="utf-8") as stream:
        writer = csv.DictWriter(stream, columns, lineterminator="\n", extrasaction="ignore")
        writer.writeheader()
        for answer in answers:
            writer.writerow({**answer.model_dump(), "probability": max(answer.probabilities)})


def now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")


if __name__ == "__main__":
    run(main)
