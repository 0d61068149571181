"""Measure how fast this machine trains architectures: a few steps of each on random pixels, in one process.

Reads a JSON object from standard input: `backend`, and `architectures`, a list of objects with model, training,
shape, classes and macs. Prints a line of JSON for the start of the process, and one for each architecture as soon
as it is measured. `make plan` and `make run` start it for what is not known yet of this machine; its images are made
up, and nothing is trained that is kept.
"""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))  # Python leaves it out with -P and PYTHONSAFEPATH
from convlab.common import environment

environment.start()

import argparse
import json
import time

from convlab.common.cli import run
from convlab.models.registry import as_model
from convlab.runtime import backend
from convlab.training.recipe import Training

MAX_PROBLEM = 300
"""Characters of an error's message at most."""

STARTED = time.perf_counter()

TINY = {"family": "dense", "units": [8]}
"""The first model that is measured, and not reported: the first of a process takes longer."""


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--threads", type=int, default=1, help="threads of the backend; trainings have one")
    arguments = parser.parse_args(argv)
    request = json.load(sys.stdin)
    backend.configure(request["backend"], arguments.threads)  # before these import Keras
    from convlab.runtime.keras_runtime import device, use_threads
    from convlab.training.step_times import Architecture, step_times

    use_threads(arguments.threads)
    first = Architecture(as_model(TINY), Training(backend=request["backend"]), (8, 8, 1), 2, macs=1)
    step_times(first, seconds=0)
    wall = time.perf_counter() - STARTED
    print_line({"start_seconds": wall if device() == "GPU" else min(wall, time.process_time()), "device": device()})
    for entry in request["architectures"]:
        model, training = as_model(entry["model"]), Training.model_validate(entry["training"])
        architecture = Architecture(model, training, tuple(entry["shape"]), entry["classes"], entry["macs"])
        try:
            print_line(step_times(architecture))
        except Exception as error:  # of whatever library: the speeds of the others are wanted all the same
            print_line({"problem": " ".join(str(error).split())[:MAX_PROBLEM]})


def print_line(value: dict) -> None:
    print(json.dumps(value), flush=True)


if __name__ == "__main__":
    run(main)
