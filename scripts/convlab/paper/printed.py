"""Tables for a paper: those of compare with fewer columns, rounded values and readable headings."""

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import pandas as pd

from convlab.common.i18n import N_
from convlab.common.i18n import gettext as _
from convlab.common.table_files import Printed
from convlab.language import numbers
from convlab.language.contrasts import VERDICTS, contrast_labels
from convlab.language.numbers import MISSING, change_interval, count, format_p, interval, missing, number, signed
from convlab.language.robustness import analysis_text
from convlab.paper.cells import (
    change,
    claim_unit,
    claim_verdict,
    comparison_verdict,
    level,
    measured_text,
    percent,
    points,
    published_text,
)
from convlab.probes import registry as probes
from convlab.probes.curves import contrast_label, contrast_unit, measure_of
from convlab.results.convolutions import MEASURES
from convlab.results.tuning import FIXED_COLUMNS
from convlab.study.labels import field_label
from convlab.study.metrics import LOSS, Metric
from convlab.study.schema import Study
from convlab.study.variants import Plan

MILLION = 1e6

MAX_ONE_LINE_CHARS = 18
"""Text columns up to this width in characters are not wrapped."""

Tables = Mapping[str, pd.DataFrame]
"""The tables of compare by the names of their files."""


def with_sd(mean: float | None, sd: float | None, form: Callable[[float | None], str] = percent) -> str:
    """A mean with its SD, in the form of a cell: ``95.59 ± 1.27``."""
    return form(mean) if missing(mean) or missing(sd) else f"{form(mean)} ± {form(sd)}"


def p_value(value: float | None) -> str:
    """``.031`` or ``< .001``; the heading says p."""
    return MISSING if missing(value) else format_p(value).removeprefix("p ").removeprefix("= ")


# ---------------------------------------------------------------------------------------------------------------------
# Tables

WIDTHS = {"Claim": ".34", "Variant": ".2", "Reference": ".16", "Measure": ".2", "Question": ".14", "Class": ".16"}
"""Width of long text columns, as a share of the line."""


def printed(tables: Tables, study: Study) -> dict[str, Printed]:
    """Every table for a paper, by name: fewer columns, rounded values, readable headings."""
    plan = study.plan
    makers = {
        "runs": _runs,
        "variants": _variants,
        "comparisons": _comparisons,
        "robustness": _robustness,
        "tuning": _tuning,
        "claims": _claims,
        "trends": _trends,
        "factorials": _factorials,
        "per_class": _per_class,
        "convolutions": _convolutions,
        "timings": _timings,
        "probe_curves": _probe_curves,
        "probe_contrasts": _probe_contrasts,
    }
    tables_by_name = {}
    for name, make in makers.items():
        rows = [make(row, plan) for row in tables[name].to_dict("records")]
        if name == "variants":  # variants that only a probe trained are in the probe's table
            rows = [row for row, probe in zip(rows, tables[name]["probe"], strict=True) if probe == ""]
        if name == "tuning":
            rows = [row for row, chosen in zip(rows, tables[name]["chosen"], strict=True) if chosen == "yes"]
        tables_by_name[name] = _layout(rows, f"{study.study}-{name}", several=len(study.datasets) > 1)
    return tables_by_name


def _layout(rows: list[dict[str, str]], label: str, several: bool) -> Printed:
    """Rows as a table, without columns that carry no information: a single dataset, or no values at all."""
    cells = pd.DataFrame(rows, dtype=str) if rows else pd.DataFrame({N_("None in this study"): []})
    kept = [
        name
        for name in cells
        if (several or name != "Dataset") and (cells.empty or not cells[name].isin(["", MISSING]).all())
    ]
    align = [_align(name, cells[name]) for name in kept]
    return Printed(cells[kept].rename(columns=_), align, label)


def _align(name: str, column: pd.Series) -> str:
    """Column types: numbers flush right, so that decimals align; long text in ragged paragraphs."""
    if column.map(len).max() > MAX_ONE_LINE_CHARS and name in WIDTHS:
        return ragged(WIDTHS[name])
    numeric = column.map(lambda text: text in ("", MISSING) or text[:1] in "+−<>." or text[:1].isdigit())
    return "r" if numeric.all() else "l"


def ragged(share: str) -> str:
    """LaTeX column type of text that wraps within a share of the line."""
    return rf">{{\raggedright\arraybackslash}}p{{{share}\linewidth}}"


PER = {"doubling": N_("doubling"), "unit": N_("unit")}
"""Texts of identifiers in the tables, before translation."""


def _contrast(row: Mapping[str, Any], plan: Plan) -> str:
    """Label of a probe's contrast: ``lead lost, pixels shuffled``."""
    name, _comma, level = row["measure"].partition(", ")
    known = {name: order for levels in plan.probes[row["probe"]].levels.values() for name, order, _variant in levels}
    if not level:
        return _(contrast_label(row["probe"], name))
    order = known.get(level, probes.settings(row["probe"]).level_order(level))
    level = level if order is None else probes.level_label(row["probe"], order)
    return f"{_(contrast_label(row['probe'], name))}, {level}"


def _runs(row: Mapping[str, Any], plan: Plan) -> dict[str, str]:
    return {
        N_("Dataset"): row["dataset"],
        N_("Variant"): plan.variants[row["variant"]].label,
        N_("Seed"): str(row["seed"]),
        N_("Epoch"): _("{n} of {all}", n=row["best_epoch"], all=row["epochs_run"]),
        N_("Val. acc. (%)"): percent(row["val_accuracy"]),
        N_("Test acc. (%)"): percent(row["test_accuracy"]),
        N_("Test loss"): number(row["test_loss"], 4),
        N_("ECE"): number(row["ece"], 4),
        N_("Time (s)"): number(row["train_seconds"], 1),
        N_("Status"): "" if row["status"] == "finished" else _("diverged"),
    }


def _variants(row: Mapping[str, Any], plan: Plan) -> dict[str, str]:
    tested = _metric_with_interval(row, plan.metric)
    return {
        N_("Dataset"): row["dataset"],
        N_("Variant"): row["label"],
        N_("Parameters"): count(row["parameters"]),
        N_("MACs (M)"): number(row["macs"] / MILLION, 2),
        N_("n"): str(row["n_seeds"]),
        N_("Test acc. (%)"): with_sd(row["test_accuracy_mean"], row["test_accuracy_sd"]),
        **(tested if plan.metric != LOSS else {}),
        N_("Test loss"): number(row["test_loss_mean"], 4),
        **(tested if plan.metric == LOSS else {}),
        N_("ECE"): number(row["ece_mean"], 4),
    }


METRIC_HEADINGS = {
    "accuracy": N_("Test acc. (%)"), "balanced_accuracy": N_("Balanced acc. (%)"), "macro_f1": N_("Macro-F1 (%)"),
    "loss": N_("Test loss"), "auroc": N_("AUROC (%)"),
}  # fmt: skip
"""Heading of each metric's values, by its key in the config."""


def _metric_with_interval(row: Mapping[str, Any], metric: Metric) -> dict[str, str]:
    """Mean, SD and interval of the metric that verdicts are about."""
    mean, sd, low, high = (row[f"{metric.column}_{name}"] for name in ("mean", "sd", "ci_low", "ci_high"))
    return {
        METRIC_HEADINGS[metric.key]: with_sd(mean, sd, partial(level, metric=metric)),
        N_("95 % CI"): interval(low, high, metric.unit),
    }


def _of_difference(share: str, nats: str, metric: Metric) -> str:
    """The heading of a column of differences, by the unit of the metric."""
    return share if metric.is_share else nats


def _comparisons(row: Mapping[str, Any], plan: Plan) -> dict[str, str]:
    variant, reference = contrast_labels(plan, plan.questions[row["experiment"]], row["variant"])
    return {
        N_("Dataset"): row["dataset"],
        N_("Question"): row["experiment"].replace("_", " "),
        N_("Variant"): variant,
        N_("Reference"): reference,
        N_("n"): str(row["n_seeds"]),
        _of_difference(N_("Diff. (pp)"), N_("Diff. (nats)"), plan.metric): change(row["difference"], plan.metric),
        N_("95 % CI"): change_interval(row["ci_low"], row["ci_high"], plan.metric),
        N_("p"): p_value(row["p_adjusted"]),
        N_("Verdict"): comparison_verdict(row),
    }


def _robustness(row: Mapping[str, Any], plan: Plan) -> dict[str, str]:
    variant, reference = contrast_labels(plan, plan.questions[row["experiment"]], row["variant"])
    metric = LOSS if row["analysis"] == "loss" else plan.metric
    return {
        N_("Dataset"): row["dataset"],
        N_("Question"): row["experiment"].replace("_", " "),
        N_("Variant"): variant,
        N_("Reference"): reference,
        N_("Analysis"): analysis_text(row["analysis"]),
        N_("Difference"): numbers.change(row["difference"], metric),
        N_("95 % CI"): change_interval(row["ci_low"], row["ci_high"], metric),
        N_("Verdict"): _(VERDICTS[row["verdict"]]),
        N_("Changes"): _("yes") if row["flips"] else "",
    }


def _tuning(row: Mapping[str, Any], plan: Plan) -> dict[str, str]:
    drawn = {field_label(name): numbers.two_digits(row[name]) for name in row if name not in FIXED_COLUMNS}
    return {
        N_("Dataset"): row["dataset"],
        N_("Variant"): plan.variants[row["variant"]].label,
        N_("Seed"): str(row["seed"]),
        N_("Trial"): str(row["trial"]),
        **drawn,
        N_("Validation (%)"): percent(row["val_accuracy"]),
        N_("Test (%)"): percent(row["test_accuracy"]),
    }


def _claims(row: Mapping[str, Any], plan: Plan) -> dict[str, str]:
    unit = claim_unit(row)
    return {
        N_("Dataset"): row["dataset"],
        N_("Claim"): row["text"],
        N_("Published"): published_text(plan.claims[row["claim"]].published, unit),
        N_("Measured"): measured_text(row["measured"], unit),
        N_("95 % CI"): interval(row["ci_low"], row["ci_high"], unit),
        N_("p"): p_value(row["p_adjusted"]),
        N_("Verdict"): claim_verdict(row),
    }


def _trends(row: Mapping[str, Any], plan: Plan) -> dict[str, str]:
    return {
        N_("Dataset"): row["dataset"],
        N_("Experiment"): row["experiment"].replace("_", " "),
        N_("Factor"): " × ".join(map(field_label, row["factor"].split(" × "))),
        N_("Levels"): str(row["n_levels"]),
        N_("n"): str(row["n_blocks"]),
        _of_difference(N_("Slope (pp)"), N_("Slope (nats)"), plan.metric): change(row["slope"], plan.metric),
        N_("95 % CI"): change_interval(row["ci_low"], row["ci_high"], plan.metric),
        N_("Per"): "" if missing(row["slope_per"]) else _(PER[row["slope_per"]]),
        N_("Exploratory p"): p_value(row["p_value"]),
    }


def _factorials(row: Mapping[str, Any], plan: Plan) -> dict[str, str]:
    return {
        N_("Dataset"): row["dataset"],
        N_("Experiment"): row["experiment"].replace("_", " "),
        N_("Effect"): field_label(row["effect"]),
        N_("n"): str(row["n_blocks"]),
        N_("Degrees of freedom"): MISSING if missing(row["df"]) else f"{row['df']:.0f}, {row['df_residual']:.0f}",
        N_("F"): number(row["f_statistic"], 2),
        N_("Exploratory p"): p_value(row["p_value"]),
        _of_difference(N_("Contrast (pp)"), N_("Contrast (nats)"), plan.metric): change(row["contrast"], plan.metric),
        N_("95 % CI"): change_interval(row["ci_low"], row["ci_high"], plan.metric),
    }


def _per_class(row: Mapping[str, Any], plan: Plan) -> dict[str, str]:
    return {
        N_("Dataset"): row["dataset"],
        N_("Variant"): plan.variants[row["variant"]].label,
        N_("Class"): str(row["class"]),
        N_("Images"): count(row["support"]),
        N_("Precision (%)"): percent(row["precision"]),
        N_("Recall (%)"): with_sd(row["recall"], row["recall_sd"]),
        N_("F1 (%)"): percent(row["f1"]),
    }


def _convolutions(row: Mapping[str, Any], plan: Plan) -> dict[str, str]:
    measure = MEASURES[row["measure"]]
    form, change_form = (
        (percent, points)
        if measure.is_share
        else (partial(number, decimals=measure.decimals), partial(signed, decimals=measure.decimals))
    )
    unit = " (%, pp)" if measure.is_share else ""
    limits = [MISSING if missing(row[end]) else change_form(row[end]) for end in ("ci_low", "ci_high")]
    return {
        N_("Dataset"): row["dataset"],
        N_("Question"): row["experiment"].replace("_", " "),
        N_("Convolution"): row["layer"],
        N_("Measure"): _(measure.label) + unit,
        N_("Variant"): plan.variants[row["variant"]].label,
        N_("n"): str(row["n_seeds"]),
        N_("Mean"): with_sd(row["mean"], row["sd"], form),
        N_("Difference"): MISSING if missing(row["difference"]) else change_form(row["difference"]),
        N_("95 % CI"): MISSING if MISSING in limits else _("{low} to {high}", low=limits[0], high=limits[1]),
    }


def _timings(row: Mapping[str, Any], plan: Plan) -> dict[str, str]:
    return {
        N_("Dataset"): row["dataset"],
        N_("Variant"): plan.variants[row["variant"]].label,
        N_("Round"): str(row["round"]),
        N_("Epoch (s)"): number(row["seconds_per_epoch"], 2),
        N_("Images/s"): count(row["images_per_second"]),
        N_("Latency (ms)"): number(row["latency_ms"], 3),
        N_("Other load"): number(row["other_load"], 2),
    }


def _probe_curves(row: Mapping[str, Any], plan: Plan) -> dict[str, str]:
    measured = measure_of(row["probe"], row["measure"])
    form, unit = (percent, "%") if measured.is_share else (number, "")
    has_level = not missing(row["level"]) and row["level"]
    return {
        N_("Dataset"): row["dataset"],
        N_("Probe"): _(probes.settings(row["probe"]).label),
        N_("Variant"): plan.variants[row["variant"]].label,
        N_("Measure"): _(measured.label) + (", %" if measured.is_share else ""),
        N_("Level"): probes.level_label(row["probe"], row["order"]) if has_level else "",
        N_("n"): str(row["n_seeds"]),
        N_("Mean"): with_sd(row["mean"], row["sd"], form),
        N_("95 % CI"): interval(row["ci_low"], row["ci_high"], unit),
    }


def _probe_contrasts(row: Mapping[str, Any], plan: Plan) -> dict[str, str]:
    unit = contrast_unit(row["probe"], row["measure"])
    return {
        N_("Dataset"): row["dataset"],
        N_("Probe"): _(probes.settings(row["probe"]).label),
        N_("Measure"): _contrast(row, plan),
        N_("Variant"): plan.variants[row["variant"]].label,
        N_("Reference"): plan.variants[row["reference"]].label if row["reference"] else "",
        N_("n"): str(row["n_seeds"]),
        N_("Diff. (pp)"): points(row["difference"]) if unit is None else "",
        N_("Diff."): "" if unit is None else numbers.difference(row["difference"], unit),
        N_("95 % CI"): numbers.difference_interval(row["ci_low"], row["ci_high"], unit),
    }
