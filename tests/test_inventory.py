"""make teardown ALL=1: what an account holds of convlab, listed without a state file, and deleted on request."""

import re
from datetime import UTC, datetime

import pytest
import yaml
from pydantic import ValidationError

pytest.importorskip("moto", reason="needs moto (pip install --require-hashes -r requirements/dev.txt)")

import deploy
import teardown
from aws_double import ACCOUNT, BUCKET, REGION, Fault
from builders.deployments import ROLE, SETTINGS, arguments, state_file
from builders.project import TINY
from convlab.cloud import aws
from convlab.cloud import state as states
from convlab.cloud import teardown as taking_down
from convlab.cloud.inventory import Held, lines
from convlab.cloud.policy import caller_policy, inventory_policy
from convlab.errors import UserError
from convlab.study.sagemaker import SageMaker

pytest_plugins = ["builders.aws_account"]

GUARDED = {"scheduler_role_arn": f"arn:aws:iam::{ACCOUNT}:role/DeletesEndpoints"}


@pytest.fixture
def config(tmp_path):
    path = tmp_path / "config.yaml"
    path.write_text(yaml.safe_dump({**TINY, "deploy": {"target": "sagemaker", "sagemaker": SETTINGS}}))
    return path


@pytest.fixture
def left_behind(known, results, monkeypatch):
    """What a deployment leaves whose machine is lost: all its resources, and no state file."""
    monkeypatch.setattr(taking_down, "DELETION_SECONDS", 0.1)
    known.faults = [Fault("DeleteEndpoint", "AccessDeniedException", times=99)]
    with pytest.raises(SystemExit):
        deploy.main(arguments(results, **GUARDED))
    known.faults, known.calls = [], []
    (name,) = known.sagemaker.endpoints
    state_file(results).unlink()
    monkeypatch.setattr(taking_down, "DELETION_SECONDS", 5.0)
    return name


def expire(known, name: str) -> None:
    """The deployment's time is over."""
    for kind in (known.sagemaker.endpoints, known.sagemaker.endpoint_configs, known.sagemaker._models):
        for tag in kind[name].tags:
            tag["Value"] = "2026-01-01T00:00:00+00:00" if tag["Key"] == "expires" else tag["Value"]


def swept(capsys, *options) -> tuple[int, str]:
    """Exit status and output of the command."""
    try:
        teardown.main(["--all", *map(str, options)])
        status = 0
    except SystemExit as ended:
        status = ended.code
    return status, capsys.readouterr().out


def test_an_account_that_holds_nothing_says_so_and_where_it_looked(known, tmp_path, capsys):
    status, output = swept(capsys, "--results", tmp_path)
    assert status == 0
    assert (
        "Region eu-west-1 (a double of AWS on loopback, not AWS)" in output
        and "No other region was looked at." in output
    )
    assert "holds nothing of convlab there, by listing" in output and "objects were not looked for" in output
    assert known.calls[0] == "GetCallerIdentity"


def test_what_a_lost_machine_left_is_listed_and_nothing_is_deleted(known, left_behind, tmp_path, config, capsys):
    before = known.left()
    status, output = swept(capsys, "--config", config, "--results", tmp_path / "elsewhere")
    assert status == 3 and known.left() == before and len(before) == 8
    assert left_behind in output and "study my_study, created 20" in output
    assert re.search(r"endpoint \(InService\), endpoint config, model, 4 schedules, 1 object \(\d\.\d MB\)", output)
    assert (
        "it has not expired" in output
        and "1 endpoint, 1 endpoint config, 1 model, 4 schedules, 1 object); 1 left" in output
    )
    assert not any(call.startswith(("Delete", "Stop")) for call in known.calls) and ACCOUNT not in output


def test_what_has_expired_is_deleted_where_that_is_asked_for(known, left_behind, tmp_path, config, capsys):
    expire(known, left_behind)
    status, output = swept(capsys, "--config", config, "--results", tmp_path / "elsewhere")
    assert status == 3 and "would be deleted (DELETE=1)" in output
    status, output = swept(capsys, "--config", config, "--results", tmp_path / "elsewhere", "--delete")
    assert status == 0 and known.left() == [] and "deleted" in output and "0 left" in output


def test_without_a_config_the_bucket_is_unknown_and_its_objects_stay(known, left_behind, tmp_path, capsys):
    expire(known, left_behind)
    status, output = swept(capsys, "--results", tmp_path / "elsewhere", "--delete")
    assert status == 0 and known.left() == known.keys("") and len(known.left()) == 1
    assert "objects were not looked for" in output


@pytest.mark.parametrize("unexpired", [False, True])
def test_what_has_not_expired_goes_only_where_that_is_asked_for_too(
    known, left_behind, tmp_path, config, capsys, unexpired
):
    options = ["--unexpired"] if unexpired else []
    status, _ = swept(capsys, "--config", config, "--results", tmp_path / "elsewhere", "--delete", *options)
    assert (status, known.left() == []) == ((0, True) if unexpired else (3, False))


def test_without_the_permission_to_read_tags_nothing_counts_as_expired(known, left_behind, tmp_path, config, capsys):
    expire(known, left_behind)
    known.faults = [Fault("ListTags", "AccessDeniedException", times=99)]
    status, output = swept(capsys, "--config", config, "--results", tmp_path / "elsewhere", "--delete")
    assert status == 3 and "when it expires cannot be read" in output and left_behind in known.sagemaker.endpoints
    assert f"tags of {left_behind} could not be listed: ListTags: AccessDeniedException" in output


@pytest.mark.parametrize(("step", "status"), [
    ("ListEndpoints", 3), ("ListTransformJobs", 3), ("ListObjectsV2", 3), ("ListSchedules", 0),
])  # fmt: skip
@pytest.mark.parametrize("body", [None, b"{}"], ids=["denied", "no answer of AWS"])
def test_a_listing_that_fails_proves_nothing_of_what_costs(known, tmp_path, config, capsys, step, status, body):
    known.faults = [Fault(step, "AccessDeniedException", times=99, body=body, status=403 if body is None else 200)]
    ended, output = swept(capsys, "--config", config, "--results", tmp_path)
    assert ended == status and "could not be listed: " in output
    assert ("holds nothing of convlab" in output) == (status == 0)


def test_a_listing_that_fails_hides_nothing_of_the_others(known, left_behind, tmp_path, config, capsys):
    known.faults = [Fault("ListEndpoints", "AccessDeniedException", times=99)]
    _, output = swept(capsys, "--config", config, "--results", tmp_path / "elsewhere")
    assert "endpoints could not be listed" in output and "endpoint config, model, 4 schedules, 1 object" in output


def test_a_region_that_cannot_be_looked_at_keeps_no_other_from_it(known, clients, tmp_path, capsys, monkeypatch):
    def connect(region, endpoint_url=None):
        if region != REGION:
            raise UserError(f"{region} is not known")
        return clients

    monkeypatch.setattr(aws, "connect", connect)
    status, output = swept(capsys, "--results", tmp_path, "--regions", "eu-wst-1", REGION)
    assert status == 3 and "Region eu-wst-1 could not be looked at: eu-wst-1 is not known" in output
    assert f"Region {REGION} (a double of AWS" in output


def test_a_deployment_that_cannot_be_taken_down_keeps_no_other_up(
    known, clients, left_behind, tmp_path, config, capsys
):
    expire(known, left_behind)
    other = tmp_path / "elsewhere/other/deploy/toys/state.json"
    other.parent.mkdir(parents=True)
    name = "convlab-a-study-20261126-201010-abc123"  # before the other one in the alphabet
    fields = {"region": REGION, "bucket": BUCKET, "prefix": f"convlab/{name}/", "keep_objects": False, "created": ""}
    states.State(name=name, account="of another account", endpoint_url=None, **fields).save(other)
    container = {"Image": "i", "ModelDataUrl": f"s3://{BUCKET}/x"}
    clients.sagemaker.create_model(ModelName=name, ExecutionRoleArn=ROLE, PrimaryContainer=container)
    options = ["--config", config, "--results", tmp_path / "elsewhere", "--delete", "--unexpired"]
    status, output = swept(capsys, *options)
    assert status == 3 and "would not go: the credentials are of another account than" in output
    assert known.left() == [name] and "1 left." in output


@pytest.mark.parametrize("error", [OSError(30, "Read-only file system"), KeyError("x")], ids=lambda e: type(e).__name__)
def test_an_error_of_any_type_with_one_state_file_keeps_no_other_deployment_up(known, results, monkeypatch, error):
    monkeypatch.setattr(taking_down, "DELETION_SECONDS", 0.1)
    known.faults = [Fault("DeleteEndpoint", "AccessDeniedException", times=99)]
    with pytest.raises(SystemExit):
        deploy.main(arguments(results))
    known.faults = []
    broken = results.parent / "a_study/deploy/toys/state.json"
    broken.parent.mkdir(parents=True)
    broken.write_bytes(state_file(results).read_bytes())
    load = states.load

    def fail(path):
        if path == broken:
            raise error
        return load(path)

    monkeypatch.setattr(states, "load", fail)
    with pytest.raises(UserError, match=f"{broken}: {type(error).__name__}"):
        teardown.main(["--results", str(results.parent)])
    assert known.left() == [] and not state_file(results).exists()


def test_a_state_file_that_cannot_be_read_is_told_in_a_sentence(tmp_path):
    with pytest.raises(UserError, match="cannot be read: Is a directory"):
        states.load(tmp_path)


def test_names_that_convlab_does_not_give_are_shown_and_left_alone(known, clients, tmp_path, capsys):
    container = {"Image": "i", "ModelDataUrl": f"s3://{BUCKET}/x"}
    for name in ("convlab-of-somebody", "theirs"):
        clients.sagemaker.create_model(ModelName=name, ExecutionRoleArn=ROLE, PrimaryContainer=container)
    status, output = swept(capsys, "--results", tmp_path, "--delete", "--unexpired")
    assert status == 3 and known.left() == ["convlab-of-somebody", "theirs"]
    assert "convlab-of-somebody" in output and "delete it by hand" in output and "theirs" not in output


def test_a_deployment_at_which_a_process_is_at_work_is_left_alone(known, results, tmp_path, config, capsys):
    ended = []

    def look(operation):
        if operation == "InvokeEndpoint" and not ended:
            ended.append(None)
            ended.append(swept(capsys, "--config", config, "--results", results.parent, "--delete", "--unexpired"))

    known.before = look
    deploy.main(arguments(results))
    status, output = ended[1]
    assert status == 3 and "a process of this machine is at work on it" in output
    assert known.calls.index("DeleteEndpoint") > known.calls.index("ListEndpoints"), "the deployment's own teardown"
    assert known.left() == []


def test_what_has_a_state_file_here_is_taken_down_by_it(known, results, monkeypatch, capsys):
    monkeypatch.setattr(taking_down, "DELETION_SECONDS", 0.1)
    known.faults = [Fault("DeleteEndpoint", "AccessDeniedException", times=99)]
    with pytest.raises(SystemExit):
        deploy.main(arguments(results))
    known.faults = []
    monkeypatch.setattr(taking_down, "DELETION_SECONDS", 5.0)
    status, _ = swept(capsys, "--results", results.parent, "--delete", "--unexpired")
    assert status == 0 and known.left() == [], "its bucket stands in the file"
    assert not state_file(results).exists()


def test_a_config_whose_data_are_lost_with_the_machine_names_the_bucket_all_the_same(
    known, left_behind, tmp_path, capsys
):
    path = tmp_path / "config.yaml"
    lost = {"photos": {"kind": "image_folder", "path": "/nonexistent/photos", "image_size": 8}}
    deploying = {"target": "sagemaker", "sagemaker": SETTINGS}
    path.write_text(yaml.safe_dump({**TINY, "datasets": lost, "deploy": deploying}))
    status, output = swept(capsys, "--config", path, "--results", tmp_path / "elsewhere", "--delete", "--unexpired")
    assert status == 0 and known.left() == [] and f"objects below s3://{BUCKET}/convlab/" in output


def test_a_config_that_hides_its_account_or_is_wrong_is_told_in_a_sentence(known, tmp_path):
    path = tmp_path / "config.yaml"
    for changes, sentence in (
        ({"role_arn": ROLE.replace(ACCOUNT, "*" * 12)}, "role_arn has its account number hidden"),
        ({"bucket": "s3://x"}, r"deploy\.sagemaker\.bucket 's3://x' is no bucket's name"),
    ):
        path.write_text(yaml.safe_dump({"deploy": {"target": "sagemaker", "sagemaker": SETTINGS | changes}}))
        with pytest.raises(UserError, match=sentence):
            teardown.main(["--all", "--config", str(path)])
    assert known.calls == []


def test_logs_of_endpoints_are_listed_since_they_stay(known, results, tmp_path, capsys):
    deploy.main(arguments(results))
    status, output = swept(capsys, "--results", tmp_path)
    assert status == 0 and "nothing else of convlab there" in output
    assert "logs, which stay in CloudWatch: 1 group /aws/sagemaker/Endpoints/convlab-*" in output
    known.faults = [Fault("DescribeLogGroups", "AccessDeniedException", times=9)]
    status, output = swept(capsys, "--results", tmp_path)
    assert status == 0 and "logs could not be listed: DescribeLogGroups: AccessDeniedException" in output


def test_another_account_than_the_configs_is_refused_before_anything_is_listed(known, tmp_path, capsys):
    path = tmp_path / "config.yaml"
    settings = SETTINGS | {"role_arn": ROLE.replace(ACCOUNT, "2" * 12)}
    path.write_text(yaml.safe_dump({**TINY, "deploy": {"target": "sagemaker", "sagemaker": settings}}))
    with pytest.raises(UserError, match="of another account than the credentials"):
        teardown.main(["--all", "--config", str(path)])
    assert known.calls == ["GetCallerIdentity"]


def test_options_of_all_need_it(tmp_path):
    with pytest.raises(UserError, match=r"--delete, .* go with --all: make teardown ALL=1 DELETE=1$"):
        teardown.main(["--results", str(tmp_path), "--delete"])


@pytest.mark.parametrize(("resource", "deployment"), [
    ("convlab-my-study-20261126-201010-abc123", "convlab-my-study-20261126-201010-abc123"),
    ("convlab-my-study-20261126-201010-abc123-20261126201012", "convlab-my-study-20261126-201010-abc123"),
    ("convlab-my-study-20261126-201010-abc123-endpoint-again", "convlab-my-study-20261126-201010-abc123"),
    ("convlab-my-study-20261126-201010-abc1234", None), ("convlab-theirs", None), ("my-20261126-201010-abc123", None),
])  # fmt: skip
def test_a_resources_name_tells_its_deployment(resource, deployment):
    assert states.deployment_of(resource) == deployment
    assert states.deployment_of(states.new_name("Ünusual study!")) is not None


def test_times_are_those_of_name_and_tag():
    held = Held("convlab-my-study-20261126-201010-abc123", tags={"expires": "2026-11-26T20:55:00+00:00"})
    assert f"{held.created:%Y-%m-%d %H:%M} {held.expires:%H:%M}" == "2026-11-26 20:10 20:55"
    assert Held("convlab-theirs", given_by_convlab=False, tags={"expires": "soon"}).expires is None
    odd = Held("convlab-x-99999999-999999-abc123", tags={"expires": "2026-11-26"})
    assert odd.created is None and odd.expires == datetime(2026, 11, 26, tzinfo=UTC)
    assert "created unknown, expires 2026-11-26 00:00 UTC" in lines(odd, "kept")[1]


def test_a_users_tags_do_not_set_when_a_deployment_expires():
    with pytest.raises(ValidationError, match="has the key expires, which each deployment gives its own time"):
        SageMaker.model_validate(SETTINGS | {"tags": {"expires": "2030-01-01"}})


def test_the_policies_allow_what_listing_and_deleting_ask_for(known, left_behind, tmp_path, config, capsys):
    expire(known, left_behind)
    swept(capsys, "--config", config, "--results", tmp_path / "elsewhere", "--delete")
    settings = SageMaker.model_validate(SETTINGS | GUARDED)
    policies = [caller_policy(settings, REGION), inventory_policy(settings, REGION)]
    allowed = {action.split(":")[1] for policy in policies for each in policy["Statement"] for action in each["Action"]}
    others = {"ListObjectsV2": "ListBucket", "DeleteObjects": "DeleteObject"}
    asked = {others.get(call, call) for call in known.calls} - {"GetCallerIdentity"}
    assert asked <= allowed and "ListTags" in asked
