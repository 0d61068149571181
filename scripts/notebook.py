"""Write a finished study as one Jupyter notebook that needs Keras, NumPy and Matplotlib, and nothing of convlab.

Its runs give the same predictions as the study's, byte for byte, which its last cell checks. `make notebook` runs it.
"""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))  # Python leaves it out with -P and PYTHONSAFEPATH
from convlab.common import environment

environment.start()

import argparse
import shutil

from convlab.common import i18n
from convlab.common.cli import run
from convlab.common.files import atomic, missing, write_text
from convlab.common.text import listing
from convlab.errors import UserError
from convlab.notebook.recipes import recipes
from convlab.page.loading import load_report_data
from convlab.results.descriptions import with_described_costs
from convlab.results.loading import load_runs
from convlab.runtime import backend
from convlab.study import layout
from convlab.study.load import load_study, read_yaml
from convlab.study.make_commands import make_command
from convlab.study.schema import Study
from convlab.study.seeds import read_schedule


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("config", type=Path, nargs="?", default=Path("config.yaml"), help="the study's config file")
    parser.add_argument("dataset", nargs="?", help="which dataset; a notebook for each without it")
    parser.add_argument("--results", type=Path, default=layout.RESULTS, help="folder with the results of studies")
    arguments = parser.parse_args(argv)
    study = load_study(read_yaml(arguments.config), for_readers=True)
    if arguments.dataset not in (None, *study.datasets):
        raise UserError(
            f"{arguments.dataset!r} is no dataset of {study.study}; name {listing(study.datasets, 'or')}: "
            f"{make_command('notebook', arguments.config, DATASET=next(iter(study.datasets)))}"
        )
    folder = layout.study_folder(study.study, arguments.results)
    if not (layout.reported(folder) / "index.html").is_file():
        raise UserError(
            f"{study.study} has no report yet, and its notebook quotes it; run the study first: "
            f"{make_command('run', arguments.config)}"
        )
    study = study.with_schedule(read_schedule(layout.registered(folder), study.seeds))
    for dataset in study.datasets if arguments.dataset is None else (arguments.dataset,):
        write_notebook(with_described_costs(study, folder), dataset, folder)


def write_notebook(study: Study, dataset: str, folder: Path) -> None:
    """Write a study's notebook on one dataset, and its data beside it; print where it is.

    Raises UserError where the results are of another config, and for what cannot be written into a notebook.
    """
    recipes(list(study.plan.variants.values()), study.training)  # which refuses what no notebook can train, such as JAX
    backend.configure("tensorflow", threads=1)  # before these import Keras
    from convlab.notebook.view import render
    from convlab.runtime.keras_runtime import keras

    load_runs(study, folder)  # which refuses runs that are not the config's
    with i18n.in_language(study.report.language):
        cells = render(study, dataset, load_report_data(study, folder), folder, keras)
    output = layout.ejected(folder, dataset)
    data = layout.prepared(folder, dataset) / "data.npz"
    if not data.is_file():
        raise missing(data)
    with atomic(output / "data.npz") as temporary:
        shutil.copyfile(data, temporary)
    write_text(output / f"{study.study}.ipynb", cells.as_json())
    print(f"{dataset}: {output / f'{study.study}.ipynb'}")


if __name__ == "__main__":
    run(main)
