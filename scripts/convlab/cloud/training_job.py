"""Training a run in a SageMaker training job, by the same train.py, and checking the returned model."""

import logging
import shutil
import tarfile
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from convlab.cloud import aws, governance, packages, sdk
from convlab.cloud.aws import Clients
from convlab.cloud.sdk import Deployment
from convlab.cloud.state import State
from convlab.cloud.teardown import RUNNING_STATUSES, TRAINING, list_jobs
from convlab.cloud.time_limits import QUEUE_MINUTES
from convlab.common.code_digests import code_inputs
from convlab.common.files import read_json, write_arrays, write_json
from convlab.common.specs import canonical_json
from convlab.datasets import prepared as data
from convlab.datasets.specs import kind_module
from convlab.errors import UserError
from convlab.models.registry import modules
from convlab.models.user_code import UserCode
from convlab.serving.pack import CODE
from convlab.study.sagemaker import SageMaker
from convlab.training.run_spec import Run

SCRIPTS = Path(__file__).resolve().parent.parent.parent
ENTRY = "train_on_sagemaker.py"

RETURNED_FILES = ("model.keras", "history.csv", "run.json")

MAX_ARCHIVE_BYTES = 2 * 2**30
"""Bytes of a job's archive at most, packed and unpacked; a run has some MB."""

DESCRIBED = "described.json"
"""File beside the entry point with the user's own code, as ``train.py --described`` takes it; only if there is such."""

LOG_GROUP = "/aws/sagemaker/TrainingJobs"

log = logging.getLogger("deploy")


@dataclass(frozen=True)
class Trained:
    """A model that a job trained: its folder, and its probabilities for all test images (n, classes)."""

    folder: Path
    probabilities: np.ndarray


def check(settings: SageMaker, image: str, exported: Mapping[str, Any]) -> None:
    """Raise UserError if the exported run cannot be trained there: another Keras or backend, no wheels, no SDK."""
    packages.check(image, settings.network_isolation)
    backend = exported["spec"]["training"].get("backend", "tensorflow")
    if backend != "tensorflow":
        raise UserError(f"the chosen run needs {backend}, and AWS' image has TensorFlow only; use mode: deploy")
    sdk.check_trainer()


def train(
    deployment: Deployment, prepared: Path, exported: Mapping[str, Any], output: Path, facts: dict[str, Any]
) -> Trained:
    """Train the exported run on SageMaker, and check the returned model.

    Args:
        prepared: folder of the dataset; its training and validation images go to S3, its test images do not.
        exported: ``export.json`` of the run.
        output: where model.keras, history.csv and run.json go, in ``trained``.
        facts: filled step by step with the description of the job for the evidence.

    Raises:
        UserError: the job failed, took too long, or returned another run.
    """
    clients, settings = deployment.clients, deployment.settings
    with tempfile.TemporaryDirectory() as temporary:
        with deployment.pending("object"):
            uri = upload_data(deployment, prepared, Path(temporary))
        source = pack_source(Path(temporary) / "source", exported["spec"], exported.get("sources", {}))
        packages.pack(source, sdk.image(settings, "training", clients.region), settings.network_isolation)
        log.info("starting a training job on %s", settings.training.instance_type)
        hyperparameters = {"spec": canonical_json(exported["spec"])}
        with deployment.pending("training_job"):
            sdk.start_training(deployment, source, ENTRY, hyperparameters, uri)
    artifact = wait(clients, deployment.state, settings, facts)
    with tempfile.TemporaryDirectory() as temporary:
        archive = Path(temporary) / "model.tar.gz"
        bucket, key = artifact.removeprefix("s3://").split("/", 1)
        aws.patiently(lambda: download(clients.s3.get_object(Bucket=bucket, Key=key)["Body"], archive))
        folder = unpack(archive, output / "trained", exported)
    return Trained(folder, evaluate(folder, prepared, facts))


def upload_data(deployment: Deployment, prepared: Path, temporary: Path) -> str:
    """Upload the training arrays, a given validation split and the manifest to S3; returns their URI."""
    images, labels = data.load_train(prepared)
    arrays = {"x_train": images, "y_train": labels}
    if given := data.load_validation(prepared):
        arrays |= {"x_validation": given[0], "y_validation": given[1]}
    write_arrays(temporary / "data.npz", **arrays)
    shutil.copyfile(prepared / "manifest.json", temporary / "manifest.json")
    s3, state, encrypted = deployment.clients.s3, deployment.state, governance.upload(deployment.settings)
    for name in ("data.npz", "manifest.json"):
        with (temporary / name).open("rb") as stream:
            s3.put_object(Bucket=state.bucket, Key=f"{state.prefix}data/{name}", Body=stream, **encrypted)
    return f"s3://{state.bucket}/{state.prefix}data/"


def pack_source(folder: Path, spec: Mapping[str, Any], sources: Mapping[str, str] | None = None) -> Path:
    """Copy train.py and the modules that it needs for a run, dataset kind and model family of ``spec`` included.

    ``sources`` are the user's own files that build the model, if any.
    """
    loaded = (kind_module(spec["dataset"]["kind"]), *modules([spec["model"]["family"]]))
    for path in [SCRIPTS / ENTRY, *code_inputs(SCRIPTS / "train.py", loaded)]:
        target = folder / path.relative_to(SCRIPTS)
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path, target)
    if sources:
        write_json(folder / DESCRIBED, {"sources": dict(sources)})
    return folder


def wait(clients: Clients, state: State, settings: SageMaker, facts: dict[str, Any]) -> str:
    """Poll until the job ends; returns the URI of its model. Raises UserError if it did not complete."""
    job = settings.training
    limit = 60 * ((max(job.max_minutes, job.max_wait_minutes) if job.spot else job.max_minutes) + QUEUE_MINUTES)
    seen = None
    for passed in aws.poll_intervals(limit):
        names = aws.patiently(lambda: [name for name, _ in list_jobs(clients, state, TRAINING)])
        if not names:
            continue
        description = aws.patiently(lambda name=names[0]: clients.sagemaker.describe_training_job(TrainingJobName=name))
        facts.update(job_facts(description), name=names[0])
        status = description["TrainingJobStatus"]
        if (status, description.get("SecondaryStatus")) != seen:
            seen = status, description.get("SecondaryStatus")
            log.info("%s: %s after %.0f s", names[0], " ".join(filter(None, dict.fromkeys(seen))), passed)
        if status not in RUNNING_STATUSES:
            break
    else:
        raise UserError(f"the training job did not end within {limit // 60} minutes; it was stopped")
    if status != "Completed":
        reason = description.get("FailureReason") or description.get("SecondaryStatus") or "no reason given"
        raise UserError(f"the training job {names[0]} ended as {status}: {reason[:800]}")
    return description["ModelArtifacts"]["S3ModelArtifacts"]


def job_facts(description: Mapping[str, Any]) -> dict[str, Any]:
    """Description of a training job, for the evidence, from SageMaker's response."""
    times = {"started": description.get("TrainingStartTime"), "ended": description.get("TrainingEndTime")}
    return {
        "arn": description.get("TrainingJobArn"),
        "status": description.get("TrainingJobStatus"),
        "failure": description.get("FailureReason"),
        "image": description.get("AlgorithmSpecification", {}).get("TrainingImage"),
        "instance_type": description.get("ResourceConfig", {}).get("InstanceType"),
        "spot": description.get("EnableManagedSpotTraining", False),
        "max_seconds": description.get("StoppingCondition", {}).get("MaxRuntimeInSeconds"),
        "seconds": description.get("TrainingTimeInSeconds"),
        "billable_seconds": description.get("BillableTimeInSeconds"),
        "hyperparameters": description.get("HyperParameters", {}),
        "artifact": description.get("ModelArtifacts", {}).get("S3ModelArtifacts"),
        **{name: time.isoformat() if time else None for name, time in times.items()},
    }


def download(body: Any, path: Path) -> None:
    """Copy a stream to a file. Raises UserError for more than MAX_ARCHIVE_BYTES."""
    size = 0
    with path.open("wb") as stream:
        while part := body.read(2**20):
            size += len(part)
            if size > MAX_ARCHIVE_BYTES:
                raise UserError(
                    f"the training job's archive has more than {MAX_ARCHIVE_BYTES:,} bytes, which no run has"
                )
            stream.write(part)


def unpack(archive: Path, folder: Path, exported: Mapping[str, Any]) -> Path:
    """Extract train.py's results from the job's archive to ``folder``. Raises UserError for another run's."""
    with tempfile.TemporaryDirectory() as temporary:
        try:
            with tarfile.open(archive) as tar:
                size = 0
                for member in tar:
                    tarfile.data_filter(member, temporary)  # an archive that would write elsewhere is refused whole
                    size += member.size
                    if size > MAX_ARCHIVE_BYTES:
                        raise UserError(f"the training job's archive unpacks to more than {MAX_ARCHIVE_BYTES:,} bytes")
                    if member.name.removeprefix("./") in RETURNED_FILES and member.isfile():
                        tar.extract(member, temporary, filter="data")
        except (tarfile.TarError, EOFError, OSError) as error:
            raise UserError(f"the training job's archive cannot be unpacked: {error}") from None
        missing = [name for name in RETURNED_FILES if not Path(temporary, name).is_file()]
        if missing:
            raise UserError(f"the training job's archive has no {', '.join(missing)}")
        run = read_json(Path(temporary, "run.json"))
        for key in ("spec_hash", "data_sha256"):
            if run.get(key) != exported[key]:
                raise UserError(f"the training job sent back another run: its {key} is {run.get(key)!r}")
        if run["status"] != "finished":
            raise UserError(f"the run on SageMaker ended as {run['status']}; there is no model to use")
        folder.mkdir(parents=True, exist_ok=True)
        for name in RETURNED_FILES:
            shutil.move(Path(temporary, name), folder / name)
    return folder


def evaluate(folder: Path, prepared: Path, facts: dict[str, Any]) -> np.ndarray:
    """Probabilities of the returned model for all test images; adds its metrics to ``facts``."""
    from convlab.evaluation import inference  # TensorFlow

    images, labels = data.load_test(prepared)
    run = read_json(folder / "run.json")
    probabilities = inference.predictor(inference.load(folder / "model.keras", UserCode.of_run(run)))(images)
    facts["run"] = {
        name: run[name] for name in ("spec_hash", "val_accuracy", "epochs_run", "train_seconds", "versions")
    }
    facts["test_accuracy"] = float(np.mean(probabilities.argmax(axis=1) == labels))
    return probabilities


def write_served_model(trained: Trained, model_dir: Path, folder: Path) -> Path:
    """Export the returned model for an endpoint, with the labels and handlers in ``model_dir``."""
    from convlab.evaluation import inference  # TensorFlow
    from convlab.serving import artifacts

    exported, labels = read_json(model_dir / "export.json"), read_json(model_dir / "labels.json")
    run = read_json(trained.folder / "run.json")
    shape = tuple(exported["input"]["shape"])
    model = inference.load(trained.folder / "model.keras", UserCode.of_run(run))
    served = artifacts.inference_model(model, Run.of_record(run), shape, len(labels))
    artifacts.write_saved_model(served, folder / "saved_model")
    write_json(folder / "export.json", exported)
    write_json(folder / "labels.json", labels)
    (folder / "code").mkdir(exist_ok=True)
    for name in CODE:
        shutil.copyfile(model_dir / "code" / name, folder / "code" / name)
    return folder
