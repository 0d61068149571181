"""A double of AWS on loopback: moto's S3, SageMaker, Scheduler, logs and STS, and behind them what moto leaves out.

A training job really runs what was submitted, by the driver that SageMaker's SDK packs; an endpoint really unpacks the
archive and answers with the archive's own inference.py. Endpoints take a while to come and to go, as on AWS. Schedules
are carried out while a test lets the clock run (``advance``). Any operation can fail, hang, or call back.
"""

import importlib.util
import io
import json
import os
import re
import shutil
import subprocess
import sys
import tarfile
import tempfile
import threading
import time
import uuid
import venv
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from urllib.parse import parse_qs

import numpy as np
from moto.backends import get_backend
from moto.server import DomainDispatcherApplication, create_backend_app
from werkzeug.serving import WSGIRequestHandler, make_server
from werkzeug.test import EnvironBuilder

ACCOUNT = "123456789012"
REGION = "eu-west-1"
BUCKET = "my-bucket"
GROUP = "ModelPackageGroupName"
LINEAR = "linear.npy"
"""Beside saved_model.pb: weights of a linear classifier that NumPy computes, where loading TensorFlow would be slow."""


@dataclass
class Fault:
    """An error of this code for the next ``times`` calls of ``operation``, before it is done or ``after``.

    ``skip``: how many calls go through before; ``body``: what is answered instead of an error as AWS writes it.
    """

    operation: str
    code: str
    message: str = "as the test asks"
    status: int = 400
    times: int = 1
    after: bool = False
    skip: int = 0
    body: bytes | None = None


@dataclass
class Request:
    """A request as it came: its operation, path, WSGI environment (headers, query) and body."""

    operation: str
    path: str
    environ: dict[str, Any]
    body: bytes

    @property
    def sent(self) -> dict[str, Any]:
        """The parameters of a request in JSON."""
        return json.loads(self.body or b"{}")


@dataclass
class Endpoint:
    """An endpoint that is coming, there or going."""

    status: str = "Creating"
    polls: int = 1
    failure: str | None = None
    handlers: Any = None
    predict: Callable | None = None
    called: bool = False


@dataclass
class Job:
    """A training or transform job that runs."""

    status: str = "InProgress"
    failure: str | None = None
    process: subprocess.Popen | None = None
    seconds: float = 0.0
    ends: datetime | None = None  # when AWS stops it


@dataclass
class Double:
    """A WSGI application. ``before`` and ``after`` are called with the name of every operation."""

    faults: list[Fault] = field(default_factory=list)
    calls: list[str] = field(default_factory=list)
    requests: list[Request] = field(default_factory=list)
    before: Callable[[str], None] = lambda operation: None
    after: Callable[[str], None] = lambda operation: None
    end_as: str = "InService"
    hold_jobs: bool = False
    hidden_metrics: int = 0
    scheduler_tries_again: bool = True
    """Whether Scheduler repeats a call that its target refuses, as its RetryPolicy says; AWS documents no exception."""
    archive_changed: Callable[[Path], None] = lambda folder: None

    def __post_init__(self) -> None:
        self.moto = DomainDispatcherApplication(create_backend_app)
        # moto looks at all of its folders and hundreds of patterns for the service of a host, at every request.
        self.moto.get_backend_for_host = cache(self.moto.get_backend_for_host)
        self.folder = Path(tempfile.mkdtemp(prefix="aws-double-"))
        self.endpoints: dict[str, Endpoint] = {}
        self.jobs: dict[str, Job] = {}
        self.passed, self.attempts, self.scheduled = timedelta(), {}, []
        self.transforms: dict[str, Job] = {}
        self.tokens: dict[str, dict] = {}
        self.lock = threading.RLock()
        self.at_work, self.changed = 0, threading.Condition()

    # -----------------------------------------------------------------------------------------------------------------
    # What is there

    @property
    def sagemaker(self):
        return get_backend("sagemaker")[ACCOUNT][REGION]

    @property
    def schedules(self) -> dict[str, Any]:
        return get_backend("scheduler")[ACCOUNT][REGION].schedule_groups["default"].schedules

    @property
    def s3(self):
        return get_backend("s3")[ACCOUNT]["aws"]

    def reset(self) -> None:
        """An empty account with one bucket."""
        for name in ("sagemaker", "s3", "logs", "scheduler", "cloudwatch"):
            get_backend(name).reset()
        self.s3.create_bucket(BUCKET, REGION)
        for name, value in Double.__dataclass_fields__.items():
            setattr(self, name, value.default_factory() if name in ("faults", "calls", "requests") else value.default)
        self.endpoints.clear()
        self.jobs.clear()
        self.passed, self.attempts, self.scheduled = timedelta(), {}, []
        self.transforms.clear()
        self.tokens.clear()

    def left(self) -> list[str]:
        """Names of all remaining resources."""
        jobs = [name for name, job in (self.jobs | self.transforms).items() if job.status in ("InProgress", "Stopping")]
        return [
            *self.sagemaker.endpoints, *self.sagemaker.endpoint_configs, *self.sagemaker._models, *jobs, *self.keys(""),
            *self.schedules,
        ]  # fmt: skip

    def registered(self) -> list[str]:
        """Names of model package groups and model cards, ARNs of model packages: what is left on purpose."""
        sagemaker = self.sagemaker
        return [*sagemaker.model_package_groups, *sagemaker.model_packages, *sagemaker.model_cards]

    def unregister(self, operation: str, sent: dict) -> tuple[str, list, bytes]:
        """Delete a model package or an empty group, which moto does not."""
        sagemaker, name = self.sagemaker, sent["ModelPackageName" if operation == "DeleteModelPackage" else GROUP]
        held = sagemaker.model_packages if operation == "DeleteModelPackage" else sagemaker.model_package_groups
        if name not in held:
            return error(Fault(operation, "ValidationException", f"{operation[6:]} {name} does not exist."))
        if operation == "DeleteModelPackageGroup" and any(
            package.model_package_group_name == name for package in sagemaker.model_packages.values()
        ):
            return error(Fault(operation, "ConflictException", "Model Package Group cannot be deleted: not empty."))
        del held[name]
        return "200 OK", [], b"{}"

    def keys(self, prefix: str) -> list[str]:
        return [key for key in self.s3.get_bucket(BUCKET).keys if key.startswith(prefix)]

    def log(self, group: str, stream: str, lines: list[str]) -> None:
        logs = get_backend("logs")[ACCOUNT][REGION]
        if group not in logs.groups:
            logs.create_log_group(group, {})
        if stream not in logs.groups[group].streams:
            logs.create_log_stream(group, stream)
        begin = int(time.time() * 1000)
        events = [{"timestamp": begin + n, "message": line} for n, line in enumerate(lines)]
        logs.put_log_events(group, stream, events)

    # -----------------------------------------------------------------------------------------------------------------
    # Requests

    def __call__(self, environ: dict, start_response: Callable) -> list[bytes]:
        with self.at_work_on_it():
            return self.respond(environ, start_response)

    @contextmanager
    def at_work_on_it(self) -> Iterator[None]:
        with self.changed:
            self.at_work += 1
        try:
            yield
        finally:
            with self.changed:
                self.at_work -= 1
                self.changed.notify_all()

    def wait_until_idle(self) -> None:
        """Until what has been asked for is done, though who asked may be gone."""
        with self.changed:
            assert self.changed.wait_for(lambda: not self.at_work, timeout=30), "a request is never answered"

    def respond(self, environ: dict, start_response: Callable) -> list[bytes]:
        body = environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
        environ["wsgi.input"] = io.BytesIO(body)
        operation = named(environ, body)
        with self.lock:
            self.calls.append(operation)
            self.requests.append(Request(operation, environ["PATH_INFO"], environ, body))
        self.before(operation)
        fault = self.fault(operation)
        if fault and not fault.after:
            return refused(environ, start_response, fault)
        status, headers, answer = self.answer(operation, environ, body)
        if fault:
            return refused(environ, start_response, fault)
        self.after(operation)
        headers = [(key, value) for key, value in headers if key.lower() != "content-length"]
        start_response(status, [*headers, ("Content-Length", str(len(answer)))])
        return [answer]

    def fault(self, operation: str) -> Fault | None:
        with self.lock:
            for fault in self.faults:
                if fault.operation == operation and fault.times > 0:
                    if fault.skip:
                        fault.skip -= 1
                        continue
                    fault.times -= 1
                    return fault
        return None

    def answer(self, operation: str, environ: dict, body: bytes) -> tuple[str, list, bytes]:
        if operation == "InvokeEndpoint":
            return self.invoke(environ, body)
        sent = json.loads(body) if "HTTP_X_AMZ_TARGET" in environ and body else {}
        known = operation in ("DescribeEndpoint", "DeleteEndpoint") and sent["EndpointName"] in self.endpoints
        if known and (instead := self.progress(operation, sent["EndpointName"])):
            return instead
        if operation == "StopTrainingJob":
            self.stop(self.jobs[sent["TrainingJobName"]])
            return "200 OK", [], b"{}"
        if operation == "StopTransformJob":
            self.stop(self.transforms[sent["TransformJobName"]])
            return "200 OK", [], b"{}"
        if operation in ("DeleteModelPackage", "DeleteModelPackageGroup"):
            return self.unregister(operation, sent)
        if operation == "CreateModelPackage" and sent["ClientToken"] in self.tokens:  # asked for again
            return "200 OK", [], json.dumps(self.tokens[sent["ClientToken"]]).encode()
        if operation == "SimulatePrincipalPolicy":  # which SageMaker's SDK asks for, and no printed policy allows
            return "403 x", [], xml_error("AccessDenied", "x is not authorized to perform it")
        if operation == "GetMetricData" and self.hidden_metrics > 0:  # they come late
            self.hidden_metrics -= 1
            return "200 OK", [], json.dumps({"MetricDataResults": []}).encode()
        if operation in ("CreateSchedule", "UpdateSchedule") and (complaint := self.wrong_schedule(json.loads(body))):
            return error(Fault(operation, "ValidationException", complaint))
        response: dict[str, Any] = {}

        def note(status, headers, exc_info=None):
            response.update(status=status, headers=headers)
            return lambda data: None

        answer = b"".join(self.moto(environ, note))
        if environ.get("HTTP_X_AMZ_TARGET", "").startswith("SageMaker.") and response["status"].startswith("200"):
            answer = json.dumps(self.amended(operation, sent, without_empty(json.loads(answer or b"{}")))).encode()
        return response["status"], response["headers"], answer

    def amended(self, operation: str, sent: dict, reply: dict) -> dict:
        """moto's reply, amended by the real state of endpoints and jobs."""
        if operation == "CreateEndpoint":
            self.start_endpoint(sent["EndpointName"])
        elif operation == "DescribeEndpoint":
            endpoint = self.endpoints[sent["EndpointName"]]
            reply |= {"EndpointStatus": endpoint.status}
            reply |= {"FailureReason": endpoint.failure} if endpoint.failure else {}
        elif operation == "ListEndpoints":
            for entry in reply.setdefault("Endpoints", []):
                entry["EndpointStatus"] = self.endpoints[entry["EndpointName"]].status
        elif operation == "CreateModelPackage":
            self.tokens[sent["ClientToken"]] = reply
        elif operation == "CreateTrainingJob":
            limit = timedelta(seconds=sent["StoppingCondition"]["MaxRuntimeInSeconds"])
            job = self.jobs[sent["TrainingJobName"]] = Job(ends=self.now + limit)
            if not self.hold_jobs:
                threading.Thread(target=self.train, args=(sent["TrainingJobName"], job), daemon=True).start()
        elif operation == "DescribeTrainingJob":
            job = self.jobs[sent["TrainingJobName"]]
            secondary = {"InProgress": "Training"}.get(job.status, job.status)
            reply |= {"TrainingJobStatus": job.status, "SecondaryStatus": secondary}
            reply |= {"FailureReason": job.failure} if job.failure else {}
            if job.status != "Completed":
                reply.pop("ModelArtifacts", None)
                reply.pop("TrainingEndTime", None)
            else:
                reply |= {"TrainingTimeInSeconds": int(job.seconds) + 1, "BillableTimeInSeconds": int(job.seconds) + 1}
        elif operation == "ListTrainingJobs":
            for entry in reply.setdefault("TrainingJobSummaries", []):
                entry["TrainingJobStatus"] = self.jobs[entry["TrainingJobName"]].status
        elif operation == "CreateTransformJob":
            job = self.transforms[sent["TransformJobName"]] = Job()
            if not self.hold_jobs:
                threading.Thread(target=self.transform, args=(sent, job), daemon=True).start()
        elif operation == "DescribeTransformJob":
            job = self.transforms[sent["TransformJobName"]]
            reply |= {"TransformJobStatus": job.status}
            reply |= {"FailureReason": job.failure} if job.failure else {}
            if job.status == "InProgress":
                reply.pop("TransformEndTime", None)
        elif operation == "ListTransformJobs":
            for entry in reply.setdefault("TransformJobSummaries", []):
                entry["TransformJobStatus"] = self.transforms[entry["TransformJobName"]].status
        else:
            for key in ("EndpointConfigs", "Models"):
                if operation == f"List{key}":
                    reply.setdefault(key, [])
        return reply

    # -----------------------------------------------------------------------------------------------------------------
    # Schedules

    @property
    def now(self) -> datetime:
        """The time on AWS: this machine's, and what was let pass."""
        return datetime.now(UTC) + self.passed

    def wrong_schedule(self, sent: dict) -> str | None:
        """What EventBridge Scheduler refuses in a one-time schedule with a universal target."""
        if due_of(sent["ScheduleExpression"]) <= self.now:
            return "Invalid Schedule Expression: it is in the past."
        if not re.fullmatch(r"arn:aws:scheduler:::aws-sdk:[a-z]+:[a-z]\w+", sent["Target"]["Arn"]):
            return f"{sent['Target']['Arn']} is not a supported target."
        if not sent["Target"]["RoleArn"].startswith(f"arn:aws:iam::{ACCOUNT}:role/"):
            return "The execution role you provide must allow AWS EventBridge Scheduler to assume the role."
        return None

    def advance(self, minutes: int) -> None:
        """Let the clock run, a minute at a time: endpoints come or go, jobs reach their limit, schedules are due."""
        for _ in range(minutes):
            self.passed += timedelta(minutes=1)
            for name in list(self.endpoints):
                self.progress("DescribeEndpoint", name)
            for job in self.jobs.values():
                if job.status == "InProgress" and job.ends <= self.now:
                    self.stop(job)
            for name, schedule in list(self.schedules.items()):
                if due_of(schedule.schedule_expression) <= self.now:
                    self.carry_out(name, schedule)

    def carry_out(self, name: str, schedule: Any) -> None:
        """One attempt of a due schedule, which deletes itself when it is done or gives up; retries back off."""
        first, tries = self.attempts.setdefault(name, (self.now, 0))
        policy, passed = schedule.target["RetryPolicy"], self.now - first
        over = passed.total_seconds() > policy["MaximumEventAgeInSeconds"]
        if not over and passed >= timedelta(minutes=2**tries - 1):
            self.attempts[name] = (first, tries + 1)
            done = self.called_by_scheduler(schedule.target)
            over = done or not self.scheduler_tries_again or tries >= policy["MaximumRetryAttempts"]
        if over and schedule.action_after_completion == "DELETE":
            del self.schedules[name]

    def called_by_scheduler(self, target: dict) -> bool:
        """Send a universal target's request to SageMaker; whether it was done."""
        operation = target["Arn"].split(":")[-1]
        operation = operation[0].upper() + operation[1:]
        self.scheduled.append((operation, target["RoleArn"], json.loads(target["Input"])))
        headers = {
            "X-Amz-Target": f"SageMaker.{operation}",
            "Authorization": f"AWS4-HMAC-SHA256 Credential=X/20260101/{REGION}/sagemaker/aws4_request, Signature=x",
        }
        body = target["Input"].encode()
        environ = EnvironBuilder("/", method="POST", headers=headers, data=body).get_environ()
        return self.answer(operation, environ, body)[0].startswith("200")

    # -----------------------------------------------------------------------------------------------------------------
    # Endpoints

    def start_endpoint(self, name: str) -> None:
        endpoint = self.endpoints[name] = Endpoint()
        config = self.sagemaker.endpoint_configs[self.sagemaker.endpoints[name].endpoint_config_name]
        container = self.sagemaker._models[config.production_variants[0]["ModelName"]].primary_container
        try:
            endpoint.handlers, endpoint.predict = self.start_container(name, container)
            self.log(f"/aws/sagemaker/Endpoints/{name}", "AllTraffic/i-0", ["model loaded", "started"])
        except Exception as problem:
            endpoint.failure = repr(problem)

    def start_container(self, name: str, container: dict) -> tuple[Any, Callable]:
        """Unpack a model's archive; its handlers, and what TensorFlow Serving does with its model."""
        folder = self.folder / name
        bucket, key = container["ModelDataUrl"].removeprefix("s3://").split("/", 1)
        with tarfile.open(fileobj=io.BytesIO(self.s3.get_object(bucket, key).value)) as tar:
            tar.extractall(folder, filter="data")
        model = folder / container["Environment"]["SAGEMAKER_TFS_DEFAULT_MODEL_NAME"]
        return load(folder / "code" / "inference.py"), tensorflow_serving(model)

    def progress(self, operation: str, name: str) -> tuple[str, list, bytes] | None:
        """Advance an endpoint's status; returns a response that replaces moto's, or None."""
        endpoint, arn = self.endpoints[name], f"arn:aws:sagemaker:{REGION}:{ACCOUNT}:endpoint/{name}"
        if endpoint.status in ("Creating", "Deleting") and endpoint.polls > 0:
            endpoint.polls -= 1
            busy = Fault(operation, "ValidationException", f'Cannot update in-progress endpoint "{arn}".')
            return error(busy) if operation == "DeleteEndpoint" else None
        if endpoint.status == "Creating":
            endpoint.status = "Failed" if endpoint.failure else self.end_as
            if self.end_as == "Failed":
                endpoint.failure = "The primary container did not pass the ping health check."
        if endpoint.status == "Deleting":
            del self.endpoints[name]
            self.sagemaker.delete_endpoint(name)
            return error(Fault(operation, "ValidationException", f'Could not find endpoint "{arn}".'))
        if operation == "DeleteEndpoint":
            endpoint.status, endpoint.polls = "Deleting", 1
            return "200 OK", [], b"{}"
        return None

    def invoke(self, environ: dict, body: bytes) -> tuple[str, list, bytes]:
        name = environ["PATH_INFO"].split("/")[2]
        endpoint = self.endpoints.get(name)
        if endpoint is None or endpoint.status != "InService":
            return error(Fault("InvokeEndpoint", "ValidationError", f"Endpoint {name} of account {ACCOUNT} not found."))
        begin = time.perf_counter()
        try:
            answer, kind = handled(
                endpoint.handlers, endpoint.predict, body, environ.get("CONTENT_TYPE"), environ.get("HTTP_ACCEPT")
            )
        except Exception as problem:  # as AWS' image does
            text = json.dumps({"error": str(problem)})
            failure = {"OriginalStatusCode": 500, "OriginalMessage": text, "Message": f"Received server error: {text}"}
            return "424 Failed Dependency", [("x-amzn-ErrorType", "ModelError")], json.dumps(failure).encode()
        self.publish(name, endpoint, time.perf_counter() - begin)
        headers = [("Content-Type", kind), ("x-amzn-RequestId", str(uuid.uuid4()))]
        return "200 OK", [*headers, ("x-Amzn-Invoked-Production-Variant", "AllTraffic")], answer.encode()

    def publish(self, name: str, endpoint: Endpoint, seconds: float) -> None:
        """CloudWatch's metrics of one answered call; a serverless endpoint's first one has started its container."""
        config = self.sagemaker.endpoint_configs[self.sagemaker.endpoints[name].endpoint_config_name]
        serverless = "ServerlessConfig" in config.production_variants[0]
        values = {"Invocations": 1, "Invocation4XXErrors": 0, "Invocation5XXErrors": 0}
        values |= {"ModelLatency": seconds * 1e6, "OverheadLatency": 1000.0}
        if serverless and not endpoint.called:
            values |= {"ModelSetupTime": 2e6}
        endpoint.called = True
        machine = {"MemoryUtilization": 12.5} | ({} if serverless else {"CPUUtilization": 50.0})
        dimensions = [{"Name": "EndpointName", "Value": name}, {"Name": "VariantName", "Value": "AllTraffic"}]
        for namespace, known in (("AWS/SageMaker", values), ("/aws/sagemaker/Endpoints", machine)):
            data = [{"MetricName": key, "Value": value, "Dimensions": dimensions} for key, value in known.items()]
            get_backend("cloudwatch")[ACCOUNT][REGION].put_metric_data(namespace, data)

    # -----------------------------------------------------------------------------------------------------------------
    # Training jobs

    def train(self, name: str, job: Job) -> None:
        """Run the submitted script by the driver that was submitted with it."""
        description = self.sagemaker.training_jobs[name]
        folder = self.folder / name
        begin = time.monotonic()
        try:
            environment = {key: value for key, value in os.environ.items() if not key.startswith("AWS_")}
            for channel in description.input_data_config:
                channel_folder = folder / "data" / channel["ChannelName"]
                bucket, prefix = channel["DataSource"]["S3DataSource"]["S3Uri"].removeprefix("s3://").split("/", 1)
                for key in self.keys(prefix):
                    target = channel_folder / key.removeprefix(prefix).lstrip("/")
                    target.parent.mkdir(parents=True, exist_ok=True)
                    target.write_bytes(self.s3.get_object(bucket, key).value)
                environment[f"SM_CHANNEL_{channel['ChannelName'].upper()}"] = str(channel_folder)
            (folder / "model").mkdir()
            drivers = folder / "data" / "sm_drivers"
            entry = json.loads((drivers / "sourcecode.json").read_text())["entry_script"]
            parameters = {key: json.loads(value) for key, value in description.hyper_parameters.items()}
            environment |= {"SM_MODEL_DIR": str(folder / "model"), "SM_ENTRY_SCRIPT": entry, "SM_NUM_CPUS": "1"}
            environment |= {"SM_HPS": json.dumps(parameters), "TRAINING_JOB_NAME": name}
            with (folder / "log").open("w") as log:
                isolation = (without_network() or []) if description.enable_network_isolation else []
                python = own_python(folder / "python")
                steps = ([drivers / "scripts/install_requirements.py", "requirements.txt"],
                         [drivers / "distributed_drivers/basic_script_driver.py"])  # fmt: skip
                for step in steps:  # of the driver's train script
                    job.process = subprocess.Popen(
                        [*isolation, python, *step], cwd=folder / "data" / "code", env=environment, stdout=log,
                        stderr=log, start_new_session=True,
                    )  # fmt: skip
                    status = job.process.wait()
                    if status:
                        break
            lines = [line for line in (folder / "log").read_text().splitlines() if line.strip()]
            self.log("/aws/sagemaker/TrainingJobs", f"{name}/algo-1-1", lines[-100:] or ["(nothing)"])
            if job.status != "InProgress":
                return
            if status:
                reason = next((line for line in reversed(lines) if "rror" in line), "no reason")
                job.status, job.failure = "Failed", f"AlgorithmError: {reason}"
                return
            self.archive_changed(folder / "model")
            stream = io.BytesIO()
            with tarfile.open(fileobj=stream, mode="w:gz") as tar:
                for path in sorted((folder / "model").iterdir()):
                    tar.add(path, path.name)
            bucket, key = description.model_artifacts["S3ModelArtifacts"].removeprefix("s3://").split("/", 1)
            self.s3.put_object(bucket, key, stream.getvalue())
            job.seconds, job.status = time.monotonic() - begin, "Completed"
        except Exception as problem:
            job.status, job.failure = "Failed", f"InternalServerError: {problem!r}"
        finally:
            shutil.rmtree(folder, ignore_errors=True)

    # -----------------------------------------------------------------------------------------------------------------
    # Transform jobs

    def transform(self, sent: dict, job: Job) -> None:
        """Run a transform job: every object's lines through the model's handlers, each joined with its input."""
        name, source, target = sent["TransformJobName"], sent["TransformInput"], sent["TransformOutput"]
        try:
            handlers, predict = self.start_container(name, self.sagemaker._models[sent["ModelName"]].primary_container)
            bucket, prefix = source["DataSource"]["S3DataSource"]["S3Uri"].removeprefix("s3://").split("/", 1)
            requests, failed = 0, []
            for key in self.keys(prefix):
                lines = [line for line in self.s3.get_object(bucket, key).value.splitlines() if line.strip()]
                records, output = [json.loads(line) for line in lines], []
                try:
                    for batch in mini_batches(records, sent):
                        body = b"".join(line + b"\n" for line in batch)
                        answer, _ = handled(handlers, predict, body, source["ContentType"], target["Accept"])
                        output += answer.splitlines()
                        requests += 1
                    joined = join(records, output, sent["DataProcessing"])
                except Exception as problem:  # of this object; the others go on
                    failed.append(f"{key}: {problem}")
                    continue
                bucket_out, folder = target["S3OutputPath"].removeprefix("s3://").split("/", 1)
                content = "".join(f"{json.dumps(line)}\n" for line in joined).encode()
                self.s3.put_object(bucket_out, f"{folder}/{key.removeprefix(prefix)}.out", content)
            self.log("/aws/sagemaker/TransformJobs", f"{name}/i-0", [f"{requests} requests", *failed])
            if job.status == "InProgress":
                job.status = "Failed" if failed else "Completed"
                job.failure = f"ClientError: See job logs for more information; {failed[0]}" if failed else None
        except Exception as problem:
            job.status, job.failure = "Failed", f"InternalServerError: {problem!r}"

    def stop(self, job: Job) -> None:
        job.status = "Stopped"
        if job.process and job.process.poll() is None:
            with suppress(ProcessLookupError):
                os.killpg(job.process.pid, 9)


class Handler(WSGIRequestHandler):
    """Keeps connections open, as AWS does; werkzeug's closes each after a while in which more might come."""

    protocol_version = "HTTP/1.1"

    def run_wsgi(self) -> None:
        if self.headers.get("Expect", "").lower() == "100-continue":
            self.wfile.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        lines: list[str] = []

        def start_response(status: str, headers: list[tuple[str, str]]) -> None:
            lines[:] = [f"HTTP/1.1 {status}", *(f"{key}: {value}" for key, value in headers), "", ""]

        answer = b"".join(self.server.app(self.make_environ(), start_response))
        self.wfile.write("\r\n".join(lines).encode("latin-1") + (b"" if self.command == "HEAD" else answer))

    def log_request(self, *_: Any) -> None:
        """Nothing."""


class Server:
    """HTTP server of the double on a loopback port."""

    def __init__(self) -> None:
        self.double = Double()
        self._server = make_server("127.0.0.1", 0, self.double, threaded=True, request_handler=Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}"

    def __enter__(self) -> "Server":
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *exception: object) -> None:
        self._server.shutdown()
        self._server.server_close()
        shutil.rmtree(self.double.folder, ignore_errors=True)


def own_python(folder: Path) -> Path:
    """A virtual environment for what a job installs, in which this one's packages are those of the image."""
    venv.create(folder, with_pip=importlib.util.find_spec("pip") is None)
    python = folder / "bin/python"
    (own,) = folder.glob("lib/python3.*/site-packages")
    # As PYTHONPATH brings them: another folder of packages may be in use too.
    (own / "image.pth").write_text("\n".join(path for path in sys.path if path.endswith("-packages")))
    return python


@cache
def without_network() -> list[str] | None:
    """The command that runs another in an empty network namespace, where not even loopback answers, or None."""
    for command in (["unshare", "--net"], ["unshare", "--map-root-user", "--net"]):
        if shutil.which("unshare") and subprocess.run([*command, "true"], capture_output=True).returncode == 0:
            return command
    return None


def named(environ: dict, body: bytes) -> str:
    """Name of a request's operation."""
    if "HTTP_X_AMZ_TARGET" in environ:
        return environ["HTTP_X_AMZ_TARGET"].split(".")[-1]
    path, query, method = environ["PATH_INFO"], parse_qs(environ["QUERY_STRING"], True), environ["REQUEST_METHOD"]
    if path.endswith("/invocations"):
        return "InvokeEndpoint"
    if b"Action=" in body[:200]:
        return parse_qs(body.decode())["Action"][0]
    if path == "/schedules":
        return "ListSchedules"
    if path.startswith("/schedules/"):
        return {"POST": "CreateSchedule", "PUT": "UpdateSchedule"}.get(method, f"{method.capitalize()}Schedule")
    if path == "/":
        return "ListBuckets"
    if "list-type" in query:
        return "ListObjectsV2"
    if "delete" in query:
        return "DeleteObjects"
    return f"{method.capitalize()}{'Object' if path.strip('/').count('/') else 'Bucket'}"


def due_of(expression: str) -> datetime:
    """Time of a one-time schedule, such as at(2026-11-26T20:15:00), in UTC."""
    return datetime.strptime(expression, "at(%Y-%m-%dT%H:%M:%S)").replace(tzinfo=UTC)


def error(fault: Fault) -> tuple[str, list, bytes]:
    """An error as AWS' JSON services write it."""
    body = {"__type": fault.code, "code": fault.code, "message": fault.message, "Message": fault.message}
    return f"{fault.status} x", [("x-amzn-ErrorType", fault.code)], json.dumps(body).encode()


def xml_error(code: str, message: str) -> bytes:
    """The body of an error as STS and IAM write it."""
    text = f"<Code>{code}</Code><Message>{message}</Message>"
    return f"<ErrorResponse><Error><Type>Sender</Type>{text}</Error></ErrorResponse>".encode()


def refused(environ: dict, start_response: Callable, fault: Fault) -> list[bytes]:
    """The fault as the service of the request writes its errors."""
    status, headers, answer = error(fault)
    if fault.body is not None:
        start_response(status, [("Content-Type", "text/html"), ("Content-Length", str(len(fault.body)))])
        return [fault.body]
    if fault.operation in ("ListObjectsV2", "DeleteObjects", "PutObject", "GetObject"):
        answer = f"<Error><Code>{fault.code}</Code><Message>{fault.message}</Message></Error>".encode()
    if fault.operation in ("GetCallerIdentity", "SimulatePrincipalPolicy"):
        answer = xml_error(fault.code, fault.message)
    start_response(status, [*headers, ("Content-Length", str(len(answer)))])
    return [answer]


def without_empty(value: Any) -> Any:
    """Drop null and empty fields, which AWS omits and moto writes."""
    if isinstance(value, dict):
        return {
            key: without_empty(item) for key, item in value.items() if item is not None and item not in ({}, [None])
        }
    return [without_empty(item) for item in value] if isinstance(value, list) else value


def handled(
    handlers: Any, predict: Callable, body: bytes, content_type: str | None, accept: str | None
) -> tuple[str, str]:
    """Answer and content type of a request, by the archive's handlers, as TensorFlow's inference image calls them."""
    context = SimpleNamespace(request_content_type=content_type, accept_header=accept)
    request = handlers.input_handler(io.BytesIO(body), context)
    return handlers.output_handler(predict(request), context)


def mini_batches(records: list[dict], job: dict) -> list[list[bytes]]:
    """Lines of each request of a transform job, after its input filter ($.name, all that is used here)."""
    name = job["DataProcessing"]["InputFilter"].removeprefix("$.")
    lines = [json.dumps(record[name]).encode() for record in records]
    limit = job["MaxPayloadInMB"] * 2**20
    batches: list[list[bytes]] = []
    for line in lines:
        if len(line) > limit:
            raise ValueError("a record is larger than MaxPayloadInMB")
        full = not batches or sum(map(len, batches[-1])) + len(line) > limit
        if full or job["BatchStrategy"] == "SingleRecord":
            batches.append([])
        batches[-1].append(line)
    return batches


def join(records: list[dict], output: list[str], processing: dict) -> list[dict]:
    """Each record with its line of output under SageMakerOutput, after the output filter ($['a','b'])."""
    if len(output) != len(records):
        raise ValueError(f"the model answered {len(output)} lines to {len(records)} records")
    kept = re.findall(r"'([^']+)'", processing["OutputFilter"])
    joined = [record | {"SageMakerOutput": json.loads(line)} for record, line in zip(records, output, strict=True)]
    return [{key: record[key] for key in kept} for record in joined]


def load(path: Path) -> Any:
    spec = importlib.util.spec_from_file_location(f"inference_{uuid.uuid4().hex}", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def tensorflow_serving(folder: Path) -> Callable[[str], Any]:
    """What TensorFlow Serving's REST interface does with the model in ``folder``: a request's text to a response."""
    versions = [path for path in folder.iterdir() if re.fullmatch(r"\d+", path.name)]
    (version,) = [path for path in versions if (path / "saved_model.pb").is_file()]
    if (version / LINEAR).is_file():
        weights = np.load(version / LINEAR, allow_pickle=False)

        def compute(pixels: np.ndarray) -> np.ndarray:
            scores = pixels.reshape(len(pixels), -1) @ weights
            scores = np.exp(scores - scores.max(axis=1, keepdims=True))
            return scores / scores.sum(axis=1, keepdims=True)
    else:
        import tensorflow as tf

        loaded = tf.saved_model.load(str(version))

        def compute(pixels: np.ndarray, keep=loaded) -> np.ndarray:
            return loaded.signatures["serving_default"](pixels=tf.constant(pixels))["probabilities"].numpy()

    def answer(request: str) -> Any:
        probabilities = compute(np.array(json.loads(request)["instances"], np.float32))
        return SimpleNamespace(status_code=200, content=json.dumps({"predictions": probabilities.tolist()}).encode())

    return answer
