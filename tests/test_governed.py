"""Deployments in governed accounts, against the double: isolation, VPC, keys, packages, images, policies."""

import hashlib
import importlib.util
import subprocess
import zipfile
from pathlib import Path
from types import SimpleNamespace

import pytest

pytest.importorskip("moto", reason="needs moto (pip install --require-hashes -r requirements/dev.txt)")

import yaml

import deploy
import deploy_plan
from aws_double import ACCOUNT, REGION, Fault, without_network
from builders.deployments import SETTINGS, arguments, evidence
from builders.permissions import Need, condition_keys, needs, refused, unused
from builders.project import TINY
from convlab.cloud import governance, packages, sdk
from convlab.cloud.policy import caller_policy, role_policy
from convlab.common import redaction
from convlab.errors import UserError
from convlab.study.governed import has_instance_store
from convlab.study.load import load_study
from convlab.study.sagemaker import SageMaker

pytest_plugins = ["builders.aws_account"]

KEY = f"arn:aws:kms:{REGION}:{ACCOUNT}:key/1234abcd-12ab-34cd-56ef-1234567890ab"
VPC = {"subnets": ["subnet-0a1", "subnet-0b2"], "security_groups": ["sg-0c3"]}
IN_VPC = {"Subnets": VPC["subnets"], "SecurityGroupIds": VPC["security_groups"]}
GUARD_ROLE = f"arn:aws:iam::{ACCOUNT}:role/DeletesEndpoints"
ON_INSTANCE = {**SETTINGS["endpoint"], "instance_type": "ml.m5.large"}
GOVERNED = {
    "network_isolation": True, "vpc": VPC, "kms_key": KEY, "encrypt_traffic": True, "endpoint": ON_INSTANCE,
    "unguarded": True,
}  # fmt: skip

needs_sdk = pytest.mark.skipif(
    importlib.util.find_spec("sagemaker") is None,
    reason="needs SageMaker's SDK (pip install --require-hashes -r requirements/sagemaker.txt)",
)


needs_namespaces = pytest.mark.skipif(without_network() is None, reason="needs a kernel that gives network namespaces")


def settings(**changes) -> SageMaker:
    return SageMaker.model_validate(SETTINGS | changes)


def request_of(double, operation: str):
    (request,) = [request for request in double.requests if request.operation == operation]
    return request.sent


# ---------------------------------------------------------------------------------------------------------------------
# What a config may ask for


@pytest.mark.parametrize(("changes", "sentence"), [
    ({"network_isolation": True}, "has network_isolation: true, which AWS' serverless .* name endpoint.instance_type"),
    ({"vpc": VPC}, "has vpc, which AWS' serverless endpoints do not have; name endpoint.instance_type"),
    ({"vpc": VPC, "mode": "train_and_deploy"}, "has vpc, which AWS' serverless endpoints do not have"),
    ({"vpc": {**VPC, "security_groups": []}}, "security_groups"),
    ({"vpc": {**VPC, "subnets": ["vpc-0a1"]}}, "should be a subnet's id, such as subnet-0abc1234"),
    ({"kms_key": "my key"}, "should be the id, ARN or alias/... of a KMS key"),
    ({"kms_key": KEY.replace(REGION, "us-east-1")}, f"kms_key of region us-east-1, .* use one of {REGION}"),
    ({"kms_key": "alias/models", "mode": "train"}, "an alias as kms_key, which the disk of a training job"),
])  # fmt: skip
def test_what_aws_refuses_is_refused_when_the_config_is_read(changes, sentence):
    written = {**TINY, "deploy": {"target": "sagemaker", "sagemaker": SETTINGS | changes}}
    with pytest.raises(UserError, match=sentence) as caught:
        load_study(yaml.safe_load(yaml.safe_dump(written)))
    assert str(caught.value).startswith("deploy.sagemaker")


@pytest.mark.parametrize("changes", [
    GOVERNED, {"mode": "train", "network_isolation": True, "vpc": VPC},
    {"mode": "batch", "network_isolation": True, "unguarded": True},
    {"kms_key": "alias/models"}, {"kms_key": KEY.replace(ACCOUNT, "*" * 12)}, {"kms_key": None, "vpc": None},
    {"kms_key": "mrk-1234abcd12ab34cd56ef1234567890ab", "mode": "train"}, {"encrypt_traffic": True},
])  # fmt: skip
def test_what_aws_takes_is_accepted(changes):
    settings(**changes)


def test_a_key_whose_id_ends_in_twelve_digits_stays_valid_where_account_numbers_are_hidden():
    for key in ("1234abcd-12ab-34cd-56ef-123456789012", KEY[:-12] + "123456789012"):
        sagemaker = {**SETTINGS, "region": REGION, "unguarded": True, "endpoint": ON_INSTANCE, "kms_key": key}
        study = load_study({**TINY, "deploy": {"target": "sagemaker", "sagemaker": sagemaker}})
        hidden = load_study(study.validated_config).deploy.sagemaker.kms_key
        assert hidden.endswith("-" + "*" * 12)


def test_instances_with_disks_of_their_own_are_known():
    own = (
        "m5d.large g4dn.xlarge p3dn.24xlarge p4d.24xlarge p4de.24xlarge g5.xlarge g6e.xlarge p5en.48xlarge trn1.2xlarge"
    )
    without = "m5.large c5.xlarge c5n.large p3.2xlarge g5g.xlarge t3.large r5.large m6i.large c7i.large inf2.xlarge"
    assert all(has_instance_store(f"ml.{name}") for name in own.split())
    assert not any(has_instance_store(f"ml.{name}") for name in without.split())


# ---------------------------------------------------------------------------------------------------------------------
# What is asked of AWS


def test_by_default_no_request_has_any_of_it(known, results):
    deploy.main(arguments(results))
    assert not {"EnableNetworkIsolation", "VpcConfig"} & request_of(known, "CreateModel").keys()
    assert "KmsKeyId" not in request_of(known, "CreateEndpointConfig")
    assert not [name for request in known.requests for name in request.environ if "ENCRYPTION" in name]


def test_an_endpoint_is_isolated_inside_the_vpc_and_encrypted(known, results):
    deploy.main(arguments(results, **GOVERNED))
    model = request_of(known, "CreateModel")
    assert model["EnableNetworkIsolation"] is True and model["VpcConfig"] == IN_VPC
    assert request_of(known, "CreateEndpointConfig")["KmsKeyId"] == KEY
    (upload,) = [request.environ for request in known.requests if request.operation == "PutObject"]
    assert upload["HTTP_X_AMZ_SERVER_SIDE_ENCRYPTION"] == "aws:kms"
    assert upload["HTTP_X_AMZ_SERVER_SIDE_ENCRYPTION_AWS_KMS_KEY_ID"] == KEY
    record = evidence(results)
    assert record["status"] == "succeeded" and known.left() == []
    assert record["endpoint"]["controls"] == {
        "network_isolation": True, "vpc": VPC, "kms_key": KEY.replace(ACCOUNT, "*" * 12), "encrypt_traffic": True,
    }  # fmt: skip


def test_a_transform_job_is_isolated_inside_the_vpc_and_encrypted(known, results):
    deploy.main(arguments(results, mode="batch", **GOVERNED))
    model, job = request_of(known, "CreateModel"), request_of(known, "CreateTransformJob")
    assert model["EnableNetworkIsolation"] is True and model["VpcConfig"] == IN_VPC
    assert job["TransformOutput"]["KmsKeyId"] == job["TransformResources"]["VolumeKmsKeyId"] == KEY
    uploads = [request.environ for request in known.requests if request.operation == "PutObject"]
    assert len(uploads) == 2, "the model and the images"
    assert {upload["HTTP_X_AMZ_SERVER_SIDE_ENCRYPTION_AWS_KMS_KEY_ID"] for upload in uploads} == {KEY}


def test_no_key_is_asked_for_disks_of_the_instances_own():
    chosen = settings(**GOVERNED)
    assert governance.disk(chosen, "ml.g5.xlarge") == {}
    assert governance.disk(chosen, "ml.m5.large") == {"VolumeKmsKeyId": KEY}


@pytest.mark.parametrize(("key", "value"), [
    ("kms_key", KEY.replace(ACCOUNT, "*" * 12)), ("bucket", f"models-{'*' * 12}"),
    ("endpoint", {"image": f"{'*' * 12}.dkr.ecr.{REGION}.amazonaws.com/serve:1"}),
])  # fmt: skip
def test_a_hidden_account_number_is_asked_for_and_not_sent_to_aws(known, results, key, value):
    with pytest.raises(UserError, match=rf"deploy\.sagemaker\.{key} has its account number hidden"):
        deploy.main(arguments(results, **{key: value}))
    assert not known.calls


# ---------------------------------------------------------------------------------------------------------------------
# Packages of training jobs


@pytest.fixture
def wheelhouse(tmp_path, monkeypatch) -> Path:
    """One small package as what jobs install, and the folder from which pip takes it instead of an index."""
    folder = tmp_path / "wheelhouse"
    folder.mkdir()
    wheel = folder / "convlab_proof-1.0-py3-none-any.whl"
    information = "convlab_proof-1.0.dist-info"
    with zipfile.ZipFile(wheel, "w") as archive:
        archive.writestr("convlab_proof.py", "")
        archive.writestr(f"{information}/METADATA", "Metadata-Version: 2.1\nName: convlab-proof\nVersion: 1.0\n")
        archive.writestr(f"{information}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        archive.writestr(f"{information}/RECORD", "")
    pinned = tmp_path / "requirements.txt"
    pinned.write_text(f"convlab-proof==1.0 \\\n    --hash=sha256:{hashlib.sha256(wheel.read_bytes()).hexdigest()}\n")
    monkeypatch.setattr(packages, "REQUIREMENTS", pinned)
    monkeypatch.setattr(packages, "check_keras", lambda: None)
    monkeypatch.setenv("CONVLAB_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(folder))
    monkeypatch.setenv("PIP_CONFIG_FILE", "/dev/null")
    return folder


def test_wheels_are_downloaded_once_and_packed_for_a_job_without_a_network(wheelhouse, tmp_path, monkeypatch):
    source = tmp_path / "source"
    source.mkdir()
    packages.pack(source, "x/tensorflow-training:2.21-cpu-py312", isolated=True)
    assert [path.name for path in (source / "wheels").iterdir()] == ["convlab_proof-1.0-py3-none-any.whl"]
    text = (source / "requirements.txt").read_text()
    assert text.startswith("--require-hashes\n--no-index\n--find-links wheels\nconvlab-proof==1.0 ")
    monkeypatch.setattr(packages, "_pip", lambda folder: ["false"])
    packages.wheels("x/tensorflow-training:2.22-gpu-py312-cu129")
    with pytest.raises(UserError, match=r"for Python 3\.13, could not be downloaded"):
        packages.wheels("x/tensorflow-training:2.21-cpu-py313")


@pytest.mark.parametrize("damage", ["other bytes", "missing", "one more"])
def test_wheels_in_the_cache_that_are_not_those_of_the_hashes_are_replaced(wheelhouse, damage):
    folder = packages.wheels("x-py312")
    (wheel,) = folder.iterdir()
    if damage == "one more":
        (folder / "other-1.0-py3-none-any.whl").write_bytes(b"x")
    else:
        wheel.write_bytes(b"other") if damage == "other bytes" else wheel.unlink()
    assert packages.complete(packages.wheels("x-py312"))


def test_a_python_that_cannot_make_pip_is_told_what_to_install(wheelhouse, monkeypatch):
    def fail(folder, with_pip):
        raise subprocess.CalledProcessError(1, ["python", "-m", "ensurepip"])

    without_pip = SimpleNamespace(util=SimpleNamespace(find_spec=lambda name: None))
    monkeypatch.setattr(packages, "importlib", without_pip)
    monkeypatch.setattr(packages.venv, "create", fail)
    with pytest.raises(UserError, match="install pip into this environment, or Debian's python3-venv"):
        packages.wheels("tensorflow-training:2.21-cpu-py312")


def test_a_wheel_with_another_hash_is_refused_before_anything_is_created(wheelhouse, known, results):
    (wheel,) = wheelhouse.iterdir()
    with zipfile.ZipFile(wheel, "a") as archive:
        archive.writestr("evil.py", "")
    with pytest.raises(UserError, match="could not be downloaded: THESE PACKAGES DO NOT MATCH THE HASHES"):
        deploy.main(arguments(results, mode="train", network_isolation=True))
    assert not any(call.startswith(("Create", "Put")) for call in known.calls)


def test_without_isolation_the_hashes_are_packed_and_no_wheels(tmp_path):
    packages.pack(tmp_path, "x-py312", isolated=False)
    assert [path.name for path in tmp_path.iterdir()] == ["requirements.txt"]
    text = (tmp_path / "requirements.txt").read_text()
    assert text.startswith("--require-hashes\n") and "--no-index" not in text and text.count("--hash=sha256:") > 6


def test_another_keras_than_the_jobs_is_refused(monkeypatch):
    monkeypatch.setattr(packages, "version", lambda name: "3.1.0")
    with pytest.raises(UserError, match=r"installs keras .*, and here is 3\.1\.0"):
        packages.check("x-py312", isolated=False)


@needs_sdk
@needs_namespaces
@pytest.mark.slow
def test_a_run_is_trained_without_a_network_by_what_was_packed_along(training_double, to_train, wheelhouse):
    deploy.main(arguments(to_train, mode="train", **GOVERNED))
    job = request_of(training_double, "CreateTrainingJob")
    assert job["EnableNetworkIsolation"] is job["EnableInterContainerTrafficEncryption"] is True
    assert job["VpcConfig"] == IN_VPC and job["ResourceConfig"]["VolumeKmsKeyId"] == KEY
    assert job["OutputDataConfig"]["KmsKeyId"] == KEY
    uploads = [request.environ for request in training_double.requests if request.operation == "PutObject"]
    assert len(uploads) > 50, "data, the code, SageMaker's driver"
    assert {upload.get("HTTP_X_AMZ_SERVER_SIDE_ENCRYPTION_AWS_KMS_KEY_ID") for upload in uploads} == {KEY}
    record = evidence(to_train)
    assert record["training"]["run"]["spec_hash"] and training_double.left() == []
    (lines,) = record["training"]["log"]["streams"].values()
    assert any("Successfully installed convlab-proof-1.0" in line for line in lines)


@needs_sdk
@needs_namespaces
@pytest.mark.slow
def test_a_job_without_a_network_cannot_install_what_was_not_packed_along(
    training_double, to_train, wheelhouse, monkeypatch
):
    pack = packages.pack
    monkeypatch.setattr(packages, "pack", lambda folder, image, isolated: pack(folder, image, False))
    monkeypatch.delenv("PIP_FIND_LINKS")
    monkeypatch.delenv("PIP_NO_INDEX")
    monkeypatch.setenv("PIP_RETRIES", "0")
    monkeypatch.setattr(packages, "check", lambda image, isolated: None)
    with pytest.raises(UserError, match=r"ended as Failed: .*'pip', 'install'"):
        deploy.main(arguments(to_train, mode="train", **GOVERNED))
    (lines,) = evidence(to_train)["training"]["log"]["streams"].values()
    assert "No matching distribution found for convlab-proof==1.0" in "".join(lines)
    assert training_double.left() == []


@needs_sdk
@pytest.mark.slow
def test_a_request_to_train_has_none_of_it_by_default(training_double, to_train):
    deploy.main(arguments(to_train, mode="train"))
    job = request_of(training_double, "CreateTrainingJob")
    assert not {"VpcConfig"} & job.keys() and "KmsKeyId" not in job["OutputDataConfig"]
    assert not job.get("EnableNetworkIsolation") and not job.get("EnableInterContainerTrafficEncryption")
    assert "VolumeKmsKeyId" not in job["ResourceConfig"]


# ---------------------------------------------------------------------------------------------------------------------
# Images


@needs_sdk
@pytest.mark.parametrize(("wanted", "nearest"), [
    ("2.17", "2.16, 2.18, 2.19"), ("2.99", "2.18, 2.19, 2.20"), ("1.3", "1.4, 1.5, 1.6"), ("new", "2.18, 2.19, 2.20"),
])  # fmt: skip
def test_a_version_that_the_sdk_does_not_know_is_refused_with_the_nearest(wanted, nearest):
    chosen = settings(endpoint={"image_version": wanted})
    with pytest.raises(UserError, match=rf"endpoint\.image_version '{wanted}' .* the nearest are {nearest}; write one"):
        sdk.image(chosen, "inference", REGION)


@needs_sdk
@pytest.mark.parametrize(("changes", "region", "sentence"), [
    ({"endpoint": {}}, "xx-nowhere-1", "knows no TensorFlow .* in xx-nowhere-1 .Unsupported region: xx-nowhere-1.;"),
    ({"endpoint": {"instance_type": "ml.inf2.xlarge"}, "unguarded": True}, REGION, "ml.inf2.xlarge in eu-west-1 .Uns"),
])  # fmt: skip
def test_an_image_that_a_region_or_an_instance_does_not_have_is_refused(changes, region, sentence):
    with pytest.raises(UserError, match=sentence):
        sdk.image(settings(**changes), "inference", region)


@needs_sdk
def test_the_default_versions_are_ones_that_the_pinned_sdk_knows():
    for scope in ("training", "inference"):
        image = sdk.image(settings(endpoint={}, training={}), scope, REGION)
        assert image.split("/")[1].startswith(f"tensorflow-{scope}:2.")
        assert packages.IMAGE_PYTHON.search(image)[0] == "-py312"


@needs_sdk
def test_nothing_is_made_for_an_image_that_is_not_there(known, results):
    with pytest.raises(UserError, match="the nearest are"):
        deploy.main(arguments(results, endpoint={"image_version": "2.17"}))
    assert set(known.calls) <= {"GetCallerIdentity"}


# ---------------------------------------------------------------------------------------------------------------------
# Policies


MADE_BY_SAGEMAKER = {
    "s3:GetObject": "reads data, code and models", "s3:PutObject": "writes what a job made",
    "s3:ListBucket": "finds them by their prefix",
    **dict.fromkeys(["logs:CreateLogGroup", "logs:CreateLogStream", "logs:PutLogEvents", "logs:DescribeLogStreams",
                     "cloudwatch:PutMetricData"], "logs and metrics of containers"),
    **dict.fromkeys(["ecr:GetAuthorizationToken", "ecr:BatchCheckLayerAvailability", "ecr:BatchGetImage",
                     "ecr:GetDownloadUrlForLayer"], "pulls the image"),
    **dict.fromkeys(governance.NETWORK_INTERFACES, "with a VPC: joins instances to its subnets"),
    "kms:Decrypt": "with a key: reads encrypted objects", "kms:DescribeKey": "with a key: looks whether it can be used",
    "kms:CreateGrant": "with a key: encrypts disks",
    **dict.fromkeys(["kms:Encrypt", "kms:GenerateDataKey"], "with a key: encrypts what a job writes"),
}  # fmt: skip
"""Actions of the role alone, which no request of ours needs, with the reason that AWS documents."""


def deploy_in_all_ways(double, results, mode: str, changes: dict) -> None:
    """One deployment that succeeds, and one whose jobs have to be stopped, where the mode has jobs."""
    deploy.main(arguments(results, mode=mode, **changes))
    for kind, held in (("TrainingJob", "train" in mode), ("TransformJob", "batch" in mode)):
        if held:
            double.before = lambda operation, kind=kind: setattr(double, "hold_jobs", operation == f"Create{kind}")
            double.faults = [Fault(f"Describe{kind}", "AccessDeniedException", times=9)]
            with pytest.raises(UserError, match="AccessDenied"):
                deploy.main(arguments(results, mode=mode, **changes))


def check_policy(double, mode: str, changes: dict) -> None:
    chosen, key = settings(mode=mode, **changes), changes.get("kms_key")
    wanted, policy = list(needs(double.requests, key)), caller_policy(chosen, REGION)
    assert refused(policy, wanted) == []
    assert unused(policy, wanted) == set()


CONTROLS = {
    "plain": {"unguarded": True}, "governed": GOVERNED, "with a key": {"kms_key": KEY, "unguarded": True},
    "on an instance": {"endpoint": ON_INSTANCE, "scheduler_role_arn": GUARD_ROLE},
    "started twice": {"endpoint": {**SETTINGS["endpoint"], "cold_starts": 2}, "unguarded": True},
}  # fmt: skip


@pytest.mark.parametrize("controls", CONTROLS)
@pytest.mark.parametrize("mode", ["deploy", "batch"])
def test_the_policy_allows_every_call_and_no_other(known, results, mode, controls):
    deploy_in_all_ways(known, results, mode, CONTROLS[controls])
    check_policy(known, mode, CONTROLS[controls])


@needs_sdk
@pytest.mark.slow
@pytest.mark.parametrize("controls", ["plain", "governed"])
@pytest.mark.parametrize("mode", ["train", "train_and_deploy", "train_and_batch"])
def test_the_policy_allows_every_call_of_a_mode_that_trains_and_no_other(
    training_double, to_train, mode, controls, wheelhouse
):
    deploy_in_all_ways(training_double, to_train, mode, CONTROLS[controls])
    check_policy(training_double, mode, CONTROLS[controls])


@pytest.mark.parametrize("controls", CONTROLS)
@pytest.mark.parametrize("mode", ["deploy", "train", "train_and_deploy", "batch"])
def test_every_action_of_the_role_is_one_that_aws_documents(mode, controls):
    chosen = CONTROLS[controls]
    policy = role_policy(settings(mode=mode, **chosen), REGION)
    actions = {action for statement in policy["Statement"] for action in statement["Action"]}
    without = {"with a VPC": "vpc" in chosen, "with a key": "kms_key" in chosen}
    expected = {
        action
        for action, reason in MADE_BY_SAGEMAKER.items()
        if without.get(reason.split(":")[0], True)
        and (mode != "deploy" or action not in ("s3:PutObject", "kms:Encrypt", "kms:GenerateDataKey"))
    }
    assert actions == expected


CREATE_MODEL = {"EnableNetworkIsolation": True, "VpcConfig": IN_VPC, "ModelName": "convlab-x", "ExecutionRoleArn": "x"}


@pytest.mark.parametrize("changed", [
    {"EnableNetworkIsolation": False}, {"VpcConfig": None}, {"VpcConfig": {**IN_VPC, "Subnets": ["subnet-0d4"]}},
])  # fmt: skip
def test_a_governed_policy_allows_no_request_without_the_settings(changed):
    """The right one is allowed: see above."""
    policy = caller_policy(settings(**GOVERNED), REGION)
    resource = f"arn:aws:sagemaker:{REGION}:{ACCOUNT}:model/convlab-x"
    right, wrong = (
        Need("sagemaker:CreateModel", resource, condition_keys(CREATE_MODEL | other)) for other in ({}, changed)
    )
    assert refused(policy, [right, wrong]) == [wrong]


@pytest.mark.parametrize(("key", "resource", "condition"), [
    (KEY, KEY, {}),
    (KEY.split("/")[1], KEY, {}),
    ("alias/models", KEY.split("/")[0] + "/*", {"ForAnyValue:StringEquals": {"kms:ResourceAliases": "alias/models"}}),
    (KEY.split(":key")[0] + ":alias/models", KEY.split("/")[0] + "/*",
     {"ForAnyValue:StringEquals": {"kms:ResourceAliases": "alias/models"}}),
])  # fmt: skip
def test_a_key_is_the_same_resource_however_it_is_named(key, resource, condition):
    assert governance.key_resource(settings(kms_key=key), REGION) == (resource, condition)


# ---------------------------------------------------------------------------------------------------------------------
# Account numbers, and the plan


def test_numbers_of_every_account_in_the_options_are_masked_inside_words_too():
    options = {"role": f"arn:aws:iam::{ACCOUNT}:role/x", "tags": [{"210987654321": "x"}], "seed": 3, "image": None}
    numbers = redaction.account_numbers(options)
    assert numbers == [ACCOUNT, "210987654321"]
    assert redaction.masked(f"my{ACCOUNT}bucket of a210987654321b", numbers) == f"my{'*' * 12}bucket of a{'*' * 12}b"


@pytest.mark.parametrize(("changes", "lines"), [
    ({}, ["controls        none; accounts with rules may ask for network_isolation, vpc or kms_key, and AWS Config"]),
    (
        {**GOVERNED, "mode": "train_and_deploy", "training": {"instance_type": "ml.g5.xlarge"}},
        ["isolation       containers reach no network; what the training installs is packed along",
         "network         of the VPC: subnet-0a1, subnet-0b2, sg-0c3", f"encryption      objects and disks, by {KEY}",
         "not the disks of the training job's instance, which its hardware encrypts", "traffic         encrypted"],
    ),
])  # fmt: skip
def test_the_plan_says_what_a_governed_account_is_given(changes, lines):
    printed = "\n".join(deploy_plan.resources("tiny", "digits", settings(**changes), REGION))
    assert all(line in printed for line in lines), printed


@needs_sdk
def test_the_plan_names_the_image_that_is_taken_without_aws_account():
    chosen = settings(endpoint={}, training={})
    assert deploy_plan.image_name(chosen, "inference", REGION) == "AWS' tensorflow-inference:2.20-cpu-py312"
    assert deploy_plan.image_name(chosen, "inference", "*") == "AWS' TensorFlow 2.20 inference image"
