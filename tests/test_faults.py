"""The table of faults: every call of a deployment, in every mode, struck in every way; resources left: 0 in every row.

Rows are the calls that the double of AWS saw in a deployment without a fault, so that a new call is covered by itself.
FAULT_TABLE=table.md writes the table, one row for each call and one column for each fault.
"""

import importlib.util
import io
import json
import os
import shutil
import signal
import tarfile
import time
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from botocore.exceptions import ReadTimeoutError
from botocore.httpsession import URLLib3Session

pytest.importorskip("moto", reason="needs moto (pip install --require-hashes -r requirements/dev.txt)")

import deploy
import teardown as teardown_script
from aws_double import ACCOUNT, Fault
from builders.deployments import RUN, SETTINGS, arguments, evidence, interrupted, state_file
from convlab.cloud import endpoint, teardown, training_job
from convlab.errors import UserError

pytest_plugins = ["builders.aws_account"]

GUARD = {"scheduler_role_arn": f"arn:aws:iam::{ACCOUNT}:role/DeletesEndpoints"}
AT_ONCE = {**SETTINGS["endpoint"], "metrics_wait_seconds": 0}
MODES = {
    "serverless": {"mode": "deploy", "endpoint": {**AT_ONCE, "cold_starts": 2}},
    "instance": {"mode": "deploy", "endpoint": {**AT_ONCE, "instance_type": "ml.m5.large"}, **GUARD},
    "batch": {"mode": "batch", **GUARD},
    "registered": {"mode": "deploy", "endpoint": AT_ONCE, "register": True},
    "train_and_deploy": {"mode": "train_and_deploy", "endpoint": AT_ONCE, **GUARD},
}
"""Modes by name, and what each changes in the settings; ``train`` makes no call that train_and_deploy does not make."""

HAS_SDK = importlib.util.find_spec("sagemaker") is not None

NONSENSE = b"<html><body>Sign in to the hotel's network</body></html>"

FINISHED = {"spec_hash": RUN.spec_hash, "data_sha256": {}, "status": "finished"}


@dataclass(frozen=True)
class Call:
    """The first or the last call of one operation in a deployment: its name, and how many of it come before."""

    operation: str
    earlier: int
    of: int

    def __str__(self) -> str:
        return self.operation if self.of == 1 else f"{self.operation} ({'last' if self.earlier else 'first'})"


@dataclass
class Bench:
    """Deployments to one double, each from a fresh folder and into an empty account."""

    double: object
    study: Path
    folder: Path
    patch: pytest.MonkeyPatch

    def fresh(self, mode: str) -> Path:
        """A study's folder to deploy from, big files as links; an empty account."""
        self.double.reset()
        if "train" in mode:
            self.double.train = self.trained_at_once
        shutil.rmtree(self.folder, ignore_errors=True)
        results = self.folder / self.study.name
        shutil.copytree(self.study, results, copy_function=os.link)
        exported = results / "export/toys/export.json"
        content = json.loads(exported.read_text()) | {"spec": RUN.identity, **FINISHED}
        exported.unlink()  # it is a link
        exported.write_text(json.dumps(content))
        return results

    def trained_at_once(self, name: str, job: object) -> None:
        """A training job that has the archive of a run at hand."""
        stream = io.BytesIO()
        with tarfile.open(fileobj=stream, mode="w:gz") as tar:
            for file in training_job.RETURNED_FILES:
                text = json.dumps(FINISHED).encode() if file == "run.json" else b"x"
                information = tarfile.TarInfo(file)
                information.size = len(text)
                tar.addfile(information, io.BytesIO(text))
        artifact = self.double.sagemaker.training_jobs[name].model_artifacts["S3ModelArtifacts"]
        bucket, key = artifact.removeprefix("s3://").split("/", 1)
        self.double.s3.put_object(bucket, key, stream.getvalue())
        job.status = "Completed"

    def calls(self, mode: str) -> list[Call]:
        """The first and the last call of each operation of a deployment without a fault, and in their order."""
        results = self.fresh(mode)
        assert self.deploy(results, mode) == "succeeded" and self.left() == []
        counts = Counter(self.double.calls)
        calls = [Call(operation, 0, count) for operation, count in counts.items()]
        return calls + [Call(each.operation, each.of - 1, each.of) for each in calls if each.of > 1]

    def left(self) -> list[str]:
        """What is left that should not be: of a registered model, its objects stay."""
        on_purpose = bool(self.double.registered())
        return [name for name in self.double.left() if not (on_purpose and "/registry/" in name)]

    def deploy(self, results: Path, mode: str) -> str:
        """How the script ends."""
        try:
            deploy.main(arguments(results, **MODES[mode]))
        except UserError:
            return "failed, one sentence"
        except SystemExit as ended:
            return f"exit {ended.code}"
        except Exception as error:
            return f"failed, {type(error).__name__}"
        return "succeeded"

    def settle(self, results: Path, ended: str) -> str:
        """Check that nothing is left, or that what is left is named and goes: the table's cell."""
        double = self.double
        left = self.left()
        assert ended == "succeeded" or not double.registered(), "what failed is registered"
        if not left and not state_file(results).exists():
            return f"{ended}: 0"
        assert state_file(results).exists(), f"{left} left, and nowhere named"
        if ended != "killed":
            assert ended == "exit 3", ended
            assert evidence(results)["teardown"]["remaining"]
        double.faults, double.before, double.after = [], lambda operation: None, lambda operation: None
        if double.schedules:
            double.advance(6 * 60)
            assert double.left() == double.keys(""), "what costs goes by the schedules alone"
        teardown_script.main(["--results", str(results.parent)])
        assert self.left() == [] and not state_file(results).exists()
        return f"{ended}, {len(left)} left; schedules, make teardown: 0"


@pytest.fixture
def bench(known, study, tmp_path, monkeypatch):
    monkeypatch.setattr(teardown, "DELETION_SECONDS", 20.0)
    monkeypatch.setattr(teardown, "NOT_FOUND_GRACE_SECONDS", 0.05)
    monkeypatch.setattr(endpoint, "BUSY_SECONDS", 0.05)
    # What a job trained is loaded and served by TensorFlow, of which other tests are.
    monkeypatch.setattr(training_job, "evaluate", lambda folder, prepared, facts: np.zeros((90, 3)))
    monkeypatch.setattr(training_job, "write_served_model", lambda trained, model_dir, folder: model_dir)
    monkeypatch.setattr(endpoint.SageMakerEndpoint, "reference", lambda self: None)
    train = type(known).train
    yield Bench(known, study, tmp_path / "results", monkeypatch)
    known.train = train.__get__(known)
    known.before = known.after = lambda operation: None


TABLE: dict[tuple[str, str], dict[str, str]] = {}


@pytest.fixture(scope="module", autouse=True)
def table():
    """Write the table where FAULT_TABLE names a file for it."""
    yield
    if "FAULT_TABLE" in os.environ:
        columns = sorted({column for cells in TABLE.values() for column in cells})
        lines = [["mode", "call", *columns], ["---"] * (len(columns) + 2)]
        lines += [[mode, call, *(cells.get(column, "") for column in columns)] for (mode, call), cells in TABLE.items()]
        Path(os.environ["FAULT_TABLE"]).write_text("".join(f"| {' | '.join(line)} |\n" for line in lines))


def throttled_once(bench: Bench, call: Call) -> None:
    bench.double.faults = [Fault(call.operation, "ThrottlingException", skip=call.earlier)]


def throttled(bench: Bench, call: Call) -> None:
    bench.double.faults = [Fault(call.operation, "ThrottlingException", times=9999, skip=call.earlier)]


def denied(bench: Bench, call: Call) -> None:
    text = f"arn:aws:sts::{ACCOUNT}:x is not authorized"
    bench.double.faults = [Fault(call.operation, "AccessDeniedException", text, 403, 9999, skip=call.earlier)]


def failing_after(bench: Bench, call: Call) -> None:
    bench.double.faults = [Fault(call.operation, "InternalFailure", "x", 500, 9999, True, call.earlier)]


def nonsense(bench: Bench, call: Call) -> None:
    bench.double.faults = [Fault(call.operation, "", "", 200, 9999, skip=call.earlier, body=NONSENSE)]


def empty(bench: Bench, call: Call) -> None:
    bench.double.faults = [Fault(call.operation, "", "", 200, 9999, skip=call.earlier, body=b"{}")]


def hanging(bench: Bench, call: Call) -> None:
    """AWS does what it is asked for, three times, and does not answer: the client's own timeout."""
    send, seen = URLLib3Session.send, []

    def instead(session, request):
        before = len(bench.double.calls)
        response = send(session, request)
        if bench.double.calls[before:] == [call.operation]:
            seen.append(call)
            if call.earlier < len(seen) <= call.earlier + 3:
                raise ReadTimeoutError(endpoint_url=request.url)
        return response

    bench.patch.setattr(URLLib3Session, "send", instead)


FAULTS = {
    "throttled once": throttled_once, "throttled": throttled, "denied": denied, "500 after it was done": failing_after,
    "answers HTML": nonsense, "answers {}": empty, "hangs, done": hanging,
}  # fmt: skip

FOR_GOOD = ("throttled", "denied", "500 after it was done", "answers HTML", "answers {}")
"""Faults that do not pass, so that waiting for long only takes long."""


def struck(*numbers: signal.Signals):
    """A fault: this process gets a signal while AWS works on the call, and another one just after."""

    def strike(bench: Bench, call: Call) -> None:
        seen = []

        def before(operation):
            if operation == call.operation:
                seen.append(operation)
                if len(seen) == call.earlier + 1:
                    for number in numbers:
                        os.kill(os.getpid(), number)
                        time.sleep(0.01)  # it has been struck before the answer comes

        bench.double.before = before

    return strike


SIGNALS = {number.name: struck(number) for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)}
SIGNALS["SIGINT twice"] = struck(signal.SIGINT, signal.SIGINT)


OF_BATCH = ("denied", "500 after it was done", "hangs, done", "SIGTERM")
"""What a transform job adds is struck by these; the other calls are those of an endpoint."""


def rows(*names: str) -> list:
    """Parameters, modes and faults: all with FAULT_TABLE, else all of an endpoint and of other modes what differs."""
    reason = "needs SageMaker's SDK (pip install --require-hashes -r requirements/sagemaker.txt)"
    return [
        pytest.param(mode, fault, marks=pytest.mark.skipif("train" in mode and not HAS_SDK, reason=reason))
        for mode in MODES
        for fault in names
        if "FAULT_TABLE" in os.environ or mode == "instance" or fault in (OF_BATCH if mode == "batch" else ("denied",))
    ]


@pytest.mark.slow
@pytest.mark.parametrize(("mode", "fault"), rows(*FAULTS, *SIGNALS))
def test_whatever_strikes_whichever_call_nothing_is_left(bench, mode, fault):
    wrong = []
    for call in bench.calls(mode):
        if call.earlier and fault not in ("denied", "hangs, done"):
            continue  # the last call of an operation is as the first, but for what has been done before
        results = bench.fresh(mode)
        with pytest.MonkeyPatch.context() as bench.patch:
            if fault in FOR_GOOD:
                bench.patch.setattr(teardown, "DELETION_SECONDS", 0.3)
            (FAULTS | SIGNALS)[fault](bench, call)
            ended = bench.deploy(results, mode)
        try:
            cell = bench.settle(results, ended)
            assert ended.startswith(("succeeded", "exit")) or ended == "failed, one sentence"
            if fault == "throttled once":
                assert ended == "succeeded"
            if fault.startswith("answers") and call.operation.startswith("Create"):
                assert ended != "succeeded", "nothing was created"
        except AssertionError as error:
            cell = f"{ended}: {error}"
            wrong.append(f"{call}: {cell}")
        TABLE.setdefault((mode, str(call)), {})[fault] = cell
    assert not wrong, "\n".join(wrong)


@pytest.mark.slow
@pytest.mark.parametrize(("mode", "moment"), [
    (mode, moment) for mode in ("instance", "batch", "serverless") for moment in ("before", "after")
    if "FAULT_TABLE" in os.environ or mode == "instance"
])  # fmt: skip
def test_after_a_kill_at_any_call_schedules_and_teardown_leave_nothing(bench, processes, mode, moment):
    for call in bench.calls(mode):
        if call.earlier:
            continue
        results = bench.fresh(mode)
        interrupted(bench.double, results, processes, signal.SIGKILL, call.operation, moment, **MODES[mode])
        bench.double.before = bench.double.after = lambda operation: None
        cell = bench.settle(results, "killed")
        TABLE.setdefault((mode, str(call)), {})[f"SIGKILL {'and not done' if moment == 'before' else 'when done'}"] = (
            cell
        )
