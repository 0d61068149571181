"""Write the config's JSON schema, for editors that complete and check YAML."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))  # Python leaves it out with -P and PYTHONSAFEPATH
from convlab.common import environment

environment.start()

import argparse

from convlab.common.cli import run
from convlab.common.files import write_json
from convlab.study.load import schema

SCHEMA = Path(__file__).resolve().parent.parent / "workflow" / "schemas" / "config.schema.json"


def main() -> None:
    argparse.ArgumentParser(description=__doc__).parse_args()
    write_json(SCHEMA, schema())


if __name__ == "__main__":
    run(main)
