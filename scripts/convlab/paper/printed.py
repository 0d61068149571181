"""What a paper takes from a study: tables as they are printed, and numbers.tex with a macro for every number."""

import hashlib
import re
import unicodedata
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import pandas as pd

from convlab.common import i18n
from convlab.common.i18n import N_
from convlab.common.i18n import gettext as _
from convlab.common.table_files import Printed, escaped
from convlab.language import claims
from convlab.language.contrasts import VERDICTS, format_p, signed, verdict_text
from convlab.probes import registry as probes
from convlab.probes.curves import Measure, contrast_label, measure_of
from convlab.results.tables import contrast_labels
from convlab.study.labels import field_label
from convlab.study.schema import Study
from convlab.study.variants import Plan

MISSING = "–"
MILLION = 1e6

NARROW = 18
"""Characters up to which a column of text stays on one line."""

Tables = Mapping[str, pd.DataFrame]
"""The tables of compare by the names of their files."""


def missing(value: Any) -> bool:
    return value is None or bool(pd.isna(value))


def fixed(value: float | None, decimals: int, scale: float = 1) -> str:
    """A number rounded to ``decimals``, with thousands separators and a real minus sign."""
    return MISSING if missing(value) else i18n.number(scale * value, f",.{decimals}f")


def percent(value: float | None) -> str:
    """A fraction in %, without the sign: it stands in the heading."""
    return fixed(value, 2, 100)


def points(value: float | None) -> str:
    """A difference of fractions in percentage points, signed."""
    return MISSING if missing(value) else signed(100 * value, 2)


def interval(low: float | None, high: float | None, form: Any = percent) -> str:
    return MISSING if missing(low) else _("{low} to {high}", low=form(low), high=form(high))


def with_sd(mean: float | None, sd: float | None, form: Any = percent) -> str:
    return form(mean) if missing(mean) or missing(sd) else f"{form(mean)} ± {form(sd)}"


def p_value(value: float | None) -> str:
    """``.031`` or ``< .001``; the heading says p."""
    return MISSING if missing(value) else format_p(value).removeprefix("p ").removeprefix("= ")


# ---------------------------------------------------------------------------------------------------------------------
# Tables

WIDTHS = {"Claim": ".34", "Variant": ".2", "Reference": ".16", "Measure": ".2", "Question": ".14", "Class": ".16"}
"""Share of the line that a column of long text takes."""


def printed(tables: Tables, study: Study) -> dict[str, Printed]:
    """Every table as a paper prints it, by name: fewer columns, rounded, under headings that can be read."""
    plan = study.plan
    makers = {
        "runs": _runs,
        "variants": _variants,
        "comparisons": _comparisons,
        "claims": _claims,
        "trends": _trends,
        "factorials": _factorials,
        "per_class": _per_class,
        "probe_curves": _probe_curves,
        "probe_contrasts": _probe_contrasts,
    }
    found = {}
    for name, make in makers.items():
        rows = [make(row, plan) for row in tables[name].to_dict("records")]
        if name == "variants":  # what only a probe trained is in the probe's own table
            rows = [row for row, probe in zip(rows, tables[name]["probe"], strict=True) if probe == ""]
        found[name] = _layout(rows, f"{study.study}-{name}", several=len(study.datasets) > 1)
    return found


def _layout(rows: list[dict[str, str]], label: str, several: bool) -> Printed:
    """Rows as a table, without a column that says nothing: the dataset where there is one only, or no values at all."""
    cells = pd.DataFrame(rows, dtype=str) if rows else pd.DataFrame({N_("None in this study"): []})
    kept = [
        name
        for name in cells
        if (several or name != "Dataset") and (cells.empty or not cells[name].isin(["", MISSING]).all())
    ]
    align = [_align(name, cells[name]) for name in kept]
    return Printed(cells[kept].rename(columns=_), align, label)


def _align(name: str, column: pd.Series) -> str:
    """Numbers to the right, so that their decimals stand below each other; long text in paragraphs, not justified."""
    if column.map(len).max() > NARROW and name in WIDTHS:
        return ragged(WIDTHS[name])
    numeric = column.map(lambda text: text in ("", MISSING) or text[:1] in "+−<>." or text[:1].isdigit())
    return "r" if numeric.all() else "l"


def ragged(share: str) -> str:
    """LaTeX column type of text that wraps within a share of the line."""
    return rf">{{\raggedright\arraybackslash}}p{{{share}\linewidth}}"


PER = {"doubling": N_("doubling"), "unit": N_("unit")}
"""How identifiers of the tables read, before translation."""


def _contrast(row: Mapping[str, Any], plan: Plan) -> str:
    """What a probe's contrast is of: ``lead lost, pixels shuffled``."""
    name, _comma, level = row["measure"].partition(", ")
    known = {name: order for levels in plan.probes[row["probe"]].levels.values() for name, order, _variant in levels}
    levels = [probes.level_label(row["probe"], known[level])] if level else []
    return ", ".join([_(contrast_label(row["probe"], name)), *levels])


def _runs(row: Mapping[str, Any], plan: Plan) -> dict[str, str]:
    return {
        N_("Dataset"): row["dataset"],
        N_("Variant"): plan.variants[row["variant"]].label,
        N_("Seed"): str(row["seed"]),
        N_("Epoch"): _("{n} of {all}", n=row["best_epoch"], all=row["epochs_run"]),
        N_("Val. acc. (%)"): percent(row["val_accuracy"]),
        N_("Test acc. (%)"): percent(row["test_accuracy"]),
        N_("Test loss"): fixed(row["test_loss"], 4),
        N_("ECE"): fixed(row["ece"], 4),
        N_("Time (s)"): fixed(row["train_seconds"], 1),
        N_("Status"): "" if row["status"] == "finished" else _("diverged"),
    }


def _variants(row: Mapping[str, Any], plan: Plan) -> dict[str, str]:
    return {
        N_("Dataset"): row["dataset"],
        N_("Variant"): row["label"],
        N_("Parameters"): fixed(row["parameters"], 0),
        N_("MACs (M)"): fixed(row["macs"], 2, 1 / MILLION),
        N_("n"): str(row["n_seeds"]),
        N_("Test acc. (%)"): with_sd(row["test_accuracy_mean"], row["test_accuracy_sd"]),
        N_("95 % CI"): interval(row["test_accuracy_ci_low"], row["test_accuracy_ci_high"]),
        N_("Test loss"): fixed(row["test_loss_mean"], 4),
        N_("ECE"): fixed(row["ece_mean"], 4),
    }


def _comparisons(row: Mapping[str, Any], plan: Plan) -> dict[str, str]:
    variant, reference = contrast_labels(plan, plan.questions[row["experiment"]], row["variant"])
    return {
        N_("Dataset"): row["dataset"],
        N_("Question"): row["experiment"].replace("_", " "),
        N_("Variant"): variant,
        N_("Reference"): reference,
        N_("n"): str(row["n_seeds"]),
        N_("Diff. (pp)"): points(row["difference"]),
        N_("95 % CI"): interval(row["ci_low"], row["ci_high"], points),
        N_("p"): p_value(row["p_adjusted"]),
        N_("Verdict"): _verdict(row),
    }


def _verdict(row: Mapping[str, Any]) -> str:
    """A comparison's verdict, which says so where it leaves diverged runs out."""
    return verdict_text(row["verdict"], row["n_diverged_variant"] + row["n_diverged_reference"])


def _claims(row: Mapping[str, Any], plan: Plan) -> dict[str, str]:
    unit = "" if missing(row["unit"]) else row["unit"]
    low, high = row["ci_low"], row["ci_high"]
    return {
        N_("Dataset"): row["dataset"],
        N_("Claim"): row["text"],
        N_("Published"): published_text(plan.claims[row["claim"]].published, unit),
        N_("Measured"): measured_text(row["measured"], unit),
        N_("95 % CI"): MISSING if missing(low) else claims.interval_text(low, high, unit),
        N_("p"): p_value(row["p_adjusted"]),
        N_("Verdict"): _(VERDICTS[row["verdict"]]),
    }


def published_text(value: int | float | str | None, unit: str) -> str:
    """A published figure in the unit of its claim; what was written as text stays as it is."""
    if value in (None, ""):
        return MISSING
    return value if isinstance(value, str) else claims.constant_text(Fraction(str(value)), unit)


def measured_text(value: float | None, unit: str) -> str:
    if missing(value):
        return MISSING
    return claims.number_text(Fraction(value) if isinstance(value, int) else value, unit)


def _trends(row: Mapping[str, Any], plan: Plan) -> dict[str, str]:
    return {
        N_("Dataset"): row["dataset"],
        N_("Experiment"): row["experiment"].replace("_", " "),
        N_("Factor"): " × ".join(map(field_label, row["factor"].split(" × "))),
        N_("Levels"): str(row["n_levels"]),
        N_("n"): str(row["n_blocks"]),
        N_("Slope (pp)"): points(row["slope"]),
        N_("95 % CI"): interval(row["ci_low"], row["ci_high"], points),
        N_("Per"): "" if missing(row["slope_per"]) else _(PER[row["slope_per"]]),
        N_("p"): p_value(row["p_value"]),
    }


def _factorials(row: Mapping[str, Any], plan: Plan) -> dict[str, str]:
    return {
        N_("Dataset"): row["dataset"],
        N_("Experiment"): row["experiment"].replace("_", " "),
        N_("Effect"): field_label(row["effect"]),
        N_("n"): str(row["n_blocks"]),
        N_("Degrees of freedom"): MISSING if missing(row["df"]) else f"{row['df']:.0f}, {row['df_residual']:.0f}",
        N_("F"): fixed(row["f_statistic"], 2),
        N_("p"): p_value(row["p_value"]),
        N_("Contrast (pp)"): points(row["contrast"]),
        N_("95 % CI"): interval(row["ci_low"], row["ci_high"], points),
    }


def _per_class(row: Mapping[str, Any], plan: Plan) -> dict[str, str]:
    return {
        N_("Dataset"): row["dataset"],
        N_("Variant"): plan.variants[row["variant"]].label,
        N_("Class"): str(row["class"]),
        N_("Images"): fixed(row["support"], 0),
        N_("Precision (%)"): percent(row["precision"]),
        N_("Recall (%)"): with_sd(row["recall"], row["recall_sd"]),
        N_("F1 (%)"): percent(row["f1"]),
    }


def _form(measured: Measure) -> Callable[[Any], str]:
    """How values of a probe's measure are printed: shares in percent, others with four decimals."""
    return percent if measured.is_share else lambda value: fixed(value, 4)


def _probe_curves(row: Mapping[str, Any], plan: Plan) -> dict[str, str]:
    measured = measure_of(row["probe"], row["measure"])
    form, has_level = _form(measured), not missing(row["level"]) and row["level"]
    return {
        N_("Dataset"): row["dataset"],
        N_("Probe"): _(probes.settings(row["probe"]).label),
        N_("Variant"): plan.variants[row["variant"]].label,
        N_("Measure"): _(measured.label) + (", %" if measured.is_share else ""),
        N_("Level"): probes.level_label(row["probe"], row["order"]) if has_level else "",
        N_("n"): str(row["n_seeds"]),
        N_("Mean"): with_sd(row["mean"], row["sd"], form),
        N_("95 % CI"): interval(row["ci_low"], row["ci_high"], form),
    }


def _probe_contrasts(row: Mapping[str, Any], plan: Plan) -> dict[str, str]:
    return {
        N_("Dataset"): row["dataset"],
        N_("Probe"): _(probes.settings(row["probe"]).label),
        N_("Measure"): _contrast(row, plan),
        N_("Variant"): plan.variants[row["variant"]].label,
        N_("Reference"): plan.variants[row["reference"]].label if row["reference"] else "",
        N_("n"): str(row["n_seeds"]),
        N_("Diff. (pp)"): points(row["difference"]),
        N_("95 % CI"): interval(row["ci_low"], row["ci_high"], points),
    }


# ---------------------------------------------------------------------------------------------------------------------
# Numbers


@dataclass(frozen=True)
class Number:
    """A number with the parts of its macro's name.

    Attributes:
        kind: what it is of: ``TestAccuracy``, ``Difference``.
        subject: names that tell it from others of its kind: variant, or question and variant.
        measure: ``Mean``, ``Low``; empty where the kind says it all.
        text: the value as it is printed, Unicode.
        source: where its full precision stands.
        dataset: empty for what is of the study.
    """

    kind: str
    subject: tuple[str, ...]
    measure: str
    text: str
    source: str
    dataset: str = ""


DIGITS = ("Zero", "One", "Two", "Three", "Four", "Five", "Six", "Seven", "Eight", "Nine")

HEAD = r"""% The numbers of the study {study}, one macro each, rounded for print: \input{{numbers.tex}} in the preamble.
%
% Names: \convlab, what it is, of what, which measure of it:  \convlabTestAccuracyCnnMean,
%   \convlabDifferenceKernelCnnLarge, the same with Low, High, P, Verdict ...
% TeX's names have letters only: kernel_size-5x5 is KernelSizeFivexFive.{datasets}
% Names that would read the same all get letters from a checksum, so that no macro changes its meaning unseen.
% Accuracies are in %, differences of accuracy in percentage points (claims say their unit); Low and High are limits
% of 95 % intervals; an en dash stands for what this study cannot give, e.g. an interval below three seeds.
% P is adjusted within its experiment, PAdjusted and PEquivalence over the study; P of trends and effects is
% exploratory, adjusted for nothing, as are the intervals of probes. Two studies in one document: rename the macros of
% one, e.g. sed 's/\\convlab/\\second/' numbers.tex > second.tex
"""


def numbers_tex(
    tables: Tables,
    study: Study,
    test_images: Mapping[str, int],
    chosen: Mapping[str, str | None],
    guesses: Mapping[str, claims.ConstantGuess | None],
) -> str:
    """The file ``numbers.tex``: a ``\\newcommand`` for every number of the study but those of single runs and classes.

    Args:
        test_images: how many each dataset has.
        chosen: the variant chosen on each dataset.
        guesses: the constant guess of each dataset.
    """
    found = list(numbers(tables, study, test_images, chosen, guesses))
    several = len(study.datasets) > 1
    lines = [
        f"\\newcommand{{\\{name}}}{{{tex_value(number.text)}}} % {number.source}\n"
        for name, number in macro_names(found, several).items()
    ]
    datasets = "\n% Macros of one dataset end in On and its name." if several else ""
    return HEAD.format(study=study.study, datasets=datasets) + "".join(lines)


def numbers(
    tables: Tables,
    study: Study,
    test_images: Mapping[str, int],
    chosen: Mapping[str, str | None],
    guesses: Mapping[str, claims.ConstantGuess | None],
) -> Iterator[Number]:
    """Every number that a text may cite, in the order of the tables."""
    plan = study.plan
    compared = len(plan.compared)
    yield Number("Study", (), "", study.study, "the config")
    yield Number("Seeds", (), "", str(len(study.seeds)), "the config")
    yield Number("Variants", (), "", str(compared), "the config; those that only a probe trains are left out")
    yield Number("Runs", (), "", fixed(len(tables["runs"]), 0), "runs.csv")
    yield Number("Rope", (), "", i18n.number(100 * study.statistics.rope, "g"), "the config: statistics.rope, pp")
    for dataset in study.datasets:
        label = MISSING if chosen[dataset] is None else plan.variants[chosen[dataset]].label
        yield Number("TestImages", (), "", fixed(test_images[dataset], 0), "summary.json", dataset)
        guess = guesses.get(dataset)
        share = MISSING if guess is None else percent(float(guess.share))
        yield Number("ConstantGuess", (), "", share, "prepare's manifest: most frequent class, test images", dataset)
        yield Number("Chosen", (), "", label, "summary.json: best on validation data", dataset)
    for row in tables["variants"].to_dict("records"):
        yield from _of_variant(row)
    for row in tables["comparisons"].to_dict("records"):
        yield from _of_comparison(row)
    for row in tables["claims"].to_dict("records"):
        yield from _of_claim(row, plan)
    for row in tables["trends"].to_dict("records"):
        values = {"Slope": points(row["slope"]), "Low": points(row["ci_low"]), "High": points(row["ci_high"])}
        yield from _of(row, "trends", "Trend", (row["experiment"],), values | {"P": _p(row["p_value"])})
    for row in tables["factorials"].to_dict("records"):
        values = {
            "F": fixed(row["f_statistic"], 2),
            "Df": fixed(row["df"], 0),
            "DfResidual": fixed(row["df_residual"], 0),
        }
        values |= {"P": _p(row["p_value"]), "Contrast": points(row["contrast"])}
        values |= {"Low": points(row["ci_low"]), "High": points(row["ci_high"])}
        yield from _of(row, "factorials", "Effect", (row["experiment"], row["effect"]), values)
    for row in tables["probe_curves"].to_dict("records"):
        form = _form(measure_of(row["probe"], row["measure"]))
        subject = (row["probe"], row["measure"], str(row["level"]), row["variant"])
        names = {"Mean": "mean", "Sd": "sd", "Low": "ci_low", "High": "ci_high"}
        values = {name: form(row[column]) for name, column in names.items()}
        yield from _of(row, "probe_curves", "Curve", subject, values)
    for row in tables["probe_contrasts"].to_dict("records"):
        subject = (row["probe"], row["measure"], row["variant"], *([row["reference"]] if row["reference"] else []))
        values = {"": points(row["difference"]), "Low": points(row["ci_low"]), "High": points(row["ci_high"])}
        yield from _of(row, "probe_contrasts", "Probe", subject, values)


def _of(
    row: Mapping[str, Any], table: str, kind: str, subject: tuple[str, ...], values: Mapping[str, str]
) -> Iterator[Number]:
    """The numbers of one row, by measure."""
    source = f"{table}.csv, {', '.join((row['dataset'], *subject))}"
    for measure, text in values.items():
        yield Number(kind, subject, measure, text, source, row["dataset"])


def _of_variant(row: Mapping[str, Any]) -> Iterator[Number]:
    kinds = {
        "TestAccuracy": {
            "Mean": percent(row["test_accuracy_mean"]),
            "Sd": percent(row["test_accuracy_sd"]),
            "Se": percent(row["test_accuracy_se"]),
            "Low": percent(row["test_accuracy_ci_low"]),
            "High": percent(row["test_accuracy_ci_high"]),
        },
        "ValidationAccuracy": {"Mean": percent(row["val_accuracy_mean"])},
        "TestLoss": {"Mean": fixed(row["test_loss_mean"], 4), "Sd": fixed(row["test_loss_sd"], 4)},
        "Brier": {"Mean": fixed(row["brier_mean"], 4)},
        "Ece": {"Mean": fixed(row["ece_mean"], 4)},
        "BalancedAccuracy": {"Mean": percent(row["balanced_accuracy_mean"])},
        "MacroFOne": {"Mean": percent(row["macro_f1_mean"])},
        "Seeds": {"": str(row["n_seeds"])},
        "Diverged": {"": str(row["n_diverged"])},
        "Parameters": {"": fixed(row["parameters"], 0)},
        "Macs": {"": fixed(row["macs"], 0)},
        "ReceptiveField": {"": fixed(row["receptive_field"], 0)},
        "SecondsPerEpoch": {"": fixed(row["seconds_per_epoch"], 2)},
        "LatencyMs": {"": fixed(row["latency_ms"], 2)},
    }
    for kind, values in kinds.items():
        yield from _of(row, "variants", kind, (row["variant"],), values)


def _of_comparison(row: Mapping[str, Any]) -> Iterator[Number]:
    values = {
        "": points(row["difference"]),
        "Low": points(row["ci_low"]),
        "High": points(row["ci_high"]),
        "P": _p(row["p_value"]),
        "PAdjusted": _p(row["p_adjusted"]),
        "PEquivalence": _p(row["p_equivalence_adjusted"]),
        "Verdict": _verdict(row),
        "Seeds": str(row["n_seeds"]),
        "Detectable": fixed(row["detectable"], 2, 100),
        "SeedsToSettle": fixed(row["seeds_to_settle"], 0),
        "NewImagesLow": points(row["new_images_ci_low"]),
        "NewImagesHigh": points(row["new_images_ci_high"]),
    }
    yield from _of(row, "comparisons", "Difference", (row["experiment"], row["variant"]), values)


def _of_claim(row: Mapping[str, Any], plan: Plan) -> Iterator[Number]:
    unit = "" if missing(row["unit"]) else row["unit"]
    values = {
        "Published": published_text(plan.claims[row["claim"]].published, unit),
        "Measured": measured_text(row["measured"], unit),
        "Low": measured_text(row["ci_low"], unit),
        "High": measured_text(row["ci_high"], unit),
        "P": _p(row["p_value"]),
        "PAdjusted": _p(row["p_adjusted"]),
        "Verdict": _(VERDICTS[row["verdict"]]),
    }
    yield from _of(row, "claims", "Claim", (row["claim"],), values)


def _p(value: float | None) -> str:
    """With its relation, ``p < .001``, so that no sentence can get it wrong."""
    return MISSING if missing(value) else format_p(value)


def macro_names(found: Iterable[Number], several: bool) -> dict[str, Number]:
    """Each number by the name of its macro, without the backslash: letters only, and no two alike.

    Where names read the same (``a-b`` and ``a_b``) none of them is given: all numbers of those subjects get letters
    from a checksum of the exact names. ``several``: name the dataset.
    """

    def name(number: Number, suffix: str = "") -> str:
        place = f"On{letters(number.dataset)}" if several and number.dataset else ""
        subject = "".join(letters(part) for part in number.subject)
        return f"convlab{number.kind}{subject}{suffix}{number.measure}{place}"

    found = list(found)
    owners = defaultdict(set)
    for number in found:
        owners[name(number)].add((number.subject, number.dataset))
    alike = set().union(*(subjects for subjects in owners.values() if len(subjects) > 1))
    return {
        name(number, _checksum(number) if (number.subject, number.dataset) in alike else ""): number for number in found
    }


def letters(text: str) -> str:
    """``kernel_size-5x5`` as ``KernelSizeFivexFive``: letters of ASCII, digits in words, each word with a capital."""
    plain = unicodedata.normalize("NFKD", text).encode("ascii", "ignore").decode()
    words = re.findall(r"[A-Za-z0-9]+", plain)
    spelled = (re.sub(r"\d", lambda digit: DIGITS[int(digit[0])], word) for word in words)
    return "".join(word[0].upper() + word[1:] for word in spelled)


def _checksum(number: Number) -> str:
    """Five letters that stand for the exact names."""
    digest = hashlib.sha256("\0".join((number.dataset, *number.subject)).encode()).digest()
    return "X" + "".join(chr(ord("a") + byte % 26) for byte in digest[:5])


def tex_value(text: str) -> str:
    """A printed value in TeX, right in a sentence and in mathematics."""
    if re.fullmatch(r"[+−]?\d[\d,.]*", text):
        return f"\\ensuremath{{{text.replace('−', '-').replace(',', '{,}')}}}"
    if re.fullmatch(r"p [<>=] [\d,.]+", text):
        return f"\\ensuremath{{{text.replace(',', '{,}')}}}"
    return escaped(text)
