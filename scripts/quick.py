"""Write a reduced copy of a study, for a first look: fewer images, fewer epochs, two seeds.

It keeps every model, experiment, probe and claim, is called <study>_quick, and infers nothing: two seeds are a smoke
test. `make quick STUDY=...` writes and runs it.
"""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))  # Python leaves it out with -P and PYTHONSAFEPATH
from convlab import environment

environment.start()

import argparse

import yaml

from convlab.cli import run
from convlab.config import load_study, read_yaml
from convlab.files import write_text

TRAIN_IMAGES, TEST_IMAGES, EPOCHS, SEEDS, STEPS = 3000, 1000, 2, 2, 60


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("config", type=Path, help="the study's config file")
    parser.add_argument("--output", type=Path, required=True, help="file to write")
    arguments = parser.parse_args(argv)
    config = reduced(read_yaml(arguments.config))
    load_study(config)
    write_text(arguments.output, yaml.safe_dump(config, sort_keys=False, allow_unicode=True))


def reduced(config: dict) -> dict:
    """The config with less of everything that takes time; what is small already stays as it is."""
    study = load_study(config)
    datasets = {}
    for name, options in config["datasets"].items():
        options = dict(options or {})
        if study.datasets[name].kind != "digits":
            options["train_images"] = min(options.get("train_images") or TRAIN_IMAGES, TRAIN_IMAGES)
            options["test_images"] = min(options.get("test_images") or TEST_IMAGES, TEST_IMAGES)
        datasets[name] = options
    epochs = min(study.training.epochs, EPOCHS)
    found = {**config, "study": f"{study.study}_quick", "datasets": datasets, "seeds": list(study.seeds[:SEEDS])}
    found["training"] = {**(config.get("training") or {}), "epochs": epochs}
    probes = {name: dict(value) for name, value in study.probes.model_dump(exclude_none=True).items()}
    if "sample_efficiency" in probes:
        probes["sample_efficiency"] |= {"sizes": [100, 300, None], "steps": STEPS}
    if probes:
        found["probes"] = probes
    return found


if __name__ == "__main__":
    run(main)
