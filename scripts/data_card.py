"""Write Croissant 1.1 metadata of a study's prepared datasets, for `make data-card`."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))  # Python leaves it out with -P and PYTHONSAFEPATH
from convlab.common import environment

environment.start()

import argparse

from convlab.common.cli import run
from convlab.common.files import write_json
from convlab.common.text import listing
from convlab.datasets.data_card import left_out
from convlab.datasets.specs import DatasetSpec
from convlab.errors import UserError
from convlab.results.data_cards import prepared_card
from convlab.study import layout
from convlab.study.load import load_study, read_yaml
from convlab.study.make_commands import make_command


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("config", type=Path, help="the study's config file")
    parser.add_argument("dataset", nargs="?", help="which dataset; all of the study without it")
    arguments = parser.parse_args(argv)
    study = load_study(read_yaml(arguments.config))
    if arguments.dataset not in (None, *study.datasets):
        raise UserError(
            f"{arguments.dataset!r} is no dataset of {study.study}; name {listing(study.datasets, 'or')}: "
            f"{make_command('data-card', arguments.config, DATASET=next(iter(study.datasets)))}"
        )
    for name in study.datasets if arguments.dataset is None else (arguments.dataset,):
        folder = layout.prepared(layout.study_folder(study.study), name)
        write_card(folder, name, study.datasets[name])


def write_card(folder: Path, name: str, spec: DatasetSpec) -> None:
    """Write ``croissant.json`` beside a dataset's arrays, and print where it is and what it lacks."""
    card = prepared_card(folder, spec)
    write_json(folder / layout.DATA_CARD, card)
    print(f"{name}: {folder / layout.DATA_CARD}")
    lacking = left_out(card)
    if lacking:
        print(f"  not known here, so left out: {listing(lacking)}; add them before you publish the card")


if __name__ == "__main__":
    run(main)
