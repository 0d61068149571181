"""How long a run takes on this machine: by equal runs on it, by what was measured of it, else by MACs."""

import json
import math
import statistics
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, NamedTuple

from convlab.common.specs import canonical_json
from convlab.datasets.image_counts import image_counts, limited
from convlab.models.cost import UnknownCost, cost
from convlab.study import layout, speeds
from convlab.study.precision_cost import precision_pairs
from convlab.study.schema import Study
from convlab.study.speeds import Speed
from convlab.training.history import read_history
from convlab.training.recipe import Training
from convlab.training.run_spec import Run

RunKey = tuple[str, str, int]
"""Dataset, variant or trial, and seed of a run."""

START_SECONDS = 2.7
"""Time in which a process is ready to compute, where it was not measured: that of an Intel Xeon with AVX-512."""

COMPILE_STARTS = 0.4
"""Time in which a model is built and compiled, where it was not measured, as a multiple of the start of a process."""

FORWARD_PASSES = 3
"""Forward passes that a training step is taken to be, where validation was not measured: so many validation images
count as one to train on."""


class Images(NamedTuple):
    """Numbers of images of a dataset: trained on by every run, or divided into training and validation (one of the two
    is 0, as the data bring a validation split or not), the test images, and those of that split."""

    trained_on: int
    divided: int
    test: int = 0
    validation: int = 0


@dataclass(frozen=True)
class Earlier:
    """What is known of this machine and of the data.

    Attributes:
        done: finished runs of this study.
        rates: by backend and precision (MACs, seconds per training image) of runs of any study and of measured speeds.
        sizes: images of each dataset, by its spec as JSON.
        equal: seconds per training image of earlier runs of several epochs, by ``speeds.key``.
        speeds: measured ones, by the same key.
        keys: that key by dataset and variant, as far as it was asked for.
    """

    done: set[RunKey] = field(default_factory=set)
    rates: dict[tuple[str, str], list[tuple[int, float]]] = field(default_factory=dict)
    sizes: dict[str, Images] = field(default_factory=dict)
    equal: dict[str, list[float]] = field(default_factory=dict)
    speeds: dict[str, Speed] = field(default_factory=dict)
    keys: dict[tuple[str, str], str] = field(default_factory=dict, compare=False)

    @property
    def start_seconds(self) -> float:
        """Time in which a process of this machine is ready to compute."""
        return statistics.median([speed.start_seconds for speed in self.speeds.values()] or [START_SECONDS])

    def with_speeds(self, measured: Mapping[str, Speed], entries: Mapping[str, Mapping[str, Any]]) -> "Earlier":
        """This with measured speeds of architectures, by key; ``entries`` describe them."""
        rates = {arithmetic: list(known) for arithmetic, known in self.rates.items()}
        for name, speed in measured.items():
            known = rates.setdefault(group_of(entries[name]), [])
            known.append((entries[name]["macs"], 1 / speed.images_per_second))
        return replace(self, rates=rates, speeds={**self.speeds, **measured})


def earlier_runs(results: Path, study: Study) -> Earlier:
    """Read every ``run.json`` under ``results``; those of other versions of convlab are skipped, and of other machines
    it counts only that they are done."""
    earlier, here = Earlier(sizes=_sizes(results, study)), speeds.machine()
    wanted = {
        (dataset, variant, seed): study.run(dataset, variant, seed).spec_hash
        for dataset in study.datasets
        for variant in study.plan.trained
        for seed in study.seeds
    }
    known = {
        canonical_json(variant.model.identity): study.plan.costs[dataset, name].macs
        for dataset in study.datasets
        for name, variant in study.plan.variants.items()
        if (dataset, name) in study.plan.costs
    }
    for path in sorted(layout.run_records(results)):
        try:
            record = json.loads(path.read_text(encoding="utf-8"))
            run = Run.model_validate(record["spec"])
            macs = macs_of(run, record, known)
            seconds = image_seconds(record, path.with_name("history.csv")) if speeds.is_of(record, here) else None
            shape, classes = tuple(record["input_shape"]), record["classes"]
        except (ValueError, KeyError, TypeError, OSError):
            continue  # written by another version: no help for an estimate
        if seconds is not None:
            if record.get("epochs_run", 0) > 1:
                name = speeds.key(speeds.as_architecture(run.model, run.training, shape, classes))
                earlier.equal.setdefault(name, []).append(seconds)
            if macs is not None:
                earlier.rates.setdefault(arithmetic(run.training), []).append((macs, seconds))
        study_name, *key = layout.run_of_record(path)
        if study_name == study.study and wanted.get(tuple(key)) == record["spec_hash"]:
            earlier.done.add(tuple(key))
    return earlier


def image_seconds(record: Mapping[str, Any], history: Path) -> float | None:
    """Seconds that an earlier run took for each image to train on, of its epochs after the first if it has more.

    The model is compiled in the first, which can take longer than all the rest of a short run: those of ``make quick``
    would make a study seem to take many times as long as it does.
    """
    try:
        rows = read_history(history)
        images = record["images_per_epoch"] + record["validation_images"] / FORWARD_PASSES
        return statistics.fmean(row["seconds"] for row in rows[1:] or rows) / images
    except (OSError, ValueError, KeyError, TypeError, ZeroDivisionError):  # StatisticsError is a ValueError
        return None


def _sizes(results: Path, study: Study) -> dict[str, Images]:
    """Images of each dataset, by its spec: as prepared, else as published or counted; without what is not known yet."""
    sizes = {}
    for dataset, spec in study.datasets.items():
        images = _prepared_images(results, study, dataset)
        if images is None:
            counts = image_counts(spec, study.form(dataset)[1])
            if counts is None:
                continue
            train, test = limited(counts.train, spec.train_images).most, limited(counts.test, spec.test_images).most
            given = counts.validation
            images = Images(0, train, test) if given is None else Images(train, 0, test, given.most)
        sizes[canonical_json(spec.identity)] = images
    return sizes


def _prepared_images(results: Path, study: Study, dataset: str) -> Images | None:
    """Images of a dataset by its manifest; None without one, or of one that was prepared with other settings."""
    folder = layout.prepared(layout.study_folder(study.study, results), dataset)
    try:
        manifest = json.loads((folder / "manifest.json").read_text(encoding="utf-8"))
        arrays = {name: entry["shape"][0] for name, entry in manifest["arrays"].items()}
        train, test = arrays["x_train"], arrays["x_test"]
        given = arrays.get("x_validation")
        spec = study.datasets[dataset]
        if (spec.train_images or train) < train or (spec.test_images or test) < test:
            return None
    except (OSError, ValueError, KeyError, TypeError, IndexError):
        return None
    return Images(0, train, test) if given is None else Images(train, 0, test, given)


def macs_of(run: Run, record: Mapping[str, Any], known: Mapping[str, int]) -> int | None:
    """MACs of an earlier run's model: in closed form, else as it is described in this study, else None.

    Args:
        known: MACs of this study's models, by their identity.
    """
    try:
        return cost(run.model, tuple(record["input_shape"]), record["classes"]).macs
    except UnknownCost:
        return known.get(canonical_json(run.model.identity))


def arithmetic(training: Training) -> tuple[str, str]:
    """Key that groups runs of comparable speed: backend and precision."""
    return training.backend, training.precision


def seconds_per_image(macs: int, known: Sequence[tuple[int, float]]) -> float | None:
    """Training time of one image: a least-squares line over the MACs of earlier runs, at least the fastest of them.

    With runs of a single size the time is taken to grow with the MACs. None without earlier runs.
    """
    if not known:
        return None
    n = len(known)
    mean_x, mean_y = sum(x for x, _ in known) / n, sum(y for _, y in known) / n
    spread = sum((x - mean_x) ** 2 for x, _ in known)
    if not spread:
        return mean_y * max(macs / mean_x, 0.1) if mean_x else mean_y
    slope = max(sum((x - mean_x) * (y - mean_y) for x, y in known) / spread, 0.0)
    return max(mean_y + slope * (macs - mean_x), min(y for _, y in known))


def architecture_key(study: Study, dataset: str, variant: str, earlier: Earlier) -> str:
    """The ``speeds.key`` of a variant or a trial on a dataset; made once, since a study may have thousands."""
    owner = study.plan.owner(variant)
    if (dataset, owner.name) not in earlier.keys:
        shape, classes = study.form(dataset)
        described = speeds.as_architecture(owner.model, owner.training, shape, classes)
        earlier.keys[dataset, owner.name] = speeds.key(described)
    return earlier.keys[dataset, owner.name]


def images_of(study: Study, dataset: str, variant: str, earlier: Earlier) -> tuple[float, float] | None:
    """Images that an epoch trains on and that it validates with; None while the size of the data is not known."""
    training = study.plan.owner(variant).training
    images = earlier.sizes.get(canonical_json(study.datasets[dataset].identity))
    if images is None:
        return None
    trained_on, divided, _, validation, *_ = (*images, 0, 0)
    size = training.train_size or trained_on + divided * (1 - training.validation_fraction)
    if training.steps:
        size = math.ceil(training.steps / training.epochs) * training.batch_size
    return size, validation or divided * training.validation_fraction


def run_seconds(study: Study, dataset: str, variant: str, earlier: Earlier) -> float | None:
    """Estimated seconds of one run's epochs, of a variant or a trial; None where its size or the machine's speed is not
    known.

    Runs that were trained on this machine know best, since others ran beside them as they will again.
    """
    owner, images = study.plan.owner(variant), images_of(study, dataset, variant, earlier)
    if images is None or (dataset, owner.name) not in study.plan.costs:
        return None
    (trained, validated), epochs = images, owner.training.epochs
    name = architecture_key(study, dataset, owner.name, earlier)
    counted = trained + validated / FORWARD_PASSES
    if name in earlier.equal:
        return epochs * counted * statistics.fmean(earlier.equal[name])
    if name in earlier.speeds:
        speed = earlier.speeds[name]
        return epochs * (trained / speed.images_per_second + validated / speed.forward_images_per_second)
    rate = seconds_per_image(
        study.plan.costs[dataset, owner.name].macs, earlier.rates.get(arithmetic(owner.training), [])
    )
    return epochs * counted * rate if rate and trained else None


def images_per_second(study: Study, dataset: str, variant: str, earlier: Earlier) -> float | None:
    """Training images per second of one run, of a variant: by equal runs or by what was measured; None without."""
    name = architecture_key(study, dataset, variant, earlier)
    if name in earlier.equal:
        return 1 / statistics.fmean(earlier.equal[name])
    return earlier.speeds[name].images_per_second if name in earlier.speeds else None


def job_seconds(study: Study, dataset: str, variant: str, earlier: Earlier) -> float | None:
    """Estimated seconds of the process that trains a run: from its start to its end."""
    epochs = run_seconds(study, dataset, variant, earlier)
    if epochs is None:
        return None
    speed = earlier.speeds.get(architecture_key(study, dataset, variant, earlier))
    start = earlier.start_seconds
    return start + (COMPILE_STARTS * start if speed is None else speed.compile_seconds) + epochs


def test_seconds(study: Study, dataset: str, variant: str, earlier: Earlier) -> float:
    """Estimated seconds of one pass of the test images through a variant; 0 where that is not known."""
    images = earlier.sizes.get(canonical_json(study.datasets[dataset].identity))
    if images is None:
        return 0.0
    speed = earlier.speeds.get(architecture_key(study, dataset, variant, earlier))
    if speed is not None:
        return images.test / speed.forward_images_per_second
    training, trained = run_seconds(study, dataset, variant, earlier), images_of(study, dataset, variant, earlier)
    if training is None or not trained[0]:
        return 0.0
    counted = (trained[0] + trained[1] / FORWARD_PASSES) * study.plan.owner(variant).training.epochs
    return images.test * training / (counted * FORWARD_PASSES)


def planned_runs(study: Study, seeds_of: Callable[[str, str], Sequence[int]]) -> set[RunKey]:
    """Every run as (dataset, variant or trial, seed), with the seeds that ``seeds_of`` gives it on a dataset."""
    return {
        (dataset, name, seed)
        for dataset in study.datasets
        for name in study.plan.trained
        for seed in seeds_of(dataset, name)
    }


def left_to_train(study: Study, earlier: Earlier) -> set[RunKey]:
    """The runs of the present look that are not finished."""
    return planned_runs(study, study.seeds_of) - earlier.done


def architectures_left(study: Study, earlier: Earlier) -> dict[str, dict[str, Any]]:
    """The architectures of the runs that are left, by key, as far as they are known before they are built; with runs in
    mixed precision also the largest of them in float32, beside which it is held."""
    left = {(dataset, study.plan.owner(name).name) for dataset, name, _ in left_to_train(study, earlier)}
    described = [speeds.architecture(study, dataset, owner) for dataset, owner in sorted(left)]
    if left:
        described += [entry for pair in precision_pairs(study).values() for entry in (pair.mixed, pair.full)]
    return {speeds.key(entry): entry for entry in described if entry is not None}


def architectures_to_measure(
    study: Study, earlier: Earlier, entries: Mapping[str, Mapping[str, Any]]
) -> dict[str, Mapping[str, Any]]:
    """Those of ``entries`` whose speed is not known: no equal run was trained on this machine, nor were they measured,
    nor as many of their backend and precision as are measured at most (``speeds.MAX_MEASURED``).

    Precisions are held against each other by measured speeds alone, since runs had others beside them.
    """
    known = Counter(group_of(entry) for name, entry in entries.items() if name in earlier.speeds)
    compared = {speeds.key(entry) for pair in precision_pairs(study).values() for entry in (pair.mixed, pair.full)}
    return {
        name: entry
        for name, entry in entries.items()
        if name not in earlier.speeds
        and (name in compared or (name not in earlier.equal and known[group_of(entry)] < speeds.MAX_MEASURED))
    }


def group_of(entry: Mapping[str, Any]) -> tuple[str, str]:
    """Backend and precision of an architecture."""
    return entry["training"]["backend"], entry["training"]["precision"]


def were_side_by_side(study: Study, earlier: Earlier) -> bool:
    """Whether all runs that are left have equal earlier ones, whose times are those of runs that had others beside."""
    left = {(dataset, study.plan.owner(name).name) for dataset, name, _ in left_to_train(study, earlier)}
    return all(architecture_key(study, dataset, owner, earlier) in earlier.equal for dataset, owner in left)
