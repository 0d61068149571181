"""SageMaker deployment (``deploy.target: sagemaker``): training job, endpoint, teardown on any exit."""

import contextlib
import hashlib
import logging
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np

from convlab.cloud import (
    aws,
    cold_starts,
    governance,
    guard,
    metrics,
    registration,
    sdk,
    time_limits,
    training_job,
)
from convlab.cloud import state as states
from convlab.cloud.aws import ClientError
from convlab.cloud.logs import LOG_GROUP, excerpt
from convlab.cloud.state import State
from convlab.cloud.teardown import teardown
from convlab.cloud.time_limits import TEARDOWN_MINUTES, lifetime_minutes
from convlab.common.files import read_json
from convlab.common.redaction import fingerprint
from convlab.common.shutdown import ignore_signals
from convlab.errors import UserError
from convlab.serving import endpoint_test
from convlab.serving.endpoint_test import Reply
from convlab.serving.pack import pack
from convlab.serving.record import ColdStarts, Evidence, ImagePrediction, Registration, ServerMetrics
from convlab.study import layout
from convlab.study.sagemaker import SageMaker

VARIANT = "AllTraffic"

RETRYABLE_ERRORS = (
    *("ThrottlingException", "TooManyRequestsException", "ModelNotReadyException", "ServiceUnavailable"),
    *("ServiceUnavailableException", "InternalDependencyException"),
)
"""Error codes of an endpoint that call for a retry."""

BUSY_SECONDS = 120.0
"""Seconds for which one call is retried while the endpoint is busy; a serverless one has to start first."""

MAX_RESPONSE_BYTES = 16 * 2**20
"""Bytes that are read of one response at most."""

SECONDS_PER_MINUTE = 60.0

log = logging.getLogger("deploy")


class SageMakerEndpoint:
    """Context manager: creates the endpoint on entry (in mode train, trains the model), deletes everything on exit.

    Resources are recorded in ``state.json`` before they are created.
    """

    deletions = time_limits.ENDPOINT_DELETIONS
    """What AWS deletes by itself when the time is over."""

    def __init__(self, folder: Path, dataset: str, options: Mapping[str, Any]) -> None:
        self.settings = SageMaker.model_validate(options["sagemaker"])
        self.study, self.prepared = folder.name, layout.prepared(folder, dataset)
        self.model_dir, self.output = layout.exported(folder, dataset), layout.deployed(folder, dataset)
        self.state_file = self.output / states.STATE_FILE
        self.state: State | None = None
        self.trained: training_job.Trained | None = None
        self._clients: aws.Clients | None = None
        self._endpoint: dict[str, Any] = {}
        self._training: dict[str, Any] = {}
        self._receipt: dict[str, Any] | None = None
        self._ends = float("inf")
        self._served = self.model_dir
        self._created = datetime.now(UTC)
        self._calls: list[float] = []  # seconds of each answered call, and from its first attempt
        self._waits: list[float] = []
        self._all_went_well = False
        self.cold_starts: ColdStarts | None = None
        self._cold_starts: Iterator[ColdStarts] = iter(())
        self.meanwhile: Callable[[], None] | None = None
        self.server: ServerMetrics | None = None
        self._lock = contextlib.ExitStack()

    # -----------------------------------------------------------------------------------------------------------------
    # Before anything is created

    def __enter__(self) -> "SageMakerEndpoint":
        try:
            self._check()
            with aws.errors_as_user_errors():
                self._begin()
        except BaseException:
            self.close()
            raise
        return self

    def _check(self) -> None:
        """Raise UserError for missing preconditions; creates nothing and only lists the bucket."""
        settings = self.settings
        try:
            self._lock.enter_context(states.lock(self.state_file))
        except UserError as error:
            raise states.EarlierDeployment(str(error)) from None
        if self.state_file.is_file():
            raise states.EarlierDeployment(
                f"an earlier deployment may have left something behind ({self.state_file}); run: make teardown"
            )
        clients, account = aws.sign_in(settings)
        self._clients = clients
        name = states.new_name(self.study)
        state = State(
            name=name,
            region=clients.region,
            endpoint_url=clients.endpoint_url,
            account=fingerprint(account, name),
            bucket=settings.bucket,
            prefix=f"{settings.prefix}/{name}/",
            keep_objects=settings.keep_objects,
            created=now(),
        )
        self._images = {
            scope: sdk.image(settings, scope, clients.region)
            for scope, needed in (("training", self.settings.trains), ("inference", self.settings.predicts))
            if needed
        }
        if settings.trains:
            training_job.check(settings, self._images["training"], self._exported())
        try:
            clients.s3.list_objects_v2(Bucket=state.bucket, Prefix=state.prefix, MaxKeys=1)
        except aws.FAILURES as error:
            raise UserError(f"deploy.sagemaker.bucket cannot be used: {aws.error_message(error)}") from None
        expires = datetime.now(UTC) + timedelta(minutes=lifetime_minutes(settings))
        tags = {"project": "convlab", "study": self.study, "deployment": name}
        self._tags = {**tags, "expires": expires.isoformat(timespec="seconds"), **settings.tags}
        state.reveal(account)
        self.state = state

    def _exported(self) -> dict[str, Any]:
        return read_json(self.model_dir / "export.json")

    # -----------------------------------------------------------------------------------------------------------------
    # Creating

    def _begin(self) -> None:
        self.state.save(self.state_file)
        model_dir = self.model_dir
        deployment = self._deployment()
        if self.settings.trains:
            if self.settings.predicts:  # a refusal is cheaper before the training
                guard.arm(deployment, self.deletions, lifetime_minutes(self.settings) - TEARDOWN_MINUTES)
            self.trained = training_job.train(deployment, self.prepared, self._exported(), self.output, self._training)
            model_dir = (
                training_job.write_served_model(self.trained, self.model_dir, self.output / "served")
                if self.settings.predicts
                else None
            )
        if self.settings.predicts:
            minutes = time_limits.prediction_minutes(self.settings)
            self._ends = aws.clock() + SECONDS_PER_MINUTE * minutes
            self._endpoint |= guard.arm(deployment, self.deletions, minutes)
            self._served = model_dir
            self._serve(self._upload(model_dir))

    def _deployment(self) -> sdk.Deployment:
        return sdk.Deployment(self._clients, self.state, self.state_file, self.settings, self._tags)

    def _serve(self, model_uri: str) -> None:
        """Create what answers, from the archive at ``model_uri``."""
        self._create_model(model_uri)
        self._create_endpoint()
        self._wait()

    def _upload(self, model_dir: Path) -> str:
        """Upload the archive of the SavedModel to S3; returns its URI."""
        key = f"{self.state.prefix}model.tar.gz"
        with tempfile.TemporaryDirectory() as temporary:
            archive = Path(temporary) / "model.tar.gz"
            pack(model_dir, archive, "saved_model")
            content = archive.read_bytes()
        with self.state.pending("object", self.state_file):
            self._clients.s3.put_object(  # in one piece: no loose parts
                Bucket=self.state.bucket, Key=key, Body=content, **governance.upload(self.settings)
            )
        uri = f"s3://{self.state.bucket}/{key}"
        self._endpoint["model"] = {
            "uri": uri, "bytes": len(content), "sha256": hashlib.sha256(content).hexdigest()
        }  # fmt: skip
        return uri

    def _create_model(self, model_uri: str) -> None:
        self._endpoint["image"] = self._images["inference"]
        container = {
            "Image": self._images["inference"],
            "ModelDataUrl": model_uri,
            "Environment": {"SAGEMAKER_TFS_DEFAULT_MODEL_NAME": "saved_model"},
        }
        with self.state.pending("model", self.state_file):
            self._clients.sagemaker.create_model(
                ModelName=self.state.name,
                ExecutionRoleArn=self.settings.role_arn,
                PrimaryContainer=container,
                Tags=self._tag_list(),
                **governance.model(self.settings),
            )

    def _tag_list(self) -> list[dict[str, str]]:
        """Tags as AWS takes them."""
        return [{"Key": key, "Value": value} for key, value in self._tags.items()]

    def _create_endpoint(self) -> None:
        name, sagemaker, chosen = self.state.name, self._clients.sagemaker, self.settings.endpoint
        variant: dict[str, Any] = {"VariantName": VARIANT, "ModelName": name}
        if chosen.instance_type:
            variant |= {"InstanceType": chosen.instance_type, "InitialInstanceCount": 1}
        else:
            variant["ServerlessConfig"] = {
                "MemorySizeInMB": chosen.memory_mb, "MaxConcurrency": chosen.max_concurrency
            }  # fmt: skip
        self._endpoint |= {"name": name, "variant": variant}
        with self.state.pending("endpoint_config", self.state_file):
            sagemaker.create_endpoint_config(
                EndpointConfigName=name,
                ProductionVariants=[variant],
                Tags=self._tag_list(),
                **governance.endpoint_config(self.settings),
            )
        self._request_endpoint()

    def _request_endpoint(self) -> None:
        """Create the endpoint from its configuration."""
        self._check_time()
        name = self.state.name
        with self.state.pending("endpoint", self.state_file):
            self._clients.sagemaker.create_endpoint(EndpointName=name, EndpointConfigName=name, Tags=self._tag_list())

    def _check_time(self) -> None:
        """Raise UserError if the time is over, as after a machine's sleep: no schedule would end what is made now."""
        if aws.clock() > self._ends:
            kind, minutes = self.settings.answers_from, time_limits.prediction_minutes(self.settings)
            raise UserError(f"the {kind}'s {minutes} minutes were over before it could be created; deploy again")

    def _wait(self) -> None:
        """Poll until the endpoint is in service. Raises UserError if it fails or takes too long."""
        seen = self._endpoint.setdefault("transitions", [])
        for passed in aws.poll_intervals(self._ends - aws.clock()):
            if passed and aws.clock() > self._ends:  # the machine has slept meanwhile
                break
            description = self._clients.sagemaker.describe_endpoint(EndpointName=self.state.name)
            status = description["EndpointStatus"]
            if not seen or seen[-1]["status"] != status:
                seen.append({"status": status, "at": now()})
                log.info("endpoint %s: %s after %.0f s", self.state.name, status, passed)
            if status == "InService":
                self._endpoint.setdefault("arn", description.get("EndpointArn"))
                self._endpoint.setdefault("seconds_to_service", passed)
                return
            if status not in ("Creating", "Updating"):
                raise UserError(
                    f"the endpoint ended as {status}: {description.get('FailureReason', 'no reason given')[:800]}"
                )
        raise UserError(f"the endpoint was not in service within {self.settings.endpoint.max_minutes} minutes")

    # -----------------------------------------------------------------------------------------------------------------
    # Inference

    def answers(self, images: np.ndarray, indices: Sequence[int], labels: np.ndarray) -> Iterator[ImagePrediction]:
        """As :func:`endpoint_test.ask`."""
        yield from endpoint_test.ask(self.invoke, images, indices, labels)
        if not self._waits or self.settings.endpoint.instance_type:
            return

        def call() -> float:
            next(endpoint_test.ask(self.invoke, images, indices[:1], labels))
            return self._waits[-1]

        asked = self.settings.endpoint.cold_starts
        self._cold_starts = cold_starts.measure(asked, self._waits[0], self._start_anew, call)
        self.cold_starts = next(self._cold_starts)

    def further(self) -> Callable[[], None] | None:
        """The measurement of further cold starts, if there is one."""

        def measure() -> None:
            for known in self._cold_starts:
                self.cold_starts = known

        return measure if self.cold_starts and self.cold_starts.asked > 1 else None

    def _start_anew(self) -> None:
        """Delete the endpoint and create it again from the same configuration."""
        name = self.state.name
        self._clients.sagemaker.delete_endpoint(EndpointName=name)
        cold_starts.wait_until_gone(self._clients, name, self._ends - aws.clock())
        self._request_endpoint()
        self._wait()

    def invoke(self, body: bytes, content_type: str) -> Reply:
        """Invoke the endpoint, with retries while it is busy; the reply's time is that of the successful call."""
        why, asked = "", time.perf_counter()
        for attempt, _ in enumerate(aws.poll_intervals(BUSY_SECONDS), start=1):
            if aws.clock() > self._ends:
                raise UserError(
                    f"the endpoint's {self.settings.endpoint.max_minutes} minutes are over before all images were "
                    "sent; raise deploy.sagemaker.endpoint.max_minutes or lower deploy.test_images"
                )
            begin = time.perf_counter()
            try:
                response = self._clients.runtime.invoke_endpoint(
                    EndpointName=self.state.name, ContentType=content_type, Accept="application/json", Body=body
                )
                answer = response["Body"].read(MAX_RESPONSE_BYTES + 1)
            except ClientError as error:
                why = aws.error_message(error)
                if aws.error_code(error) == "ModelError":
                    message = error.response.get("OriginalMessage") or why
                    return Reply(error.response.get("OriginalStatusCode", 500), message.encode())
                if aws.error_code(error) in RETRYABLE_ERRORS:
                    continue
                raise UserError(why) from None
            except aws.FAILURES as error:
                raise UserError(f"the endpoint did not answer: {aws.error_message(error)}") from None
            if len(answer) > MAX_RESPONSE_BYTES:
                raise UserError(
                    f"the endpoint's answer has more than {MAX_RESPONSE_BYTES:,} bytes, which is no prediction"
                )
            answered = time.perf_counter()
            self._calls.append(answered - begin)
            self._waits.append(answered - asked)
            request = {"request_id": response.get("ResponseMetadata", {}).get("RequestId"), "attempts": attempt}
            return Reply(200, answer, request, seconds=answered - begin)
        raise UserError(f"the endpoint was too busy for {BUSY_SECONDS:.0f} s: {why}")

    def reference(self) -> np.ndarray | None:
        """Probabilities of the model that the job trained, for all test images; None without a job."""
        return self.trained.probabilities if self.trained else None

    def register(self, evidence: Evidence, test_accuracy: float) -> Registration:
        """Register the model that was tested, once nothing that costs is left; a failure is undone.

        Raises UserError if it failed; what could not be undone is in ``teardown``.
        """
        made, receipt, failure = registration.register_or_undo(
            self._deployment(), self._served, self._images["inference"], evidence, test_accuracy
        )
        if failure:
            self._receipt["remaining"] = receipt.remaining
            self._receipt["about"]["registration"] = receipt.steps
            with aws.errors_as_user_errors():
                raise failure
        return made

    # -----------------------------------------------------------------------------------------------------------------
    # Afterwards

    def facts(self) -> dict[str, Any]:
        """Description of the endpoint for the evidence; of the training job, if any, under ``training``."""
        if self._clients is None:
            return {}
        facts = {
            "kind": f"SageMaker {self.settings.answers_from}",
            "where": self._clients.where,
        }
        facts |= {"on_aws": self._clients.endpoint_url is None, "mode": self.settings.mode}
        facts |= {"region": self._clients.region, "clients": aws.versions(), **governance.facts(self.settings)}
        facts |= self._endpoint
        facts |= {"training": self._training} if self._training else {}
        server = self.server or (metrics.not_read(self._calls) if self._calls else None)
        return facts | {"cold_starts": self.cold_starts, "server": server}

    def __exit__(self, *exception: object) -> None:
        self._all_went_well = exception[0] is None
        self.close()

    def close(self) -> None:
        """Tear everything down, once. The state file stays if resources remain.

        Never raises: resources that may remain are in the receipt.
        """
        if self.state is None:
            self._lock.close()
        if self.state is None or self._receipt is not None:
            return
        ignore_signals()
        details = {"kept_logs": self._log_groups() + ([training_job.LOG_GROUP] if self._training else [])}
        try:
            receipt = teardown(self._clients, self.state, self.meanwhile)
        except Exception as error:  # a defect of ours must not pass for an empty account
            log.exception("teardown failed")
            left = f"perhaps all that is named {self.state.name} (teardown failed: {aws.error_message(error)})"
            self._receipt = {"remaining": [left], "about": details}
        else:
            details |= {"steps": receipt.steps, "seconds": receipt.seconds, "kept_objects": receipt.kept}
            self._receipt = {"remaining": receipt.remaining, "about": details}
            self._endpoint["objects"] = receipt.objects
        try:
            if not self._receipt["remaining"]:
                self.state_file.unlink(missing_ok=True)
        except OSError as error:
            details["state_file"] = f"nothing is left, but it could not be removed: {error.strerror}"
            log.warning("%s: %s", self.state_file, details["state_file"])
        self._lock.close()

    def look(self) -> None:
        """Read logs and metrics of what was created, if anything was; what they tell is in ``facts``."""
        if self._receipt is not None:
            self._record_logs()
            self._record_metrics()

    def _log_groups(self) -> list[str]:
        """Groups of logs of what answered, which AWS keeps."""
        return [LOG_GROUP + self.state.name] if self.settings.serves else []

    def _record_logs(self) -> None:
        """Record the end of the endpoint's and the job's logs; errors are recorded too."""
        if "transitions" in self._endpoint:
            self._endpoint["log"] = excerpt(self._clients, LOG_GROUP + self.state.name)
        if name := self._training.get("name"):
            self._training["log"] = excerpt(self._clients, training_job.LOG_GROUP, name)

    def _record_metrics(self) -> None:
        """Read CloudWatch's metrics, for which only a deployment that went well waits."""
        if self._calls:
            seconds = self.settings.endpoint.metrics_wait_seconds if self._all_went_well else 0
            log.info(
                "waiting for CloudWatch's metrics, %d s at most; Ctrl-C ends the waiting and nothing else", seconds
            )
            variant = self._endpoint["variant"]
            self.server = metrics.read(self._clients, self.state.name, variant, self._created, self._calls, seconds)

    @property
    def teardown(self) -> dict[str, Any]:
        """Result of the teardown: remaining resources and details."""
        self.close()  # once more: a signal may have come in the very moment in which it was called
        return self._receipt or {"remaining": []}


def now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")
