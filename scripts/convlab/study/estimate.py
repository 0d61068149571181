"""Table of a study's variants, number of runs, and training time estimated from earlier runs."""

import json
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from convlab.common.specs import canonical_json
from convlab.models.cost import UnknownCost, cost
from convlab.study import layout
from convlab.study.hypotheses import tested
from convlab.study.schema import Study
from convlab.training.recipe import Training
from convlab.training.run_spec import Run


@dataclass(frozen=True)
class Earlier:
    """Data from earlier runs: ``done`` runs of this study, ``rates`` by backend and precision as (MACs, seconds per
    image), and ``sizes``, the numbers of images of each dataset (by its spec) that are always trained on, and that are
    divided into training and validation: one of the two is 0, as the data bring a validation split or not."""

    done: set[tuple[str, str, int]] = field(default_factory=set)
    rates: dict[tuple[str, str], list[tuple[int, float]]] = field(default_factory=dict)
    sizes: dict[str, tuple[int, int]] = field(default_factory=dict)


def earlier_runs(results: Path, study: Study) -> Earlier:
    """Read every ``run.json`` under ``results``; those of other versions of convlab are skipped."""
    earlier = Earlier()
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
        except (ValueError, KeyError, TypeError, OSError):
            continue  # written by another version: no help for an estimate
        if record["images_per_second"] and macs is not None:
            earlier.rates.setdefault(arithmetic(run.training), []).append((macs, 1 / record["images_per_second"]))
        if run.training.train_size is None:
            train, validation = record["train_images"], record["validation_images"]
            sizes = (train, 0) if "x_validation" in record["data_sha256"] else (0, train + validation)
            earlier.sizes[canonical_json(run.identity["dataset"])] = sizes
        study_name, *key = layout.run_of_record(path)
        if study_name == study.study and wanted.get(tuple(key)) == record["spec_hash"]:
            earlier.done.add(tuple(key))
    return earlier


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


def run_seconds(study: Study, dataset: str, variant: str, earlier: Earlier) -> float | None:
    """Estimated seconds of one run's epochs, of a variant or a trial; None without earlier runs in its arithmetic or on
    its dataset."""
    owner = study.plan.owner(variant)
    training = owner.training
    if (dataset, owner.name) not in study.plan.costs:
        return None
    rate = seconds_per_image(study.plan.costs[dataset, owner.name].macs, earlier.rates.get(arithmetic(training), []))
    identity = study.run(dataset, owner.name, study.seeds[0]).identity["dataset"]
    trained_on, divided = earlier.sizes.get(canonical_json(identity), (0, 0))
    size = training.train_size or trained_on + divided * (1 - training.validation_fraction)
    if training.steps:
        images = math.ceil(training.steps / training.epochs) * training.batch_size * training.epochs
    else:
        images = size * training.epochs
    return rate * images if rate and images else None


def table(study: Study, earlier: Earlier) -> str:
    """One line per dataset and variant: last map, parameters, MACs, receptive field, estimated seconds of a run."""
    blocks = []
    for dataset in study.datasets:
        rows = [("variant", "last map", "parameters", "MACs", "receptive field", "s a run")]
        for name in study.plan.variants:
            if (dataset, name) not in study.plan.costs:
                rows.append((name, "", "known after the describe job", "", "", "?"))
                continue
            entry, seconds = study.plan.costs[dataset, name], run_seconds(study, dataset, name, earlier)
            rows.append(
                (
                    name,
                    "×".join(map(str, entry.feature_map)),
                    f"{entry.parameters:,}",
                    f"{entry.macs:,}",
                    f"{entry.receptive_field} px",
                    "?" if seconds is None else f"{seconds:,.0f}",
                )
            )
        blocks.append(f"{dataset}\n" + aligned(rows))
    return "\n\n".join(blocks)


def aligned(rows: Iterable[Sequence[str]]) -> str:
    """Rows as text, the first column to the left, the others to the right."""
    rows = list(rows)
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]

    def line(row: Sequence[str]) -> str:
        first, *others = (cell.ljust(width) for cell, width in zip(row, widths, strict=True))
        return "  ".join(["", first, *(cell.strip().rjust(len(cell)) for cell in others)])

    return "\n".join(map(line, rows))


def planned_runs(study: Study, seeds_of: Callable[[str, str], Sequence[int]]) -> set[tuple[str, str, int]]:
    """Every run as (dataset, variant or trial, seed), with the seeds that ``seeds_of`` gives it on a dataset."""
    return {
        (dataset, name, seed)
        for dataset in study.datasets
        for name in study.plan.trained
        for seed in seeds_of(dataset, name)
    }


def summary(study: Study, earlier: Earlier, cores: int) -> str:
    """One line: runs in all, runs done, and the estimated time of the others; up to the present look."""
    plan, counts = study.plan, study.seed_counts
    wanted = planned_runs(study, study.seeds_of)
    done = earlier.done & set(wanted)
    seeds = _number(counts[0], "seed") if len(counts) == 1 else f"{counts[0]} to {counts[-1]} seeds"
    names = _number(len(plan.variants), "variant")
    if plan.trials:
        names = f"({names} + {len(plan.trials)} trials)"
    text = f"{study.study}: {names} × {seeds}"
    if len(study.datasets) > 1:
        text += f" × {len(study.datasets)} datasets"
    text += f" = {_number(len(wanted), 'run')}, {len(done):,} of them done"
    left = [run_seconds(study, dataset, variant, earlier) for dataset, variant, seed in wanted - done]
    if not left:
        return text + "."
    known = [seconds for seconds in left if seconds is not None]
    if not known:
        return text + "; no earlier runs to estimate the time from."
    time, others = _minutes(known, cores), len(left) - len(known)
    text += f"; about {time} {'is' if time.startswith('1 ') else 'are'} left on {_cores(cores)}"
    return (
        f"{text}, and the time of {_number(others, 'run')} more, which cannot be estimated yet."
        if others
        else f"{text}."
    )


def _number(count: int, noun: str) -> str:
    return f"{count:,} {noun}{'s' * (count != 1)}"


def _minutes(seconds: Iterable[float], cores: int) -> str:
    """``1 minute of training``, ``2 minutes of training``."""
    minutes = f"{sum(seconds) / cores / 60:,.0f}"
    return f"{minutes} minute{'s' * (minutes != '1')} of training"


def _cores(cores: int) -> str:
    return f"{cores} core{'s' * (cores > 1)}"


def cost_of_looks(study: Study, earlier: Earlier, cores: int, most: int) -> str:
    """``78 runs, 10 minutes of training on 2 cores``: what a plan costs if all that it tests needs ``most`` seeds.

    Variants that nothing tests, such as those that a probe trains, keep the seeds of the first look.
    """
    sides, first = set().union(*tested(study)), study.seeds.counts[0]

    def seeds_of(dataset: str, name: str) -> Sequence[int]:
        return study.seeds[: most if (dataset, study.plan.owner(name).name) in sides else first]

    runs = planned_runs(study, seeds_of)
    seconds = [run_seconds(study, dataset, variant, earlier) for dataset, variant, _ in runs]
    text = f"{len(runs):,} runs"
    return text if None in seconds else f"{text}, {_minutes(seconds, cores)} on {_cores(cores)}"
