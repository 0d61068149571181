"""Delete resources that an interrupted or failed deployment to AWS may have left: `make teardown`.

Reads results/<study>/deploy/<dataset>/state.json, which is written before anything is created and removed when a
listing shows that nothing is left. What goes wrong with one deployment keeps none of the others up. Exit status 3 and
the names where something would not go; 1 where one was not tried, as beside a running `make deploy`.

--all needs no state file, as after the machine that deployed is lost: it lists what the account still holds of convlab
in a region, and with --delete deletes it, except what a process is at work on whose state file lies under --results,
and what has not expired yet. Exit status 0 where nothing remains, else 3.
"""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))  # Python leaves it out with -P and PYTHONSAFEPATH
from convlab.common import environment

environment.start()

import argparse
import json
import logging
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from convlab.common import redaction
from convlab.common.cli import run
from convlab.common.files import write_json
from convlab.common.shutdown import ignore_signals
from convlab.errors import UserError
from convlab.serving.record import EVIDENCE_FILE
from convlab.study import layout
from convlab.study.load import load_deploy, read_yaml
from convlab.study.sagemaker import SageMaker

if TYPE_CHECKING:  # boto3, which is not needed if there is nothing to do
    from convlab.cloud.aws import Clients
    from convlab.cloud.state import State
    from convlab.cloud.teardown import Receipt

EXIT_RESOURCES_REMAIN = 3
"""Exit status if resources remain."""

log = logging.getLogger("teardown")


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--results", type=Path, default=layout.RESULTS, help="folder with the studies' results")
    parser.add_argument("--all", action="store_true", help="list what the account holds of convlab, by name and tag")
    parser.add_argument("--delete", action="store_true", help="with --all: delete what is listed")
    parser.add_argument("--unexpired", action="store_true", help="with --delete: also what has not expired yet")
    parser.add_argument("--regions", nargs="+", metavar="REGION", help="with --all: instead of the config's")
    parser.add_argument("--config", type=Path, help="with --all: config with region and bucket")
    arguments = parser.parse_args(argv)
    if arguments.all:
        sweep(arguments)
        return
    if arguments.delete or arguments.unexpired or arguments.regions:
        raise UserError("--delete, --unexpired and --regions go with --all: make teardown ALL=1 DELETE=1")
    recorded = sorted(layout.deployment_states(arguments.results))
    if not recorded:
        print(f"No deployment under {arguments.results}/ has left anything.")
        return

    left, problems, told = [], [], []
    for path in recorded:
        try:
            remaining, sentences = take_down(path)
        except UserError as error:
            problems.append(str(error))
            continue
        except Exception as error:  # a defect, or a full disk: the others are taken down all the same
            log.exception("%s", path)
            problems.append(f"{path}: {type(error).__name__}: {error}")
            continue
        left += remaining
        told += sentences
    try:
        print(*told, sep="\n", end="\n" if told else "", flush=True)
    finally:  # also if standard output is closed
        if left:
            for problem in problems:
                log.error("%s", problem)
            log.error("would not go: %s; their names stay in state.json, run it again", ", ".join(left))
            sys.exit(EXIT_RESOURCES_REMAIN)
    if problems:
        raise UserError("; ".join(problems))


def take_down(path: Path) -> tuple[list[str], list[str]]:
    """Delete the resources of a state file; returns the remaining ones, and lines to print.

    Raises UserError if nothing was tried: a deployment is still running, or the credentials are of another account.
    """
    from convlab.cloud import aws  # imports boto3, which is not needed if there is nothing to do
    from convlab.cloud import state as states
    from convlab.cloud.teardown import teardown

    with states.locked_if_possible(path):
        if not path.is_file():
            return [], [f"{path} is gone: the deployment has ended meanwhile."]
        state = states.load(path)
        clients = aws.connect(state.region, state.endpoint_url)
        account = aws.account_of(clients)
        if not redaction.has_fingerprint(account, state.name, state.account):
            raise UserError(f"the credentials are of another account than {path}; sign in to that one")
        redaction.KNOWN_ACCOUNTS[:] = [account]
        state.reveal(account)
        ignore_signals()
        receipt = teardown(clients, state)
        amend_evidence(path.with_name(EVIDENCE_FILE), state.name, receipt, account)
        told = [redaction.masked(f"kept: {kept}", [account]) for kept in receipt.kept]
        if receipt.remaining:
            return redaction.masked(receipt.remaining, [account]), told
        return [], [*told, f"{state.name}: nothing is left, by listing; {removed(path)}."]


def amend_evidence(path: Path, name: str, receipt: "Receipt", account: str) -> None:
    """Write what a later teardown left into the evidence of that deployment, which else goes on naming what is gone."""
    try:
        text = path.read_text(encoding="utf-8")
        if name not in text:  # there is another deployment's, of a process that was killed before it wrote its own
            return
        record = json.loads(text)
        before = record.get("teardown") or {}
        later = {"at": datetime.now(UTC).isoformat(timespec="seconds"), "steps": receipt.steps}
        details = {**before.get("about", {}), "later": later}
        record["teardown"] = {"remaining": receipt.remaining, "about": details}
        write_json(path, redaction.masked(record, [account]))
    except FileNotFoundError:
        return
    except (OSError, ValueError, AttributeError) as error:
        log.warning("%s still says what was left before: %s", path, error)


def removed(path: Path) -> str:
    """Remove a state file that names nothing any more; in words whether it went."""
    try:
        path.unlink(missing_ok=True)
    except OSError as error:
        return f"{path} could not be removed ({error.strerror}); delete it"
    return f"{path} is removed"


def sweep(arguments: argparse.Namespace) -> None:
    """List what the account holds of convlab in each region, and delete it where that is asked for."""
    settings = load_deploy(read_yaml(arguments.config)).sagemaker if arguments.config else None
    if not arguments.regions:
        empty = [sweep_region(None, settings, arguments)]
    else:
        empty = [sweep_or_say_why_not(region, settings, arguments) for region in arguments.regions]
    print("No other region was looked at.")
    if not all(empty):
        sys.exit(EXIT_RESOURCES_REMAIN)


def sweep_or_say_why_not(region: str, settings: SageMaker | None, arguments: argparse.Namespace) -> bool:
    """As :func:`sweep_region`; a region that cannot be looked at keeps none of the others from it."""
    try:
        return sweep_region(region, settings, arguments)
    except UserError as error:
        print(f"Region {region} could not be looked at: {error}", flush=True)
        return False


def sweep_region(region: str | None, settings: SageMaker | None, arguments: argparse.Namespace) -> bool:
    """One region of :func:`sweep`; whether nothing remains in it."""
    from convlab.cloud import aws, inventory

    if settings:
        clients, account = aws.sign_in(settings, region)
    else:
        clients = aws.connect(region)
        account = aws.account_of(clients)
    redaction.KNOWN_ACCOUNTS[:] = [account]
    bucket, prefix = (settings.bucket, settings.prefix) if settings else (None, None)
    listed = inventory.inventory(clients, bucket, prefix)
    at_work, idle = recorded_deployments(arguments.results)
    objects = f", objects below s3://{bucket}/{prefix}/" if settings else ""
    print(f"Region {clients.region} ({clients.where}), names that begin with convlab-{objects}:")
    if not settings:
        print("  objects were not looked for, since no config with deploy.sagemaker names their bucket")
    keep_objects = settings is not None and settings.keep_objects
    remaining = []
    for deployment in listed.deployments:
        now = datetime.now(UTC)
        reason = inventory.reason_to_keep(deployment, at_work, arguments.unexpired, now, keep_objects)
        outcome = reason or "would be deleted (DELETE=1)"
        if arguments.delete and not reason:
            outcome = "deleted"
            print(f"  deleting {deployment.name}", flush=True)
            ignore_signals()
            state = inventory.state_of(deployment, clients, None if keep_objects else bucket, prefix)
            try:
                left = delete(deployment.name, idle, clients, state)
            except UserError as error:
                left = [str(error)]
            if left:
                outcome = f"would not go: {', '.join(left)}"
        remaining += [] if outcome == "deleted" else [deployment]
        print(*inventory.lines(deployment, outcome), sep="\n", flush=True)
    for note in listed.kept + listed.unlisted:
        print(f"  {note}")
    print(inventory.totals(listed, remaining))
    return listed.complete and all(deployment.only_objects and keep_objects for deployment in remaining)


def recorded_deployments(results: Path) -> tuple[set[str], dict[str, Path]]:
    """Deployments of state files: names of those at which a process is at work, and the file of each other one."""
    from convlab.cloud import state as states

    at_work, idle = set(), {}
    for path in layout.deployment_states(results):
        try:
            name = states.load(path).name
        except UserError:
            continue  # `make teardown` tells what is wrong with it
        try:
            with states.locked_if_possible(path):
                idle[name] = path
        except UserError:
            at_work.add(name)
    return at_work, idle


def delete(name: str, idle: dict[str, Path], clients: "Clients", state: "State") -> list[str]:
    """Delete one listed deployment, by its state file where this machine has it; returns what remains."""
    from convlab.cloud.teardown import teardown

    if name in idle:
        remaining, sentences = take_down(idle[name])
        print(*(f"  {sentence}" for sentence in sentences), sep="\n")
        return remaining
    return teardown(clients, state).remaining


if __name__ == "__main__":
    redaction.mask_output()
    run(main)
