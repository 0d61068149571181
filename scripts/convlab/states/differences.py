"""What changed between two states: config, code, environment, data, runs, accuracies, and the verdicts that follow."""

import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal

import pandas as pd

from convlab.common.text import listing
from convlab.language.numbers import MISSING, change, change_interval, mean_and_sd, percent, points
from convlab.states.find import State
from convlab.study.metrics import BY_COLUMN

SHORT_DIGEST_CHARS = 12
"""Characters of a checksum or commit that are shown."""

MAX_LISTED_RUNS = 50
"""Changed runs listed by name; of more only the count."""


@dataclass(frozen=True)
class Change:
    """A value before and after, empty if absent; ``where`` is its name or dotted key."""

    where: str
    before: str
    after: str

    @property
    def kind(self) -> Literal["added", "removed", "changed"]:
        return "changed" if self.before and self.after else "added" if self.after else "removed"


@dataclass(frozen=True)
class RunChange:
    """A run with the same spec on both sides and different predictions."""

    where: str
    before: str
    after: str
    difference: str


@dataclass(frozen=True)
class Runs:
    """Counts of runs, matched by spec hash: ``same`` of ``common`` have byte-equal predictions."""

    before: int
    after: int
    common: int
    same: int
    others: list[RunChange]
    without_predictions: int
    """Common runs whose predictions one side did not record."""


@dataclass(frozen=True)
class VariantChange:
    """Accuracy of a variant on both sides; ``runs`` compares the runs that it is computed from."""

    dataset: str
    label: str
    before: str
    after: str
    difference: str
    runs: str


@dataclass(frozen=True)
class VerdictChange:
    """A comparison or claim on both sides: measured values and verdicts. ``flipped``: two different verdicts."""

    what: str
    dataset: str
    before: str
    after: str
    verdict_before: str
    verdict_after: str

    @property
    def flipped(self) -> bool:
        return bool(self.verdict_before and self.verdict_after) and self.verdict_before != self.verdict_after

    @property
    def changed(self) -> bool:
        return (self.before, self.verdict_before) != (self.after, self.verdict_after)


@dataclass(frozen=True)
class Differences:
    """All changes between two states; unchanged entries are left out, except verdicts."""

    before: State
    after: State
    config: list[Change]
    code: list[Change]
    environment: list[Change]
    data: list[Change]
    runs: Runs
    variants: list[VariantChange]
    comparisons: list[VerdictChange]
    claims: list[VerdictChange]

    @property
    def nothing(self) -> bool:
        """Whether config, code, environment, data and results are the same."""
        causes = (self.config, self.code, self.environment, self.data, self.variants)
        verdicts = [*self.comparisons, *self.claims]
        same_runs = self.runs.before == self.runs.after == self.runs.common and not self.runs.others
        return not any(causes) and same_runs and not any(verdict.changed for verdict in verdicts)

    @property
    def headlines(self) -> list[str]:
        """Summary sentences, the most important first."""
        if self.nothing:
            return ["Nothing changed."]
        return [*self._verdict_headlines(), *self._run_headlines(), *self._cause_headlines()]

    def _verdict_headlines(self) -> Iterator[str]:
        for kind, verdicts in (("verdict", self.comparisons), ("claim", self.claims)):
            flipped = [item for item in verdicts if item.flipped]
            shown = "; ".join(f"{item.what}, {item.verdict_before} → {item.verdict_after}" for item in flipped[:3])
            more = f"; and {len(flipped) - 3} more" if len(flipped) > 3 else ""
            if flipped:
                yield f"{plural(len(flipped), kind)} changed: {shown}{more}."
            elif any(item.verdict_before and item.verdict_after for item in verdicts):
                alone = sum(not (item.verdict_before and item.verdict_after) for item in verdicts)
                yield f"No {kind} changed{f'; {plural(alone, kind)} only before or only after' if alone else ''}."

    def _run_headlines(self) -> Iterator[str]:
        runs = self.runs
        if not runs.common:
            yield f"No run is in both: {runs.before} before, {runs.after} after."
            return
        yield f"{plural(runs.common, 'run')} in both, of {runs.before} before and {runs.after} after."
        if runs.others:
            yield f"{len(runs.others)} of them gave other predictions, though spec and seed are the same."
        elif runs.same == runs.common:
            yield "All of them gave the same predictions, byte for byte."
        if runs.without_predictions:
            yield f"{runs.without_predictions} of them do not say what they predicted."

    def _cause_headlines(self) -> Iterator[str]:
        causes = {"setting": self.config, "module": self.code, "version or machine": self.environment}
        parts = [plural(len(changes), name) for name, changes in causes.items() if changes]
        parts += ["the data"] if self.data else []
        if parts:
            yield f"Changed: {listing(parts)}."
        else:
            yield "Config, code, environment and data are the same."


def plural(count: int, noun: str) -> str:
    if count != 1:
        noun = "versions or machines" if noun == "version or machine" else f"{noun}s"
    return f"{count:,} {noun}"


def compare_states(before: State, after: State) -> Differences:
    """All changes from ``before`` to ``after``."""
    sides = (before.provenance, after.provenance)
    return Differences(
        before=before,
        after=after,
        config=config_changes(*(side["config"] for side in sides)),
        code=code_changes(*(side["code"] for side in sides)),
        environment=changes(*(_environment(state) for state in (before, after))),
        data=changes(*(_data(side["data"]) for side in sides)),
        runs=run_changes(before.runs, after.runs),
        variants=variant_changes(before, after),
        comparisons=comparison_changes(before, after),
        claims=claim_changes(before, after),
    )


# ---------------------------------------------------------------------------------------------------------------------
# Causes


def changes(before: Mapping[str, str], after: Mapping[str, str]) -> list[Change]:
    """Values that differ, by name, in the order of the first and then of the second."""
    names = dict.fromkeys([*before, *after])
    pairs = (Change(name, before.get(name, ""), after.get(name, "")) for name in names)
    return [change for change in pairs if change.before != change.after]


def config_changes(before: Any, after: Any, where: str = "") -> list[Change]:
    """Settings that differ, by key path such as ``models.cnn.kernel_size``.

    A whole entry that is new or gone is one change. Lists of entries with an ``id`` are compared by it.
    """
    before, after = _by_id(before), _by_id(after)
    if isinstance(before, Mapping) and isinstance(after, Mapping):
        changed = []
        for key in dict.fromkeys([*before, *after]):
            path = f"{where}.{key}" if where else key
            if key not in before or key not in after:
                changed.append(Change(path, *(compact(side[key]) if key in side else "" for side in (before, after))))
            else:
                changed += config_changes(before[key], after[key], path)
        return changed
    return [] if before == after else [Change(where, compact(before), compact(after))]


def _by_id(value: Any) -> Any:
    """A list of entries that have ids as a mapping."""
    if isinstance(value, list) and value and all(isinstance(item, Mapping) and "id" in item for item in value):
        return {item["id"]: {key: entry for key, entry in item.items() if key != "id"} for item in value}
    return value


def compact(value: Any) -> str:
    """A setting on one line: mappings without what is empty or off."""
    if isinstance(value, Mapping):
        entries = {
            key: item for key, item in value.items() if item not in (None, "", False) and item != [] and item != {}
        }
        return ", ".join(f"{key}: {compact(item)}" for key, item in entries.items()) or "{}"
    return (
        "none"
        if value is None
        else value
        if isinstance(value, str) and value
        else json.dumps(value, ensure_ascii=False)
    )


def code_changes(
    before: Mapping[str, list[Mapping[str, str]]], after: Mapping[str, list[Mapping[str, str]]]
) -> list[Change]:
    """Modules whose content differs, each once with the stages that use it.

    Args:
        before, after: stage -> one mapping of module to checksum for each code that its runs had.
    """
    sides = [_by_module(side) for side in (before, after)]
    changed = []
    for module in dict.fromkeys([*sides[0], *sides[1]]):
        old, new = (side.get(module, {}) for side in sides)
        stages = [stage for stage in dict.fromkeys([*old, *new]) if old.get(stage) != new.get(stage)]
        if stages:
            texts = (
                ", ".join(sorted({sum_ for stage in stages for sum_ in side.get(stage, ())})) for side in (old, new)
            )
            changed.append(Change(f"{module} ({', '.join(stages)})", *texts))
    return changed


def _by_module(code: Mapping[str, list[Mapping[str, str]]]) -> dict[str, dict[str, set[str]]]:
    """module -> stage -> checksums."""
    checksums: dict[str, dict[str, set[str]]] = {}
    for stage, versions in code.items():
        for modules in versions:
            for module, checksum in modules.items():
                checksums.setdefault(module, {}).setdefault(stage, set()).add(checksum[:SHORT_DIGEST_CHARS])
    return checksums


def _environment(state: State) -> dict[str, str]:
    """Versions and machines by name; several values of one study are joined."""
    training, values = state.summary["training"], {}
    commit = state.provenance["commit"]
    if commit:
        values["commit"] = commit["commit"][:SHORT_DIGEST_CHARS] + (" with changes" if commit["modified"] else "")
    for stage, versions in (("training", training["versions"]), ("comparison", [state.provenance["versions"]])):
        for package in dict.fromkeys(name for entry in versions for name in entry):
            values[f"{package}, {stage}"] = _joined(entry[package] for entry in versions if package in entry)
    for name in dict.fromkeys(name for entry in training["hardware"] for name in entry):
        values[name.replace("_", " ")] = _joined(str(entry[name]) for entry in training["hardware"] if name in entry)
    for name in dict.fromkeys(name for entry in training["environment"] for name in entry):
        values[name] = _joined(entry.get(name, "not set") for entry in training["environment"])
    return values | {"device": _joined(training["devices"])}


def _joined(values: Iterable[str]) -> str:
    return "; ".join(dict.fromkeys(values))


def _data(data: Mapping[str, Mapping[str, Any]]) -> dict[str, str]:
    values = {}
    for dataset, entry in data.items():
        values |= {f"{dataset}: {part} images": f"{count:,}" for part, count in entry["images"].items()}
        values[f"{dataset}: classes"] = ", ".join(map(str, entry["classes"]))
        values |= {
            f"{dataset}: checksum of {name}": sum_[:SHORT_DIGEST_CHARS] for name, sum_ in entry["sha256"].items()
        }
    return values


# ---------------------------------------------------------------------------------------------------------------------
# Results


def run_changes(before: pd.DataFrame, after: pd.DataFrame) -> Runs:
    """Runs of both sides by spec hash and dataset, and those that predict something else now."""
    both = before.merge(after, on=["dataset", "spec_hash"], suffixes=("_before", "_after"))
    known = both[(both["predictions_sha256_before"] != "") & (both["predictions_sha256_after"] != "")]
    same = known["predictions_sha256_before"] == known["predictions_sha256_after"]
    others = [
        RunChange(
            f"{row.variant_after}, seed {row.seed_after} on {row.dataset}",
            percent(row.test_accuracy_before) if row.status_before == "finished" else row.status_before,
            percent(row.test_accuracy_after) if row.status_after == "finished" else row.status_after,
            points(row.test_accuracy_after - row.test_accuracy_before),
        )
        for row in known[~same].itertuples()
    ]
    return Runs(len(before), len(after), len(both), int(same.sum()), others, len(both) - len(known))


def variant_changes(before: State, after: State) -> list[VariantChange]:
    """Variants whose accuracy, seeds or spec differ, or that only one side has; in the order of the second side."""
    sides = [_rows(state.variants, ["dataset", "variant"]) for state in (before, after)]
    specs = [
        {
            key: dict(zip(part["seed"], part["spec_hash"], strict=True))
            for key, part in state.runs.groupby(["dataset", "variant"])
        }
        for state in (before, after)
    ]
    changed = []
    for key in dict.fromkeys([*sides[1], *sides[0]]):
        old, new = (side.get(key) for side in sides)
        shown = [accuracy(row) if row else "" for row in (old, new)]
        runs = _runs_compared(*(side.get(key, {}) for side in specs))
        if shown[0] == shown[1] and runs == "the same runs":
            continue
        difference = points(new["test_accuracy_mean"] - old["test_accuracy_mean"]) if old and new else ""
        changed.append(VariantChange(key[0], (new or old)["label"], *shown, difference, runs))
    return changed


def _runs_compared(before: Mapping[float, str], after: Mapping[float, str]) -> str:
    """Compare the runs of a variant's two accuracies, by seed -> spec hash."""
    if not before or not after:
        return "only after" if after else "only before"
    common = set(before) & set(after)
    if any(before[seed] != after[seed] for seed in common) or not common:
        return "another spec" if common else "other seeds"
    added, removed = len(set(after) - common), len(set(before) - common)
    parts = [f"{plural(count, 'seed')} {word}" for count, word in ((added, "added"), (removed, "removed")) if count]
    return ", ".join(parts) or "the same runs"


def comparison_changes(before: State, after: State) -> list[VerdictChange]:
    """Every comparison of either side, changed or not: those that flipped first."""

    def measured(row: Mapping[str, Any]) -> str:
        if pd.isna(row["difference"]):
            return MISSING
        metric = BY_COLUMN[row["metric"]]
        limits = "" if pd.isna(row["ci_low"]) else f" ({change_interval(row['ci_low'], row['ci_high'], metric)})"
        return f"{change(row['difference'], metric)}{limits}"

    def what(row: Mapping[str, Any], state: State) -> str:
        labels = _labels(state, row["dataset"])
        variant, reference = (labels.get(row[side], row[side]) for side in ("variant", "reference"))
        return f"{row['experiment'].replace('_', ' ')}: {variant} against {reference}"

    keys = ["dataset", "experiment", "variant", "reference"]
    return _verdicts(before, after, "comparisons", keys, what, measured)


def claim_changes(before: State, after: State) -> list[VerdictChange]:
    """Every claim of either side, changed or not: those that flipped first."""

    def measured(row: Mapping[str, Any]) -> str:
        if pd.isna(row["measured"]):
            return MISSING
        scale, sign = {"%": (100, " %"), "pp": (100, " pp")}.get(row["unit"], (1, f" {row['unit']}".rstrip()))
        value = scale * row["measured"]
        text = f"{value:,.0f}" if scale == 1 and float(value).is_integer() else f"{value:,.{2 if sign else 4}f}"
        return f"{text.replace('-', '−')}{sign}"

    return _verdicts(before, after, "claims", ["claim", "dataset"], lambda row, state: row["text"], measured)


def _verdicts(
    before: State,
    after: State,
    table: str,
    keys: list[str],
    what: Callable[[Mapping[str, Any], State], str],
    measured: Callable[[Mapping[str, Any]], str],
) -> list[VerdictChange]:
    sides = [_rows(getattr(state, table), keys) for state in (before, after)]
    changes = []
    for key in dict.fromkeys([*sides[1], *sides[0]]):
        old, new = (side.get(key) for side in sides)
        state, row = (after, new) if new else (before, old)
        verdicts = [side["verdict"] if side else "" for side in (old, new)]
        changes.append(
            VerdictChange(
                what(row, state), row["dataset"], *(measured(side) if side else "" for side in (old, new)), *verdicts
            )
        )
    return sorted(changes, key=lambda change: (not change.flipped, not change.changed))


def _rows(table: pd.DataFrame, keys: list[str]) -> dict[tuple[str, ...], dict[str, Any]]:
    return {tuple(row[key] for key in keys): row for row in table.to_dict("records")}


def _labels(state: State, dataset: str) -> dict[str, str]:
    rows = state.variants[state.variants["dataset"] == dataset]
    return dict(zip(rows["variant"], rows["label"], strict=True))


def accuracy(row: Mapping[str, Any]) -> str:
    """``90.38 ± 0.16 % (n = 3)``."""
    return f"{mean_and_sd(row['test_accuracy_mean'], row['test_accuracy_sd'])} (n = {row['n_seeds']:.0f})"
