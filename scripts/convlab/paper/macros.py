"""``numbers.tex``: a TeX macro for every number that a text may cite."""

import hashlib
import re
import unicodedata
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from convlab.common import i18n
from convlab.common.i18n import gettext as _
from convlab.common.table_files import escaped
from convlab.language.numbers import MISSING, count, format_p, missing, number
from convlab.paper.cells import (
    change,
    claim_unit,
    claim_verdict,
    comparison_verdict,
    difference,
    level,
    measured_text,
    new_images_verdict,
    percent,
    points,
    published_text,
)
from convlab.paper.printed import Tables
from convlab.probes.curves import contrast_unit, measure_of
from convlab.statistics.claims import ConstantGuess
from convlab.study.metrics import AUROC, BALANCED_ACCURACY, LOSS, MACRO_F1, Metric
from convlab.study.schema import Study
from convlab.study.variants import Plan


@dataclass(frozen=True)
class Number:
    """A number with the parts of its macro's name.

    Attributes:
        kind: the quantity: ``TestAccuracy``, ``Difference``.
        subject: names that tell it from others of its kind: variant, or question and variant.
        measure: ``Mean``, ``Low``; empty if the kind is unambiguous.
        text: the value as it is printed, Unicode.
        source: table and column that hold it in full precision.
        dataset: empty for numbers of the whole study.
    """

    kind: str
    subject: tuple[str, ...]
    measure: str
    text: str
    source: str
    dataset: str = ""


EXPLORATORY = ("trends", "factorials", "probe_contrasts")
"""Tables whose p values and intervals are outside of the study's family."""

DIGITS = ("Zero", "One", "Two", "Three", "Four", "Five", "Six", "Seven", "Eight", "Nine")

HEAD = r"""% The numbers of the study {study}, one macro each, rounded for print: \input{{numbers.tex}} in the preamble.
%
% Names: \convlab, what it is, of what, which measure of it:  \convlabTestAccuracyCnnMean,
%   \convlabDifferenceKernelCnnLarge, the same with Low, High, P, Verdict ...
% TeX's names have letters only: kernel_size-5x5 is KernelSizeFivexFive.{datasets}
% Names that would read the same all get letters from a checksum, so that no macro changes its meaning unseen.
% Shares (accuracies, F1, AUROC) are in %, their differences in percentage points, losses in nats (claims say their
% unit). Difference, Trend, Effect and Rope are in the unit of \convlabMetric. Low and High are limits of 95 %
% intervals; an en dash stands for what this study cannot give, e.g. an interval below three seeds.
% P is adjusted within its experiment, PAdjusted and PEquivalence over the study; ExploratoryP (trends, effects of two
% factors) is adjusted for nothing, as are the intervals of these and of probes. Two studies in one document: rename the
% macros of one, e.g. sed 's/\\convlab/\\second/' numbers.tex > second.tex
"""


def numbers_tex(
    tables: Tables,
    study: Study,
    test_images: Mapping[str, int],
    chosen: Mapping[str, str | None],
    guesses: Mapping[str, ConstantGuess | None],
) -> str:
    """The file ``numbers.tex``: a ``\\newcommand`` for every number of the study but those of single runs, classes and
    convolutions.

    Args:
        test_images: how many each dataset has.
        chosen: the variant chosen on each dataset.
        guesses: the constant guess of each dataset.
    """
    several = len(study.datasets) > 1
    by_macro = macro_names(list(numbers(tables, study, test_images, chosen, guesses)), several)
    lines = [
        f"\\newcommand{{\\{name}}}{{{tex_value(value.text)}}} % {value.source}\n" for name, value in by_macro.items()
    ]
    datasets = "\n% Macros of one dataset end in On and its name." if several else ""
    return HEAD.format(study=study.study, datasets=datasets) + "".join(lines)


def numbers(
    tables: Tables,
    study: Study,
    test_images: Mapping[str, int],
    chosen: Mapping[str, str | None],
    guesses: Mapping[str, ConstantGuess | None],
) -> Iterator[Number]:
    """Every number that a text may cite, in the order of the tables."""
    plan = study.plan
    compared = len(plan.compared)
    yield Number("Study", (), "", study.study, "the config")
    fewest, *more = study.seed_counts
    yield Number("Seeds", (), "", f"{fewest}–{more[-1]}" if more else str(fewest), "the config, and its looks so far")
    yield Number("Variants", (), "", str(compared), "the config; those that only a probe trains are left out")
    yield Number("Runs", (), "", count(len(tables["runs"])), "runs.csv")
    metric, rope = plan.metric, study.statistics.rope
    rope_text = i18n.number(100 * rope if metric.is_share else rope, "g")
    yield Number("Rope", (), "", rope_text, f"the config: statistics.rope, {metric.difference_unit}")
    yield Number("Metric", (), "", _(metric.name), "the config: statistics.metric")
    for dataset in study.datasets:
        label = MISSING if chosen[dataset] is None else plan.variants[chosen[dataset]].label
        yield Number("TestImages", (), "", count(test_images[dataset]), "summary.json", dataset)
        guess = guesses.get(dataset)
        share = MISSING if guess is None else percent(float(guess.share))
        yield Number("ConstantGuess", (), "", share, "prepare's manifest: most frequent class, test images", dataset)
        yield Number("Chosen", (), "", label, "summary.json: best on validation data", dataset)
    for row in tables["variants"].to_dict("records"):
        yield from _of_variant(row)
    for row in tables["comparisons"].to_dict("records"):
        yield from _of_comparison(row, metric)
    for row in tables["claims"].to_dict("records"):
        yield from _of_claim(row, plan)
    for row in tables["trends"].to_dict("records"):
        names = {"Slope": "slope", "Low": "ci_low", "High": "ci_high"}
        values = {name: change(row[column], metric) for name, column in names.items()}
        yield from _of(row, "trends", "Trend", (row["experiment"],), values | {"ExploratoryP": _p(row["p_value"])})
    for row in tables["factorials"].to_dict("records"):
        values = {
            "F": number(row["f_statistic"], 2),
            "Df": count(row["df"]),
            "DfResidual": count(row["df_residual"]),
        }
        names = {"Contrast": "contrast", "Low": "ci_low", "High": "ci_high"}
        values |= {"ExploratoryP": _p(row["p_value"])} | {
            name: change(row[column], metric) for name, column in names.items()
        }
        yield from _of(row, "factorials", "Effect", (row["experiment"], row["effect"]), values)
    for row in tables["probe_curves"].to_dict("records"):
        form = percent if measure_of(row["probe"], row["measure"]).is_share else number
        subject = (row["probe"], row["measure"], str(row["level"]), row["variant"])
        names = {"Mean": "mean", "Sd": "sd", "Low": "ci_low", "High": "ci_high"}
        values = {name: form(row[column]) for name, column in names.items()}
        yield from _of(row, "probe_curves", "Curve", subject, values)
    for row in tables["probe_contrasts"].to_dict("records"):
        subject = (row["probe"], row["measure"], row["variant"], *([row["reference"]] if row["reference"] else []))
        names, unit = (
            {"": "difference", "Low": "ci_low", "High": "ci_high"},
            contrast_unit(row["probe"], row["measure"]),
        )
        values = {name: difference(row[column], unit) for name, column in names.items()}
        yield from _of(row, "probe_contrasts", "Probe", subject, values)


def _of(
    row: Mapping[str, Any], table: str, kind: str, subject: tuple[str, ...], values: Mapping[str, str]
) -> Iterator[Number]:
    """The numbers of one row, by measure."""
    exploratory = ("exploratory",) if table in EXPLORATORY else ()
    source = f"{table}.csv, {', '.join((row['dataset'], *subject, *exploratory))}"
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
        "Brier": {"Mean": number(row["brier_mean"], 4)},
        "Ece": {"Mean": number(row["ece_mean"], 4)},
        "Seeds": {"": str(row["n_seeds"])},
        "Diverged": {"": str(row["n_diverged"])},
        "Parameters": {"": count(row["parameters"])},
        "Macs": {"": count(row["macs"])},
        "ReceptiveField": {"": count(row["receptive_field"])},
        "SecondsPerEpoch": {"": number(row["seconds_per_epoch"], 2)},
        "LatencyMs": {"": number(row["latency_ms"], 2)},
    }
    parts = {"Mean": "mean", "Sd": "sd", "Low": "ci_low", "High": "ci_high"}
    others = {"TestLoss": LOSS, "BalancedAccuracy": BALANCED_ACCURACY, "MacroFOne": MACRO_F1, "Auroc": AUROC}
    for kind, metric in others.items():
        kinds[kind] = {name: level(row[f"{metric.column}_{part}"], metric) for name, part in parts.items()}
    for kind, values in kinds.items():
        yield from _of(row, "variants", kind, (row["variant"],), values)


def _of_comparison(row: Mapping[str, Any], metric: Metric) -> Iterator[Number]:
    values = {
        "": change(row["difference"], metric),
        "Low": change(row["ci_low"], metric),
        "High": change(row["ci_high"], metric),
        "P": _p(row["p_value"]),
        "PAdjusted": _p(row["p_adjusted"]),
        "PEquivalence": _p(row["p_equivalence_adjusted"]),
        "Verdict": comparison_verdict(row),
        "Seeds": str(row["n_seeds"]),
        "Detectable": level(row["detectable"], metric),
        "SeedsToSettle": count(row["seeds_to_settle"]),
        "NewImagesLow": points(row["new_images_ci_low"]),
        "NewImagesHigh": points(row["new_images_ci_high"]),
        "NewImagesPAdjusted": _p(row["new_images_p_adjusted"]),
        "NewImagesVerdict": new_images_verdict(row),
    }
    yield from _of(row, "comparisons", "Difference", (row["experiment"], row["variant"]), values)


def _of_claim(row: Mapping[str, Any], plan: Plan) -> Iterator[Number]:
    unit = claim_unit(row)
    values = {
        "Published": published_text(plan.claims[row["claim"]].published, unit),
        "Measured": measured_text(row["measured"], unit),
        "Low": measured_text(row["ci_low"], unit),
        "High": measured_text(row["ci_high"], unit),
        "P": _p(row["p_value"]),
        "PAdjusted": _p(row["p_adjusted"]),
        "Verdict": claim_verdict(row),
    }
    yield from _of(row, "claims", "Claim", (row["claim"],), values)


def _p(value: float | None) -> str:
    """A p value with its relation, ``p < .001``, so that a sentence cannot get it wrong."""
    return MISSING if missing(value) else format_p(value)


def macro_names(values: Sequence[Number], several: bool) -> dict[str, Number]:
    """Each number by the name of its macro, without the backslash: letters only, and no two alike.

    Where names read the same (``a-b`` and ``a_b``) none of them is given: all numbers of those subjects get letters
    from a checksum of the exact names. ``several``: name the dataset.
    """

    def name(value: Number, suffix: str = "") -> str:
        suffix_of_dataset = f"On{letters(value.dataset)}" if several and value.dataset else ""
        subject = "".join(letters(part) for part in value.subject)
        return f"convlab{value.kind}{subject}{suffix}{value.measure}{suffix_of_dataset}"

    owners = defaultdict(set)
    for value in values:
        owners[name(value)].add((value.subject, value.dataset))
    alike = set().union(*(subjects for subjects in owners.values() if len(subjects) > 1))
    return {name(value, _checksum(value) if (value.subject, value.dataset) in alike else ""): value for value in values}


def letters(text: str) -> str:
    """``kernel_size-5x5`` as ``KernelSizeFivexFive``: letters of ASCII, digits in words, each word with a capital."""
    plain = unicodedata.normalize("NFKD", text).encode("ascii", "ignore").decode()
    words = re.findall(r"[A-Za-z0-9]+", plain)
    spelled = (re.sub(r"\d", lambda digit: DIGITS[int(digit[0])], word) for word in words)
    return "".join(word[0].upper() + word[1:] for word in spelled)


def _checksum(number: Number) -> str:
    """Five letters from a checksum of the exact names."""
    digest = hashlib.sha256("\0".join((number.dataset, *number.subject)).encode()).digest()
    return "X" + "".join(chr(ord("a") + byte % 26) for byte in digest[:5])


def tex_value(text: str) -> str:
    """A printed value in TeX, right in a sentence and in mathematics."""
    if re.fullmatch(r"[+−]?\d[\d,.]*", text):
        return f"\\ensuremath{{{text.replace('−', '-').replace(',', '{,}')}}}"
    if re.fullmatch(r"p [<>=] [\d,.]+", text):
        return f"\\ensuremath{{{text.replace(',', '{,}')}}}"
    return escaped(text)
