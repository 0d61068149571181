"""Measure a probe that needs no training on every run of one variant; writes one CSV file."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))  # Python leaves it out with -P and PYTHONSAFEPATH
from convlab.common import environment

environment.start()

import argparse
import csv
import json
import logging
import math
from collections.abc import Iterable, Mapping, Sequence
from functools import partial
from io import StringIO

from convlab.common import registry
from convlab.common.cli import run
from convlab.common.files import read_json, write_arrays, write_text
from convlab.common.outputs import job_results
from convlab.datasets import prepared as data
from convlab.models.user_code import UserCode
from convlab.runtime import backend
from convlab.study import layout

log = logging.getLogger("probe")


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--probe", required=True, help="what to measure: a folder of convlab/probes with a measure.py")
    parser.add_argument("--settings", required=True, type=json.loads, help="the probe's settings as JSON")
    parser.add_argument("--dataset", required=True, help="the dataset's name in the config")
    parser.add_argument("--variant", required=True, help="the variant's name")
    parser.add_argument("--seeds", required=True, type=int, nargs="+", help="the runs to measure")
    parser.add_argument("--train-dir", required=True, type=Path, help="folder with the variant's runs, seed-<n>")
    parser.add_argument("--data-dir", required=True, type=Path, help="folder that prepare wrote")
    parser.add_argument("--output", required=True, type=Path, help="CSV file to write")
    parser.add_argument("--arrays", type=Path, help="npz file to write, by a probe that looks inside of networks")
    parser.add_argument("--threads", type=int, default=1, help="threads of TensorFlow")
    arguments = parser.parse_args(argv)
    with job_results(arguments.output, lambda: [arguments.arrays] if arguments.arrays else []):
        measure(arguments)


def measure(arguments: argparse.Namespace) -> None:
    """Measure every run and write the table."""
    runs = [(seed, layout.seed_folder(arguments.train_dir, seed)) for seed in arguments.seeds]
    records = [read_json(folder / "run.json") for _, folder in runs]
    backend.configure(records[0]["spec"]["training"]["backend"], arguments.threads)  # before these import Keras
    from convlab.evaluation import inference
    from convlab.evaluation.networks import Network
    from convlab.runtime.keras_runtime import use_threads

    use_threads(arguments.threads)
    probe = registry.load("convlab.probes", f"{arguments.probe}.measure")
    images, labels = data.load_test(arguments.data_dir)
    block = records[0]["spec"]["training"]["pixel_permutation"]  # the same for all seeds of a variant
    arranged = partial(data.permute_pixels, block=block)  # after a probe has changed an image, not before
    rows, networks = [], []
    for (seed, folder), trained in zip(runs, records, strict=True):
        if trained["status"] != "finished":
            log.info("seed %d is left out: %s", seed, trained["status"])
            continue
        model = inference.load(folder / "model.keras", UserCode.of_run(trained))
        network = Network(seed, model, inference.predictor(model), arranged)
        if arguments.arrays is not None:
            networks.append(network)
            continue
        measured = probe.measure(network.predict, images, labels, arguments.settings)
        rows += [{"seed": seed, **row} for row in measured]
        log.info("seed %d: %d rows", seed, len(measured))
    if arguments.arrays is not None:
        rows, arrays = probe.inspect(networks, images, labels, arguments.settings) if networks else ([], {})
        log.info("%d networks: %d rows, arrays %s", len(networks), len(rows), ", ".join(arrays) or "-")
        write_arrays(arguments.arrays, **arrays)
    names = {"dataset": arguments.dataset, "variant": arguments.variant}
    columns = ["dataset", "variant", "seed", *probe.COLUMNS]
    write_text(arguments.output, as_csv(columns, (names | row for row in rows)))


def as_csv(columns: Sequence[str], rows: Iterable[Mapping[str, object]]) -> str:
    """Rows as CSV, as pandas writes them, whose import would take a quarter of a second of each job.

    Numbers are written so that reading returns the same; what is missing, None or NaN is empty.
    """
    text = StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(columns)
    for row in rows:
        values = [getattr(value, "item", lambda value=value: value)() for value in map(row.get, columns)]
        writer.writerow(["" if isinstance(value, float) and math.isnan(value) else value for value in values])
    return text.getvalue()


if __name__ == "__main__":
    run(main)
