"""Write a reduced copy of a study, for a first look: fewer images, fewer epochs, two seeds, two trials of tuning.

It keeps every model, experiment, probe and claim, is called <study>_quick, and infers nothing: two seeds are a smoke
test. `make quick STUDY=...` writes and runs it.
"""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))  # Python leaves it out with -P and PYTHONSAFEPATH
from convlab.common import environment

environment.start()

import argparse
import re
from collections.abc import Mapping
from typing import Any

from convlab.common.cli import run
from convlab.common.files import write_text
from convlab.common.scaling import scaled
from convlab.datasets.image_counts import image_counts, images_to_train_on
from convlab.datasets.shapes import dataset_form
from convlab.study.load import load_study, read_yaml, to_yaml
from convlab.study.schema import MAX_NAME, Study

TRAIN_IMAGES, TEST_IMAGES, EPOCHS, SEEDS, STEPS, TRIALS = 3000, 1000, 2, 2, 60, 2
"""Upper limits of a reduced study; smaller values stay."""

SUFFIX = "_quick"


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("config", type=Path, help="the study's config file")
    parser.add_argument("--output", type=Path, required=True, help="file to write")
    arguments = parser.parse_args(argv)
    config = reduced(read_yaml(arguments.config))
    write_text(arguments.output, to_yaml(config))


def reduced(config: Mapping[str, Any]) -> dict[str, Any]:
    """A reduced, valid config: less of everything that takes time.

    Levels of `train_size`, `epochs` and `steps` are scaled down together, so that they stay apart, and what claims,
    comparisons and `deploy` call by such a level is renamed.
    """
    study = load_study(config)
    less = study.validated_config
    less |= {"study": study.study[: MAX_NAME - len(SUFFIX)] + SUFFIX, "seeds": list(study.seeds[:SEEDS])}
    less["datasets"] = {name: _less_data(study, name) for name in study.datasets}
    available = min((_images_to_train_on(study, name, less["datasets"][name]) for name in study.datasets), default=0)
    less["training"] = {**less.get("training", {}), "epochs": study.training.epochs}
    if study.tuning:
        less["tuning"] = {**less["tuning"], "trials": TRIALS}
    _reduce_probes(study, less, available)
    for field, most in (("train_size", available), ("epochs", EPOCHS), ("steps", STEPS)):
        _reduce_field(less, field, most)
    names = _new_names(study, less)
    return _renamed(less, names)


def _less_data(study: Study, name: str) -> dict[str, Any]:
    """The dataset's entry, with limits on its images."""
    spec, entry = study.datasets[name], dict(study.validated_config["datasets"][name])
    classes = dataset_form(name, spec)[1]
    counts = image_counts(spec, classes)
    for number, (key, most) in enumerate((("train_images", TRAIN_IMAGES), ("test_images", TEST_IMAGES))):
        wanted = max(most, 2 * classes)
        given = getattr(spec, key)
        if given is None and counts is None:
            continue  # the number of images is not known here
        if min(given or counts[number].least, given or counts[number].most) > wanted:
            entry[key] = wanted
    return entry


def _images_to_train_on(study: Study, name: str, entry: Mapping[str, Any]) -> int:
    """Smallest training set of any variant, without validation images; None if unknown."""
    spec = study.datasets[name]
    classes = dataset_form(name, spec)[1]
    counts = image_counts(spec, classes)
    if counts is None:
        return entry.get("train_images") or TRAIN_IMAGES
    fractions = {variant.training.validation_fraction for variant in study.plan.variants.values()}
    limit = entry.get("train_images")
    return min(images_to_train_on(counts, limit, fraction, classes).least for fraction in fractions)


def _reduce_probes(study: Study, less: dict[str, Any], available: int) -> None:
    """Apply the reduced settings of each probe that is on."""
    names = _names_in_use(study)
    for name, probe in study.plan.probes.items():
        orders = [order for _, order, _ in next(iter(probe.levels.values()), ())]
        smaller = probe.settings.reduced(
            orders, available, STEPS, lambda slug: any(f"-{slug}" in variant for variant in names)
        )
        if smaller:
            less["probes"] = {**less["probes"], name: {**less["probes"][name], **smaller}}


def _reduce_field(less: dict[str, Any], field: str, most: int) -> None:
    """Scale a field of `training` down, in `training` itself and in every experiment that varies it."""
    levels = [less["training"].get(field)]
    written: list[list[Any]] = []
    for experiment in less.get("experiments", {}).values():
        varied = {experiment.get("factor"): experiment.get("levels"), **(experiment.get("factors") or {})}
        if varied.get(field):
            written.append(varied[field])
            levels += varied[field]
    smaller = scaled({level for level in levels if isinstance(level, int)}, most)
    if levels[0] is not None:
        less["training"][field] = smaller[levels[0]]
    for values in written:
        values[:] = [smaller.get(level, level) for level in values]
    for experiment in less.get("experiments", {}).values():
        reference = experiment.get("reference")
        if experiment.get("factor") == field:
            experiment["reference"] = smaller.get(reference, reference)
        elif isinstance(reference, dict) and field in reference:
            reference[field] = smaller.get(reference[field], reference[field])


def _names_in_use(study: Study) -> set[str]:
    """Names of variants that claims, comparisons and `deploy` have."""
    named = {name for comparison in study.comparisons.values() for name in (comparison.variant, comparison.reference)}
    named |= {name for claim in study.claims for name in re.findall(r"[\w.-]+", claim.rule)}
    return named | {study.deploy.variant or ""}


def _new_names(study: Study, less: Mapping[str, Any]) -> dict[str, str]:
    """New names of variants whose names differ in the reduced study."""
    unnamed = {key: value for key, value in less.items() if key not in ("claims", "comparisons", "deploy")}
    # Both plans name their variants in the same order; probes, which may have fewer in the smaller one, come last.
    pairs = zip(study.plan.aliases, load_study(unnamed).plan.aliases, strict=False)
    return {old: new for old, new in pairs if old != new}


def _renamed(less: dict[str, Any], names: Mapping[str, str]) -> dict[str, Any]:
    """The config with other names of variants in comparisons, in the rules of claims and in `deploy`."""
    if not names:
        return less
    pattern = re.compile(rf"(?<![\w.-])({'|'.join(map(re.escape, sorted(names, key=len, reverse=True)))})(?![\w.-])")
    for comparison in less.get("comparisons", {}).values():
        comparison |= {side: names.get(comparison[side], comparison[side]) for side in ("variant", "reference")}
    for claim in less.get("claims", []):
        claim["rule"] = pattern.sub(lambda match: names[match[0]], claim["rule"])
    if less.get("deploy", {}).get("variant") in names:
        less["deploy"]["variant"] = names[less["deploy"]["variant"]]
    return less


if __name__ == "__main__":
    run(main)
