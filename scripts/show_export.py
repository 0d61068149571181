"""Print the folder of a study's exported model, for `make serve`."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))  # Python leaves it out with -P and PYTHONSAFEPATH
from convlab.common import environment

environment.start()

import argparse

from convlab.common.cli import run
from convlab.common.text import listing
from convlab.errors import UserError
from convlab.study import layout
from convlab.study.load import load_study, read_yaml
from convlab.study.make_commands import make_command


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("config", type=Path, help="the study's config file")
    parser.add_argument("dataset", nargs="?", help="which dataset's model; needed where the study exports several")
    arguments = parser.parse_args(argv)
    study = load_study(read_yaml(arguments.config))
    dataset = arguments.dataset or (study.exported[0] if len(study.exported) == 1 else None)
    if dataset not in study.exported:
        problem = f"{dataset!r} is not exported" if dataset else f"{study.study} exports {len(study.exported)} models"
        command = make_command("serve", arguments.config, DATASET=study.exported[0])
        raise UserError(f"{problem}; name one of {listing(study.exported)}: {command}")
    print(layout.exported(layout.study_folder(study.study), dataset))


if __name__ == "__main__":
    run(main)
