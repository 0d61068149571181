"""deploy.sagemaker register: the model registry and the model card, against the double of AWS."""

import json
import re
import signal

import pytest
import yaml

pytest.importorskip("moto", reason="needs moto (pip install --require-hashes -r requirements/dev.txt)")

from pydantic import ValidationError

import deploy
import deploy_plan
import teardown as teardown_script
from aws_double import ACCOUNT, BUCKET, REGION, Fault
from builders.deployments import SETTINGS, arguments, evidence, interrupted, state_file
from builders.permissions import needs, refused
from builders.project import TINY
from convlab.cloud import registration, registry
from convlab.cloud.policy import caller_policy
from convlab.common.files import write_json
from convlab.errors import UserError
from convlab.study.sagemaker import SageMaker

pytest_plugins = ["builders.aws_account"]

GROUP = "convlab-my-study-toys"
STEPS = ("DescribeModelPackageGroup", "CreateModelPackageGroup", "CreateModelPackage", "CreateModelCard")


def test_a_tested_model_is_registered_and_waits_for_approval_with_a_card(known, results):
    deploy.main(arguments(results, register=True))
    record = evidence(results)
    made = record["registration"]
    assert record["status"] == "succeeded" and made["group"] == GROUP and made["package"].endswith(f"/{GROUP}/1")
    (package,) = known.sagemaker.model_packages.values()
    assert package.model_approval_status == made["approval"] == "PendingManualApproval"
    (container,) = package.inference_specification["Containers"]
    address = container["ModelDataUrl"].removeprefix(f"s3://{BUCKET}/")
    served = record["endpoint"]["model"]
    assert len(known.s3.get_object(BUCKET, address).value) == served["bytes"]
    statistics = package.model_metrics["ModelQuality"]["Statistics"]["S3Uri"].removeprefix(f"s3://{BUCKET}/")
    quality = json.loads(known.s3.get_object(BUCKET, statistics).value)
    assert quality["multiclass_classification_metrics"]["accuracy"]["value"] == record["accuracy"]["value"]
    ((card,),) = known.sagemaker.model_cards.values()
    content = json.loads(card.content)
    assert card.model_card_status == "Draft" and card.model_card_name == made["card"]
    assert content["intended_uses"]["risk_rating"] == "Unknown", "people rate it"
    (detail,) = content["evaluation_details"]
    values = {entry["name"]: entry["value"] for entry in detail["metric_groups"][0]["metric_data"]}
    assert values["accuracy of the deployed model"] == record["accuracy"]["value"] and values["test images sent"] == 6
    assert sorted(known.left()) == sorted(uri.removeprefix(f"s3://{BUCKET}/") for uri in made["kept_objects"])
    assert not state_file(results).exists() and record["teardown"]["remaining"] == []


def test_the_next_deployment_is_the_next_version(known, results):
    for _ in range(2):
        deploy.main(arguments(results, register=True))
    assert evidence(results)["registration"]["package"].endswith(f"/{GROUP}/2")
    assert known.calls.count("CreateModelPackageGroup") == 1 and len(known.sagemaker.model_cards) == 2


def test_what_costs_is_gone_before_anything_is_registered(known, results):
    left = []
    known.before = lambda operation: left.extend(known.left()) if operation == STEPS[0] else None
    deploy.main(arguments(results, register=True))
    assert [entry for entry in left if "/registry/" not in entry] == []


def test_a_model_that_fails_its_test_is_not_registered(known, results):
    write_json(results / "export/toys/parity.json", {"tolerance": -1})
    with pytest.raises(UserError, match="differ from the evaluated"):
        deploy.main(arguments(results, register=True))
    assert known.registered() == [] and known.left() == [] and evidence(results)["registration"] is None


@pytest.mark.parametrize("step", STEPS)
@pytest.mark.parametrize("code", ["AccessDeniedException", "InternalFailure"])
@pytest.mark.parametrize("after", [False, True])
def test_a_registration_that_fails_half_way_is_undone(known, results, step, code, after):
    known.faults = [Fault(step, code, times=99, after=after, status=500 if code == "InternalFailure" else 400)]
    with pytest.raises(UserError, match=code):
        deploy.main(arguments(results, register=True))
    record = evidence(results)
    assert record["status"] == "failed" and record["accuracy"] and record["registration"] is None
    assert known.registered() == [] and known.left() == [] and not state_file(results).exists()


def test_a_group_of_others_is_not_deleted_with_a_failed_registration(known, clients, results):
    clients.sagemaker.create_model_package_group(ModelPackageGroupName=GROUP)
    known.faults = [Fault("CreateModelCard", "AccessDeniedException", times=99)]
    with pytest.raises(UserError):
        deploy.main(arguments(results, register=True))
    assert known.registered() == [GROUP]


def test_a_new_group_stays_if_another_deployment_has_registered_in_it(known, clients, results):
    def register_another(operation):
        if operation == "CreateModelCard":
            known.before = lambda operation: None
            clients.sagemaker.create_model_package(ModelPackageGroupName=GROUP, ModelPackageDescription="another's")

    known.before = register_another
    known.faults = [Fault("CreateModelCard", "AccessDeniedException", times=99)]
    with pytest.raises(UserError, match="CreateModelCard"):
        deploy.main(arguments(results, register=True))
    (other,) = known.sagemaker.model_packages.values()
    assert other.model_package_description == "another's" and list(known.sagemaker.model_package_groups) == [GROUP]
    assert known.left() == [] and not state_file(results).exists()


def test_what_the_account_holds_names_what_was_registered_and_does_not_delete_it(known, results, capsys):
    deploy.main(arguments(results, register=True))
    before = [*known.registered(), *known.left()]
    teardown_script.main(["--all", "--delete", "--unexpired", "--results", str(results.parent), "--regions", REGION])
    output = capsys.readouterr().out
    card = evidence(results)["registration"]["card"]
    assert f"registered, and left to people: model package group {GROUP}, model card {card}" in output
    assert "The account holds nothing else of convlab there" in output
    assert [*known.registered(), *known.left()] == before


def test_objects_of_registered_models_are_listed_and_left(known, results, tmp_path, capsys):
    deploy.main(arguments(results, register=True))
    path = tmp_path / "config.yaml"
    path.write_text(yaml.safe_dump({"deploy": {"target": "sagemaker", "sagemaker": SETTINGS}}))
    before = known.left()
    options = ["--all", "--config", str(path), "--delete", "--unexpired", "--results", str(tmp_path)]
    teardown_script.main(options)
    output = capsys.readouterr().out
    assert re.search(rf"left to people: 2 objects \(\d\.\d MB\) below s3://{BUCKET}/convlab/registry/", output)
    assert known.left() == before and len(before) == 2


def test_what_cannot_be_undone_is_named_and_goes_later(known, results):
    known.faults = [
        Fault("CreateModelCard", "AccessDeniedException", times=99),
        Fault("DeleteModelPackage", "AccessDeniedException", times=99),
    ]
    with pytest.raises(SystemExit) as caught:
        deploy.main(arguments(results, register=True))
    assert caught.value.code == 3 and state_file(results).exists()
    assert any(GROUP in entry for entry in evidence(results)["teardown"]["remaining"])
    assert ACCOUNT not in state_file(results).read_text()
    known.faults = []
    teardown_script.main(["--results", str(results.parent)])
    assert known.registered() == [] and known.left() == [] and not state_file(results).exists()


@pytest.mark.parametrize("step", ["DeleteModelCard", "DeleteModelPackageGroup"])
def test_a_card_or_group_that_would_not_go_is_named_and_goes_later(known, results, step):
    known.faults = [
        Fault("CreateModelCard", "InternalFailure", status=500, times=99, after=True),
        Fault(step, "AccessDeniedException", times=99),
    ]
    with pytest.raises(SystemExit) as caught:
        deploy.main(arguments(results, register=True))
    assert caught.value.code == 3 and known.registered() and state_file(results).exists()
    assert f"or its group {GROUP}" in str(evidence(results)["teardown"]["remaining"])
    known.faults = []
    teardown_script.main(["--results", str(results.parent)])
    assert known.registered() == [] and known.left() == [] and not state_file(results).exists()


@pytest.mark.slow
@pytest.mark.parametrize("step", STEPS[1:])
def test_after_a_kill_teardown_deletes_the_unfinished_registration(double, results, processes, step):
    ended = interrupted(double, results, processes, signal.SIGKILL, step, "after", register=True)
    assert ended == -signal.SIGKILL and state_file(results).exists()
    double.after = lambda operation: None
    teardown_script.main(["--results", str(results.parent)])
    assert double.registered() == [] and double.left() == [] and not state_file(results).exists()


def test_files_that_changed_since_the_test_are_not_registered(known, results, monkeypatch):
    monkeypatch.setattr(registration, "pack", lambda folder, archive, runtime: archive.write_bytes(b"other"))
    with pytest.raises(UserError, match="have changed since they were tested"):
        deploy.main(arguments(results, register=True))
    assert known.registered() == [] and known.left() == []


def test_the_policy_allows_registering_and_its_undoing(known, results):
    deploy.main(arguments(results, register=True))
    known.faults = [Fault("CreateModelCard", "InternalFailure", status=500, times=99, after=True)]
    with pytest.raises(UserError):
        deploy.main(arguments(results, register=True))
    policy = caller_policy(SageMaker.model_validate(SETTINGS | {"register": True}), REGION)
    assert refused(policy, list(needs(known.requests))) == []
    bare = caller_policy(SageMaker.model_validate(SETTINGS), REGION)
    assert "ModelPackage" not in json.dumps(bare)


def test_the_plan_says_what_stays(tmp_path, capsys):
    path = tmp_path / "config.yaml"
    deploying = {"target": "sagemaker", "sagemaker": {**SETTINGS, "register": True}}
    path.write_text(yaml.safe_dump({**TINY, "deploy": deploying}))
    deploy_plan.main([str(path)])
    output = capsys.readouterr().out
    assert "a version of convlab-tiny-digits, PendingManualApproval, and a model card" in output
    assert "sagemaker:CreateModelPackage" in output


def test_a_mode_that_tests_nothing_registers_nothing():
    with pytest.raises(ValidationError, match="register: true and mode: train, which tests no model"):
        SageMaker.model_validate(SETTINGS | {"mode": "train", "register": True})


def test_a_long_name_of_a_study_makes_a_name_that_aws_takes():
    name = registry.group_name("A study with a Very_Long name " * 4, "data.set")
    assert len(name) <= 63 and name.startswith("convlab-a-study") and not name.endswith("-")
    assert name != registry.group_name("A study with a Very_Long name " * 4, "other"), "a group for each dataset"
