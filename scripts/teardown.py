"""Delete resources that an interrupted or failed deployment to AWS may have left: `make teardown`.

Reads results/<study>/deploy/<dataset>/state.json, which is written before anything is created and removed when a
listing shows that nothing is left. What goes wrong with one deployment keeps none of the others up. Exit status 3 and
the names where something would not go; 1 where one was not tried, as beside a running `make deploy`.
"""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))  # Python leaves it out with -P and PYTHONSAFEPATH
from convlab.common import environment

environment.start()

import argparse
import logging

from convlab.common import redaction
from convlab.common.cli import run
from convlab.common.shutdown import ignore_signals
from convlab.errors import UserError
from convlab.study import layout

EXIT_RESOURCES_REMAIN = 3
"""Exit status if resources remain."""

log = logging.getLogger("teardown")


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--results", type=Path, default=layout.RESULTS, help="folder with the studies' results")
    arguments = parser.parse_args(argv)
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

    with states.lock(path):
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
        told = [redaction.masked(f"kept: {kept}", [account]) for kept in receipt.kept]
        if receipt.remaining:
            return redaction.masked(receipt.remaining, [account]), told
        path.unlink(missing_ok=True)
        return [], [*told, f"{state.name}: nothing is left, by listing; {path} is removed."]


if __name__ == "__main__":
    redaction.mask_output()
    run(main)
