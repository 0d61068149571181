"""Deploy the exported model of one dataset, ask the endpoint about test images, and take it down again.

Writes endpoint.json, the evidence, whatever happens; and answers.csv where all went well. Nothing is left running.
"""

import argparse
import csv
import json
import logging
import signal
import sys
import time
from collections.abc import Mapping
from contextlib import AbstractContextManager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from convlab import data, provenance
from convlab.cli import run
from convlab.errors import UserError
from convlab.files import atomic, read_arrays, read_json, write_json
from convlab.serving import trial
from convlab.serving.evidence import Answer, Deployed, Evidence, Failure, Teardown
from convlab.serving.local import LocalEndpoint

RULE = "test images in the classes' proportions, drawn by seed"

log = logging.getLogger("deploy")


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--options", required=True, type=json.loads, help="target, runtime, test_images, seed, as JSON")
    parser.add_argument("--dataset", required=True, help="the dataset's name in the config")
    parser.add_argument("--results-dir", required=True, type=Path, help="the study's folder under results/")
    arguments = parser.parse_args(argv)
    folder, output = arguments.results_dir, arguments.results_dir / "deploy" / arguments.dataset

    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(128 + number))  # so that everything below is undone
    begin = time.perf_counter()
    evidence = Evidence(study=folder.name, target=arguments.options["target"], started=now())
    evidence.versions, evidence.hardware = provenance.versions(), provenance.hardware()
    try:
        deploy(evidence, folder, arguments.dataset, arguments.options)
        evidence.status = "succeeded"
    except BaseException as error:
        evidence.error = Failure(type=type(error).__name__, message=str(error)[:2000])
        raise
    finally:
        evidence.finished, evidence.wall_seconds = now(), time.perf_counter() - begin
        write_json(output / "endpoint.json", evidence.model_dump())
        log.info("%s; see %s", evidence.status, output / "endpoint.json")
    write_answers(output / "answers.csv", evidence.answers)


def deploy(evidence: Evidence, folder: Path, dataset: str, options: Mapping[str, Any]) -> None:
    """Fill ``evidence`` step by step, so that it holds what was found out when something fails."""
    model_dir = folder / "export" / dataset
    exported = read_json(model_dir / "export.json")
    evidence.model = Deployed(
        **{name: exported[name] for name in ("dataset", "variant", "seed", "spec_hash", "files_sha256")},
        runtime=options["runtime"],
    )
    images, labels = data.load_test(folder / "prepare" / dataset)
    chosen = data.subset(labels, min(options["test_images"], len(labels)), options["seed"])
    evidence.images = {"count": len(chosen), "of": len(labels), "seed": options["seed"], "rule": RULE}
    run_dir = folder / "evaluate" / dataset / exported["variant"] / f"seed-{exported['seed']}"
    reference = read_arrays(run_dir / "predictions.npz")["probabilities"]

    endpoint = TARGETS[options["target"]](model_dir, options)
    try:
        with endpoint:
            for answer in trial.ask(endpoint.invoke, images, chosen, labels):
                evidence.answers.append(answer)
    finally:
        evidence.endpoint, evidence.teardown = endpoint.facts(), Teardown(**endpoint.teardown)
    evidence.accuracy = trial.accuracy(evidence.answers)
    evidence.latency_ms = trial.latency(evidence.answers)
    evidence.parity = trial.agreement(evidence.answers, reference)
    log.info("%s", summary(evidence))
    if evidence.teardown.remaining:
        raise UserError(f"{', '.join(evidence.teardown.remaining)} would not end; end it by hand")
    tolerance = read_json(model_dir / "parity.json")["tolerance"]
    if evidence.parity.largest_difference > tolerance:
        raise UserError(
            "the endpoint's probabilities differ from the evaluated model's by up to "
            f"{evidence.parity.largest_difference:.2g}, more than rounding explains ({tolerance:g}); export it again "
            "with --forcerun export_model"
        )


def local(model_dir: Path, options: Mapping[str, Any]) -> AbstractContextManager:
    return LocalEndpoint(model_dir, options["runtime"])


TARGETS = {"local": local}
"""What makes an endpoint of each target. It is a context manager: entered, ``invoke`` answers; left, nothing remains.
``facts()`` says where the answers came from and ``teardown`` what became of it, also when entering it failed."""


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
