"""The table of faults: every call of a deployment, in every mode, struck in every way; resources left: 0 in every row.

Rows are the calls that the double of AWS saw in a deployment without a fault, so that a new call is covered by itself,
and those that only a failing one makes. FAULT_TABLE=table.md strikes all of them in all ways and writes the table, one
row for each call and one column for each fault; without it modes are struck by what differs in them.
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

import pytest
from botocore.exceptions import ReadTimeoutError
from botocore.httpsession import URLLib3Session
from botocore.parsers import ResponseParserError

pytest.importorskip("moto", reason="needs moto (pip install --require-hashes -r requirements/dev.txt)")

import builders.aws_sdk  # noqa: F401
import deploy
import teardown as teardown_script
from aws_double import ACCOUNT, REGION, Fault
from builders.deployments import RUN, SETTINGS, STAND_INS, arguments, evidence, interrupted, state_file
from convlab.cloud import cold_starts, endpoint, teardown, training_job
from convlab.errors import UserError

pytest_plugins = ["builders.aws_account"]

GUARD = {"scheduler_role_arn": f"arn:aws:iam::{ACCOUNT}:role/DeletesEndpoints"}
AT_ONCE = {**SETTINGS["endpoint"], "metrics_wait_seconds": 0}
ON_INSTANCE = {"endpoint": {**AT_ONCE, "instance_type": "ml.m5.large"}, **GUARD}
GOVERNED = {
    "network_isolation": True, "encrypt_traffic": True,
    "vpc": {"subnets": ["subnet-0a1", "subnet-0b2"], "security_groups": ["sg-0c3"]},
    "kms_key": f"arn:aws:kms:{REGION}:{ACCOUNT}:key/1234abcd-12ab-34cd-56ef-1234567890ab",
}  # fmt: skip
MODES = {
    "serverless": {"mode": "deploy", "endpoint": {**AT_ONCE, "cold_starts": 2}},
    "instance": {"mode": "deploy", **ON_INSTANCE},
    "batch": {"mode": "batch", **GUARD},
    "registered": {"mode": "deploy", "endpoint": AT_ONCE, "register": True},
    "train_and_deploy": {"mode": "train_and_deploy", "endpoint": AT_ONCE, **GUARD},
    "train_and_batch": {"mode": "train_and_batch", **GUARD},
    "governed": {"mode": "train_and_deploy", "register": True, **ON_INSTANCE, **GOVERNED},
}
"""Modes by name, and what each changes in the settings; ``train`` makes no call that train_and_deploy does not make."""

UNDOING = {
    "registered, undone": ("registered", "CreateModelCard"),
    "batch, stopped": ("batch", "DescribeTransformJob"),
    "train_and_deploy, stopped": ("train_and_deploy", "DescribeTrainingJob"),
}
"""Mode and a call that AWS carries out and answers by an error, always: then calls are made that no success makes."""

WHOLE_TABLE = "FAULT_TABLE" in os.environ

HAS_SDK = importlib.util.find_spec("sagemaker") is not None

NONSENSE = b"<html><body>Sign in to the hotel's network</body></html>"

FINISHED = {"spec_hash": RUN.spec_hash, "data_sha256": {}, "status": "finished"}


MAKING = ("Create", "Put", "Update")

FIRST_ROWS, LAST_ROWS = 2, 2
"""Of equal calls that make something, in the whole table: all but what lies between, as of a job's hundred files."""


def settings_of(case: str) -> dict:
    """What a case of the table changes in the settings."""
    return MODES[UNDOING[case][0] if case in UNDOING else case]


def usual_end(case: str) -> str:
    """How it ends unless something else strikes."""
    return "failed, one sentence" if case in UNDOING else "succeeded"


@dataclass(frozen=True)
class Call:
    """One of the calls of an operation in a deployment: its name, how many come before, how many there are."""

    operation: str
    earlier: int
    of: int

    def __str__(self) -> str:
        if self.of == 1:
            return self.operation
        if self.operation.startswith(MAKING):
            return f"{self.operation} ({self.earlier + 1} of {self.of})"
        return f"{self.operation} ({'last' if self.earlier else 'first'})"


CALLS: dict[str, list[Call]] = {}


@dataclass
class Bench:
    """Deployments to one double, each from a fresh folder and into an empty account."""

    double: object
    study: Path
    folder: Path
    patch: pytest.MonkeyPatch

    def fresh(self, case: str) -> Path:
        """A study's folder to deploy from, big files as links; an empty account."""
        self.double.reset()
        self.settings, failing = settings_of(case), UNDOING[case][1] if case in UNDOING else None
        if failing:
            self.double.hold_jobs = True
            self.double.faults = [Fault(failing, "InternalFailure", "x", 500, 9999, after=True)]
        if self.settings["mode"].startswith("train"):
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

    def calls(self, case: str) -> list[Call]:
        """The calls of a deployment that nothing else strikes, in their order; of equal ones the first and the last.

        The whole table has each of those that make something. Of a failing deployment only what others do not call.
        """
        if case in CALLS:
            return CALLS[case]
        usual = set(self.seen(UNDOING[case][0])) if case in UNDOING else set()
        counts = Counter(operation for operation in self.seen(case) if operation not in usual)
        CALLS[case] = [
            Call(operation, earlier, of)
            for operation, of in counts.items()
            for earlier in range(of)
            if earlier in (0, of - 1)
            or (WHOLE_TABLE and operation.startswith(MAKING) and (earlier < FIRST_ROWS or earlier >= of - LAST_ROWS))
        ]
        return CALLS[case]

    def seen(self, case: str) -> list[str]:
        """Names of the calls of a deployment."""
        results = self.fresh(case)
        ended = self.deploy(results)
        assert ended == usual_end(case) and self.left() == [] and self.is_registered() == self.is_wanted(ended)
        return list(self.double.calls)

    def left(self) -> list[str]:
        """What is left that should not be: of a registration nothing, or all of it."""
        left = [*self.double.left(), *self.double.registered()]
        if self.is_registered():
            left = [name for name in left if name not in (*self.double.registered(), *self.registered_objects())]
        return left

    def is_registered(self) -> bool:
        """Whether there are one group, one package, one card, and the two objects that they name."""
        sagemaker = self.double.sagemaker
        counts = map(len, (sagemaker.model_package_groups, sagemaker.model_packages, sagemaker.model_cards))
        return list(counts) == [1, 1, 1] and len(self.registered_objects()) == 2

    def registered_objects(self) -> list[str]:
        return self.double.keys(f"{SETTINGS['prefix']}/registry/")

    def is_wanted(self, ended: str) -> bool:
        """Whether a deployment that ended so leaves a registered model."""
        return ended == "succeeded" and self.settings.get("register", False)

    def deploy(self, results: Path) -> str:
        """How the script ends."""
        try:
            deploy.main(arguments(results, **self.settings))
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
        if not left and not state_file(results).exists():
            assert self.is_registered() == self.is_wanted(ended), "what failed is registered, or what succeeded is not"
            return f"{ended}: 0"
        assert state_file(results).exists(), f"{left} left, and nowhere named"
        if ended != "killed":
            assert ended == "exit 3", ended
            assert evidence(results)["teardown"]["remaining"]
        double.faults, double.before, double.after = [], lambda operation: None, lambda operation: None
        if double.schedules:
            double.advance(6 * 60)
            assert double.left() == double.keys(""), "what costs goes by AWS alone"
        teardown_script.main(["--results", str(results.parent)])
        assert double.left() == double.registered() == [] and not state_file(results).exists()
        return f"{ended}, {len(left)} left; schedules, make teardown: 0"


@pytest.fixture
def bench(known, study, tmp_path, monkeypatch):
    monkeypatch.setattr(teardown, "DELETION_SECONDS", 20.0)
    monkeypatch.setattr(teardown, "NOT_FOUND_GRACE_SECONDS", 0.05)
    monkeypatch.setattr(endpoint, "BUSY_SECONDS", 0.05)
    monkeypatch.setattr(cold_starts, "GOING_SECONDS", 0.3)
    for name, value in {"AWS_RETRY_MODE": "standard", "AWS_MAX_ATTEMPTS": "2"}.items():  # of the SDK's own clients
        monkeypatch.setenv(name, value)
    for owner, name, value in STAND_INS:
        monkeypatch.setattr(owner, name, value)
    train = type(known).train
    yield Bench(known, study, tmp_path / "results", monkeypatch)
    known.train = train.__get__(known)
    known.before = known.after = lambda operation: None


TABLE: dict[tuple[str, str], dict[str, str]] = {}


@pytest.fixture(autouse=True)
def table():
    """Write the table, as far as it is known, where FAULT_TABLE names a file for it."""
    yield
    if "FAULT_TABLE" in os.environ:
        columns = sorted({column for cells in TABLE.values() for column in cells})
        lines = [["mode", "call", *columns], ["---"] * (len(columns) + 2)]
        lines += [[mode, call, *(cells.get(column, "") for column in columns)] for (mode, call), cells in TABLE.items()]
        Path(os.environ["FAULT_TABLE"]).write_text("".join(f"| {' | '.join(line)} |\n" for line in lines))


def throttled_once(bench: Bench, call: Call) -> None:
    bench.double.faults.append(Fault(call.operation, "ThrottlingException", skip=call.earlier))


def throttled(bench: Bench, call: Call) -> None:
    bench.double.faults.append(Fault(call.operation, "ThrottlingException", times=9999, skip=call.earlier))


def denied(bench: Bench, call: Call) -> None:
    text = f"arn:aws:sts::{ACCOUNT}:x is not authorized"
    bench.double.faults.append(Fault(call.operation, "AccessDeniedException", text, 403, 9999, skip=call.earlier))


def failing_after(bench: Bench, call: Call) -> None:
    bench.double.faults.append(Fault(call.operation, "InternalFailure", "x", 500, 9999, True, call.earlier))


def failing_after_once(bench: Bench, call: Call) -> None:
    bench.double.faults.append(Fault(call.operation, "InternalFailure", "x", 500, 1, True, call.earlier))


def nonsense(bench: Bench, call: Call) -> None:
    bench.double.faults.append(Fault(call.operation, "", "", 200, 9999, skip=call.earlier, body=NONSENSE))


def empty(bench: Bench, call: Call) -> None:
    bench.double.faults.append(Fault(call.operation, "", "", 200, 9999, skip=call.earlier, body=b"{}"))


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
    "500 once after it was done": failing_after_once,
    "answers HTML": nonsense, "answers {}": empty, "hangs, done": hanging,
}  # fmt: skip

FOR_GOOD = ("throttled", "denied", "500 after it was done", "answers HTML", "answers {}")
"""Faults that do not pass, so that waiting for long only takes long."""


def struck(*numbers: signal.Signals, moment: str = "before"):
    """A fault: this process gets a signal before or after AWS works on the call, and another one just after."""

    def strike(bench: Bench, call: Call) -> None:
        seen = []

        def send(operation):
            if operation == call.operation:
                seen.append(operation)
                if len(seen) == call.earlier + 1:
                    for number in numbers:
                        os.kill(os.getpid(), number)
                        time.sleep(0.01)  # it has been struck before the answer comes

        setattr(bench.double, moment, send)

    return strike


SIGNALS = {number.name: struck(number) for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)}
SIGNALS["SIGINT twice"] = struck(signal.SIGINT, signal.SIGINT)
SIGNALS["SIGTERM when done"] = struck(signal.SIGTERM, moment="after")

WAYS = FAULTS | SIGNALS

LATER_CALLS = ("denied", "500 after it was done", "hangs, done", "SIGTERM")
"""What strikes the calls of an operation after its first, in the whole table; SIGKILL does too."""

ONLY_IN_THE_WHOLE_TABLE = ("500 once after it was done", "SIGTERM when done")
STRUCK_BY = {
    "instance": tuple(name for name in WAYS if name not in ONLY_IN_THE_WHOLE_TABLE),
    "batch": ("denied", "500 after it was done", "hangs, done", "SIGTERM"),
    "serverless": ("denied",), "registered": ("denied",), "train_and_deploy": ("denied",),
}  # fmt: skip
"""What strikes which mode without FAULT_TABLE: an endpoint on an instance in most ways, others in what they add."""

NEEDS_SDK = pytest.mark.skipif(
    not HAS_SDK, reason="needs SageMaker's SDK (pip install --require-hashes -r requirements/sagemaker.txt)"
)


def case_of(case: str, way: str):
    """A test's parameters, skipped where the case trains and SageMaker's SDK is not there."""
    return pytest.param(case, way, marks=[NEEDS_SDK] * settings_of(case)["mode"].startswith("train"))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("case", "way"),
    [case_of(case, way) for case in (*MODES, *UNDOING) for way in (WAYS if WHOLE_TABLE else STRUCK_BY.get(case, ()))],
)
def test_whatever_strikes_whichever_call_nothing_is_left(bench, case, way):
    wrong = []
    for call in bench.calls(case):
        if call.earlier and way not in (LATER_CALLS if WHOLE_TABLE else ("denied", "hangs, done")):
            continue  # a later call of an operation is as the first, but for what has been done before
        results = bench.fresh(case)
        with pytest.MonkeyPatch.context() as bench.patch:
            if way in FOR_GOOD:
                bench.patch.setattr(teardown, "DELETION_SECONDS", 0.15)
            WAYS[way](bench, call)
            ended = bench.deploy(results)
        reached = bench.double.calls.count(call.operation) > call.earlier  # how often is asked may differ
        try:
            cell = bench.settle(results, ended)
            assert ended.startswith(("succeeded", "exit")) or ended == "failed, one sentence"
            if way == "throttled once":
                assert ended == usual_end(case)
            if way.startswith("answers") and call.operation.startswith("Create") and reached:
                cold_start = case == "serverless" and call.earlier  # of which one less is measured then
                assert ended != "succeeded" or cold_start, "nothing was created"
        except AssertionError as error:
            cell = f"{ended}: {error}"
            wrong.append(f"{call}: {cell}")
        TABLE.setdefault((case, str(call)), {})[way] = cell if reached else "not reached"
    assert not wrong, "\n".join(wrong)


def test_clients_that_sagemakers_sdk_makes_refuse_what_is_no_answer_of_aws(known, clients):
    known.faults = [Fault("DescribeTrainingJob", "", "", 200, body=b"{}")]
    with pytest.raises(ResponseParserError, match="has no TrainingJobName; is there a proxy"):
        clients.session.client("sagemaker").describe_training_job(TrainingJobName="x")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("case", "moment"),
    [
        case_of(case, moment)
        for case in ((*MODES, *UNDOING) if WHOLE_TABLE else ("instance",))
        for moment in ("before", "after")
    ],
)
def test_after_a_kill_at_any_call_schedules_and_teardown_leave_nothing(bench, processes, case, moment):
    wrong = []
    for call in bench.calls(case):
        if call.earlier and not WHOLE_TABLE:
            continue
        results = bench.fresh(case)
        ended = interrupted(
            bench.double, results, processes, signal.SIGKILL, call.operation, moment, call.earlier, **bench.settings
        )
        bench.double.before = bench.double.after = lambda operation: None
        try:
            cell = bench.settle(results, "killed") if ended == -signal.SIGKILL else "not reached"
        except AssertionError as error:
            cell = f"killed: {error}"
            wrong.append(f"{call}: {cell}")
        TABLE.setdefault((case, str(call)), {})["SIGKILL" + " when done" * (moment == "after")] = cell
    assert not wrong, "\n".join(wrong)
