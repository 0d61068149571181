"""Entry point of a SageMaker training job: runs train.py with SageMaker's folders.

SageMaker's script mode passes folders in environment variables, and hyperparameters, also its own, as arguments.
"""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))  # Python leaves it out with -P and PYTHONSAFEPATH
from convlab.common import environment

environment.start()

import argparse
import os

import train
from convlab.common.cli import run


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--spec", required=True, help="the run's spec as JSON")
    parser.add_argument("--threads", default=os.environ.get("SM_NUM_CPUS", "1"), help="threads of TensorFlow")
    arguments, _others = parser.parse_known_args()
    folders = ["--data-dir", os.environ["SM_CHANNEL_TRAINING"], "--output-dir", os.environ["SM_MODEL_DIR"]]
    described = Path(__file__).resolve().parent / "described.json"  # cloud.training_job packs it
    own_code = ["--described", str(described)] if described.exists() else []
    train.main(["--spec", arguments.spec, "--threads", arguments.threads, *own_code, *folders])


if __name__ == "__main__":
    run(main)
