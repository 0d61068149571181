"""Take down what an interrupted or failed deployment to AWS may have left: `make teardown`.

Reads results/<study>/deploy/<dataset>/state.json, which is written before anything is created and removed when a
listing shows that nothing is left. Exit status 3 and the names where something would not go.
"""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))  # Python leaves it out with -P and PYTHONSAFEPATH
from convlab import environment

environment.start()

import argparse
import logging

from convlab.cli import run
from convlab.errors import UserError
from convlab.signals import ignore_signals

LEFT = 3
"""Exit status where something is left."""

log = logging.getLogger("teardown")


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--results", type=Path, default=Path("results"), help="folder with the studies' results")
    arguments = parser.parse_args(argv)
    found = sorted(arguments.results.glob("*/deploy/*/state.json"))
    if not found:
        print(f"No deployment under {arguments.results}/ has left anything.")
        return

    from convlab.cloud import aws  # boto3, which is not needed to say that there is nothing to do
    from convlab.cloud import state as states
    from convlab.cloud.teardown import teardown

    left = []
    for path in found:
        state = states.load(path)
        clients = aws.connect(state.region, state.endpoint_url)
        if aws.fingerprint(aws.account_of(clients), state.name) != state.account:
            raise UserError(f"the credentials are of another account than {path}; sign in to that one")
        ignore_signals()
        receipt = teardown(clients, state)
        for kept in receipt.kept:
            print(f"kept: {kept}")
        if receipt.remaining:
            left += receipt.remaining
        else:
            path.unlink()
            print(f"{state.name}: nothing is left, by listing; {path} is removed.")
    if left:
        log.error("would not go: %s; their names stay in state.json, run it again", ", ".join(left))
        sys.exit(LEFT)


if __name__ == "__main__":
    run(main)
