"""Deploy the exported model of one dataset, test the endpoint with test images, and tear it down.

Writes endpoint.json, the evidence, also on failure, and on success answers.csv. Nothing is left running.
"""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))  # Python leaves it out with -P and PYTHONSAFEPATH
from convlab.common import environment

environment.start()

import argparse
import csv
import json
import logging
import os
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Protocol

import numpy as np

from convlab.cloud.state import EarlierDeployment
from convlab.common import provenance, redaction
from convlab.common.checksums import verify_all, write_record
from convlab.common.cli import run
from convlab.common.files import atomic, read_json, write_json
from convlab.common.redaction import masked
from convlab.common.shutdown import exit_on_signals
from convlab.datasets import prepared
from convlab.errors import UserError
from convlab.evaluation.records import read_probabilities
from convlab.serving import endpoint_test
from convlab.serving.local import LocalEndpoint
from convlab.serving.record import EVIDENCE_FILE, Deployed, Evidence, Failure, ImagePrediction, Registration, Teardown
from convlab.study import layout

OPTIONS_VARIABLE = "CONVLAB_DEPLOY"
"""Environment variable with the full options; command lines are logged, so their account numbers are hidden."""

SAMPLING_RULE = "test images in the classes' proportions, drawn by seed"

ANSWER_COLUMNS = ("index", "true_class", "predicted_class", "label", "probability", "correct", "latency_ms")
"""Columns of answers.csv."""

log = logging.getLogger("deploy")


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--options",
        required=True,
        type=json.loads,
        help=f"`deploy` of the config, as JSON; {OPTIONS_VARIABLE} takes its place, since command lines are logged",
    )
    parser.add_argument("--identity", help="fingerprint of the options, for Snakemake, which records command lines")
    parser.add_argument("--dataset", required=True, help="the dataset's name in the config")
    parser.add_argument("--results-dir", required=True, type=Path, help="the study's folder under results/")
    arguments = parser.parse_args(argv)
    folder, output = arguments.results_dir, layout.deployed(arguments.results_dir, arguments.dataset)
    options = arguments.options
    if arguments.identity and OPTIONS_VARIABLE in os.environ:
        options = json.loads(os.environ[OPTIONS_VARIABLE])
    known = redaction.account_numbers(options)
    redaction.KNOWN_ACCOUNTS[:] = known

    exit_on_signals()
    evidence = Evidence(study=folder.name, target=options["target"], started=now())
    evidence.versions, evidence.hardware = provenance.versions(), provenance.hardware()
    record = EvidenceFile(output / EVIDENCE_FILE, evidence, known, begin=time.perf_counter())
    try:
        deploy(record, folder, arguments.dataset, options)
        evidence.status = "succeeded"
    except EarlierDeployment:
        record.of_another = True
        raise
    except UserError as error:
        evidence.error = Failure(type="UserError", message=masked(str(error), known)[:2000])
        raise UserError(masked(str(error), known)) from None
    except BaseException as error:
        evidence.error = Failure(type=type(error).__name__, message=str(error)[:2000])
        raise
    finally:
        with write_then_exit(evidence):
            record.write()
            if not record.of_another:
                log.info("%s; see %s", evidence.status, record.path)
            if evidence.status == "succeeded":
                write_answers(output / "answers.csv", evidence.answers)
                write_record(output / "answers.csv")
            record.complete()


@dataclass
class EvidenceFile:
    """endpoint.json, on disk before anything is waited for that only informs, or that can be done again.

    ``accounts``: numbers to mask; ``begin``: of the deployment, by time.perf_counter; ``endpoint``: what was deployed;
    ``of_another``: the file is that of an unfinished deployment, and stays as it is.
    """

    path: Path
    evidence: Evidence
    accounts: list[str]
    begin: float
    endpoint: "Endpoint | None" = None
    of_another: bool = False

    def write(self) -> None:
        """Write the evidence as it is."""
        if self.of_another:
            return
        self.evidence.finished, self.evidence.wall_seconds = now(), time.perf_counter() - self.begin
        write_json(self.path, masked(self.evidence.model_dump(mode="json", fallback=str), self.accounts))

    def write_unfinished(self, doing: str) -> None:
        """Write what is known before something else is done: what is read if the process is killed meanwhile.

        Never raises.
        """
        before = self.evidence.error
        message = f"the process ended while {doing}; run: make teardown"
        self.evidence.error = Failure(type="Killed", message=message)
        try:
            self.note_facts()
            self.write()
        except Exception as error:  # a full disk; in the end it is tried again
            log.warning("%s could not be written yet: %s: %s", self.path, type(error).__name__, error)
        finally:
            self.evidence.error = before

    def complete(self) -> None:
        """Add what only informs and may be waited for, logs and metrics, to the evidence that is on disk."""
        if self.endpoint is None:
            return
        try:
            self.endpoint.look()
            self.note_facts()
            self.write()
        except Exception as error:
            log.warning("%s lacks logs or metrics: %s: %s", self.path, type(error).__name__, error)

    def note_facts(self) -> None:
        """Bring the description of the endpoint in the evidence up to date."""
        evidence = self.evidence
        try:
            facts = self.endpoint.facts()
        except Exception as error:  # it only informs
            facts = {**(evidence.endpoint or {}), "error": f"{type(error).__name__}: {error}"[:500]}
        evidence.training = facts.pop("training", evidence.training)
        evidence.cold_starts = facts.pop("cold_starts", evidence.cold_starts)
        evidence.server = facts.pop("server", evidence.server)
        evidence.endpoint = facts


@contextmanager
def write_then_exit(evidence: Evidence) -> Iterator[None]:
    """Write the evidence in the block; exit status EXIT_RESOURCES_REMAIN if resources remain, whatever else fails."""
    try:
        yield
    except Exception as error:
        if not (evidence.teardown and evidence.teardown.remaining):
            raise
        log.error("the evidence could not be written: %s: %s", type(error).__name__, error)
    if evidence.teardown and evidence.teardown.remaining:
        if evidence.error:
            log.error("%s", evidence.error.message)
        raise SystemExit(EXIT_RESOURCES_REMAIN)


def deploy(record: EvidenceFile, folder: Path, dataset: str, options: Mapping[str, Any]) -> None:
    """Deploy and test, filling the evidence step by step, so that it is informative if a step fails."""
    evidence, model_dir = record.evidence, layout.exported(folder, dataset)
    verify_all(model_dir / "export.json")
    exported = read_json(model_dir / "export.json")
    evidence.model = Deployed(
        **{name: exported[name] for name in ("dataset", "variant", "seed", "spec_hash", "files_sha256")},
        runtime=options["runtime"],
    )
    images, labels = prepared.load_test(layout.prepared(folder, dataset))
    chosen = prepared.nested_subset(labels, min(options["test_images"], len(labels)), options["seed"])
    evidence.images = {"count": len(chosen), "of": len(labels), "seed": options["seed"], "rule": SAMPLING_RULE}
    (evaluated,) = read_probabilities(layout.evaluated(folder, dataset, exported["variant"]), [exported["seed"]])

    asked = (options.get("sagemaker") or {}).get("mode") != "train"  # which ends with a model and no endpoint
    endpoint = record.endpoint = TARGETS[options["target"]](folder, dataset, options)
    endpoint.meanwhile = lambda: record.write_unfinished("its resources were being taken down")
    try:
        with endpoint:
            for answer in endpoint.answers(images, chosen if asked else [], labels):
                evidence.answers.append(answer)
            if measure := endpoint.further():
                record.write_unfinished("further measurements were made, with the endpoint in service")
                measure()
    finally:
        evidence.teardown = Teardown(**endpoint.teardown)
        record.note_facts()
        if evidence.teardown.remaining:
            log.error("%s would not end; %s", ", ".join(evidence.teardown.remaining), CLEANUP_HINT[options["target"]])
    if evidence.teardown.remaining:
        raise UserError("the deployment left something behind")
    if not asked:
        return
    reference = evaluated if endpoint.reference() is None else endpoint.reference()
    compare(evidence, reference, read_json(model_dir / "parity.json")["tolerance"])
    if (options.get("sagemaker") or {}).get("register"):
        all_correct = reference.argmax(axis=1) == labels
        record.write_unfinished("the tested model was being registered")
        try:
            evidence.registration = endpoint.register(evidence, float(all_correct.mean()))
        finally:
            evidence.teardown = Teardown(**endpoint.teardown)


def compare(evidence: Evidence, reference: np.ndarray, tolerance: float) -> None:
    """Summarise the answers. Raises UserError if they differ from the reference by more than ``tolerance``."""
    evidence.accuracy = endpoint_test.accuracy(evidence.answers)
    if evidence.answers[0].latency_ms is not None:
        evidence.latency_ms = endpoint_test.latency(evidence.answers)
    evidence.parity = endpoint_test.agreement(evidence.answers, reference)
    log.info("%s", summary(evidence))
    if not evidence.parity.largest_difference <= tolerance:  # NaN, too, is more
        raise UserError(
            "the endpoint's probabilities differ from the evaluated model's by up to "
            f"{evidence.parity.largest_difference:.2g}, more than rounding explains ({tolerance:g}); export it again "
            "with --forcerun export_model"
        )


class Endpoint(AbstractContextManager, Protocol):
    """An endpoint of any target: serving after entry, gone after exit."""

    teardown: dict[str, Any]
    """Remaining resources and details, also after a failed entry."""

    meanwhile: Callable[[], None] | None
    """Called, where ending it takes long, once it has been asked to end."""

    def answers(self, images: np.ndarray, indices: Sequence[int], labels: np.ndarray) -> Iterator[ImagePrediction]:
        """Predictions for images (uint8, NHWC) at ``indices``, in order; ``labels``: the images' true classes."""

    def further(self) -> Callable[[], None] | None:
        """Measurements beside the answers, while it serves, if the options ask for any; they only inform."""

    def look(self) -> None:
        """Read logs and metrics, which may be waited for, once it is gone; they only inform."""

    def register(self, evidence: Evidence, test_accuracy: float) -> Registration:
        """Register the tested model where the target has a registry; called only if the options ask for it."""

    def facts(self) -> dict[str, Any]:
        """Description of the endpoint for the evidence; a training job under ``training``."""

    def reference(self) -> np.ndarray | None:
        """Probabilities for all test images of a model that the target trained, to compare with; else None."""


def local(folder: Path, dataset: str, options: Mapping[str, Any]) -> Endpoint:
    return LocalEndpoint(layout.exported(folder, dataset), options["runtime"])


def sagemaker(folder: Path, dataset: str, options: Mapping[str, Any]) -> Endpoint:
    from convlab.cloud.batch_transform import BatchTransform  # boto3, which the other target does not need
    from convlab.cloud.endpoint import SageMakerEndpoint

    batch = options["sagemaker"].get("mode") in ("batch", "train_and_batch")
    return (BatchTransform if batch else SageMakerEndpoint)(folder, dataset, options)


TARGETS: Mapping[str, Callable[[Path, str, Mapping[str, Any]], Endpoint]] = {"local": local, "sagemaker": sagemaker}
"""Factory of endpoints, by target."""

CLEANUP_HINT = {"local": "end it by hand", "sagemaker": "run: make teardown"}
"""How to remove resources that remain, by target."""

EXIT_RESOURCES_REMAIN = 3
"""Exit status if resources remain."""


def summary(evidence: Evidence) -> str:
    """Accuracy, agreement and latency in one line, for the log."""
    accuracy, latency = evidence.accuracy, evidence.latency_ms
    text = (
        f"{accuracy.images} images, accuracy {accuracy.value:.4f}, largest difference to the evaluated model "
        f"{evidence.parity.largest_difference:.1e}"
    )
    if latency is None:
        return text
    p50 = f", then {latency.p50:.2f} ms (p50)" if latency.p50 is not None else ""
    return f"{text}; first answer after {latency.first:.2f} ms{p50}"


def write_answers(path: Path, answers: list[ImagePrediction]) -> None:
    """Write one row for each image."""
    with atomic(path) as temporary, temporary.open("w", newline="", encoding="utf-8") as stream:
        writer = csv.DictWriter(stream, ANSWER_COLUMNS, lineterminator="\n", extrasaction="ignore")
        writer.writeheader()
        for answer in answers:
            writer.writerow({**answer.model_dump(), "probability": max(answer.probabilities)})


def now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")


if __name__ == "__main__":
    redaction.mask_output()
    run(main)
