"""The table at the top of the interpretation: of each finding what came out, how surely, and where its numbers are."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal

import pandas as pd

from convlab.common.i18n import gettext as _
from convlab.common.i18n import ngettext
from convlab.findings.contrasts import metric_of, verdict_or_gap, verdict_text
from convlab.findings.dense_vs_conv import duels
from convlab.findings.registration import exploratory
from convlab.findings.study_results import StudyResults, Topic
from convlab.language import numbers as say
from convlab.language.contrasts import contrast_labels
from convlab.page.views import FindingsRow, Link, ProbeView, ShortResult
from convlab.probes.curves import contrast_label, contrast_unit
from convlab.probes.sentences import level_labels

MAX_SHORT_RESULTS = 4
"""Comparisons in a row of the table; the others are counted."""

Basis = Literal["registered", "exploratory", "described", "assumed"]
"""How surely: tested as registered before any run; an interval that is not adjusted; measured and not tested; not
measured by this study."""


def findings_table(
    results: StudyResults,
    dataset: str,
    topics: Sequence[Topic],
    probes: Sequence[ProbeView],
    probed: Mapping[str, pd.DataFrame],
) -> list[FindingsRow]:
    """A row for each topic of a dataset's interpretation and for each probe, in reading order.

    Args:
        probed: what probes measured: ``curves`` and ``contrasts`` as in compare's tables.
    """
    rows = []
    for topic in topics:
        if topic.name == "assumptions":
            rows += [_probe(results, dataset, probe, probed) for probe in probes if probe.findings]
        rows.append(SUMMARIES.get(topic.name, _first_finding)(results, dataset, topic))
    return [row for row in rows if row]


def topic_anchor(dataset: str, topic: Topic) -> str:
    """The id of a topic's article on the page."""
    return "-".join(filter(None, ("finding", dataset, topic.name, topic.question)))


def _row(dataset: str, topic: Topic, basis: Basis, results: Sequence[ShortResult], *numbers: Link) -> FindingsRow:
    """A row about a topic; ``numbers`` lead to what holds its numbers."""
    return FindingsRow(topic_anchor(dataset, topic), topic.name, topic.question, "", basis, results, numbers)


def _first_finding(results: StudyResults, dataset: str, topic: Topic) -> FindingsRow:
    """A topic that has no verdict and no number to quote: its first finding as it is."""
    kinds: Mapping[str, Basis] = {"exploratory": "exploratory", "assumed": "assumed", "conjecture": "assumed"}
    first = topic.findings[0]
    numbers = Link(topic_anchor(dataset, topic), "interpretation")
    return _row(dataset, topic, kinds.get(first.kind, "described"), [ShortResult(first.text)], numbers)


# ---------------------------------------------------------------------------------------------------------------------
# Comparisons


def _contrasts(rows: Sequence[Mapping[str, Any]], names: Callable[[Mapping[str, Any]], tuple[str, str]]) -> list:
    """Each comparison with its verdict, difference and interval, the settled ones first; those beyond
    ``MAX_SHORT_RESULTS`` counted."""
    settled = sorted(rows, key=lambda row: verdict_or_gap(row) not in ("better", "worse", "equivalent"))
    short = [_contrast(row, *names(row)) for row in settled[:MAX_SHORT_RESULTS]]
    if more := len(rows) - len(short):
        short.append(ShortResult(ngettext("{n} more comparison", "{n} more comparisons", more)))
    return short


def _contrast(row: Mapping[str, Any], variant: str, reference: str) -> ShortResult:
    """A comparison in a few words: ``5×5 − 3×3: +1.31 pp (−2.96 to +5.59)``."""
    verdict, metric = verdict_or_gap(row), metric_of(row)
    difference = say.change(row["difference"], metric)
    if not say.missing(row["ci_low"]):
        difference = f"{difference} ({say.change_interval(row['ci_low'], row['ci_high'], metric)})"
    text = _("{variant} − {reference}: {difference}", variant=variant, reference=reference, difference=difference)
    return ShortResult(text, verdict, verdict_text(row))


def _question_link(name: str) -> Link:
    return Link(f"question-{name}", label=name.replace("_", " "))


def _basis(rows: Sequence[Mapping[str, Any]]) -> Basis:
    """How surely comparisons are answered; without a verdict, as with two seeds, nothing was tested."""
    tested = [row for row in rows if verdict_or_gap(row) not in ("smoke", "missing")]
    if not tested:
        return "described"
    return "exploratory" if any(map(exploratory, tested)) else "registered"


def _baseline(results: StudyResults, dataset: str, topic: Topic) -> FindingsRow:
    """Every comparison of a convolutional with a dense variant, convolutional minus dense."""
    rows = [duel.row for duel in duels(results, dataset)]
    if not rows:
        return _row(
            dataset, topic, "described", [ShortResult(topic.findings[0].text)], Link(f"main-{dataset}", "variants")
        )
    questions = [_question_link(name) for name in dict.fromkeys(row["experiment"] for row in rows)]

    def names(row: Mapping[str, Any]) -> tuple[str, str]:
        return results.label(row["variant"]), results.label(row["reference"])

    return _row(dataset, topic, _basis(rows), _contrasts(rows, names), *questions)


def _factor(results: StudyResults, dataset: str, topic: Topic) -> FindingsRow:
    """Every level of a factor against the reference."""
    question, rows = results.plan.questions[topic.question], results.contrasts(dataset, topic.question)

    def names(row: Mapping[str, Any]) -> tuple[str, str]:
        return contrast_labels(results.plan, question, row["variant"])

    return _row(dataset, topic, _basis(rows), _contrasts(rows, names), _question_link(question.name))


def _limits(results: StudyResults, dataset: str, topic: Topic) -> FindingsRow:
    """What convolution costs beside a dense network; without such a comparison what is assumed."""
    costs = [
        ShortResult(
            _(
                "{conv} needs {ratio} the MACs of {dense}",
                conv=results.label(duel.conv),
                dense=results.label(duel.dense),
                ratio=say.multiple(finding.numbers["macs_ratio"]),
            )
        )
        for duel, finding in zip(duels(results, dataset), topic.findings, strict=False)
    ]
    if not costs:
        return _row(dataset, topic, "assumed", [ShortResult(topic.findings[-1].text)], Link("design", "design"))
    return _row(dataset, topic, "described", costs[:MAX_SHORT_RESULTS], Link(f"main-{dataset}", "variants"))


# ---------------------------------------------------------------------------------------------------------------------
# Measures of the chosen variant, which comes first among a topic's findings


def _noise(results: StudyResults, dataset: str, topic: Topic) -> FindingsRow:
    """Scatter over seeds beside the range of the means."""
    numbers, metric = topic.findings[0].numbers, results.plan.metric
    if "range" not in numbers:
        return _row(
            dataset, topic, "described", [ShortResult(topic.findings[0].text)], Link(f"main-{dataset}", "variants")
        )
    text = _(
        "SD over seeds {sd}; from the lowest to the highest mean {range}",
        sd=say.spread(numbers["sd"], metric),
        range=say.spread(numbers["range"], metric),
    )
    return _row(dataset, topic, "described", [ShortResult(text)], Link(f"main-{dataset}", "variants"))


def _first_label(results: StudyResults, dataset: str, table: pd.DataFrame) -> str:
    """Label of the variant that a topic's first finding is about; ``table`` is what its findings are made of."""
    known = set(table.loc[table["dataset"] == dataset, "variant"])
    return results.label(next(name for name in results.variants_with_details(dataset) if name in known))


def _fit(results: StudyResults, dataset: str, topic: Topic) -> FindingsRow:
    """Gap between training and validation accuracy, or validation accuracy where training is on blended images."""
    numbers, label = topic.findings[0].numbers, _first_label(results, dataset, results.fits)
    if "gap" in numbers:
        text = _("{label}: training − validation accuracy {gap}", label=label, gap=say.points(numbers["gap"]))
    else:
        accuracy = say.percent(numbers["validation"])
        text = _("{label}: validation accuracy {accuracy}", label=label, accuracy=accuracy)
    return _row(dataset, topic, "described", [ShortResult(text)], Link(f"fits-{dataset}", "curves"))


def _errors(results: StudyResults, dataset: str, topic: Topic) -> FindingsRow:
    """Share of wrong predictions, and the lowest recall of a class."""
    numbers, label = topic.findings[0].numbers, results.label(results.variants_with_details(dataset)[0])
    share = say.percent(numbers["wrong"] / numbers["total"])
    text = _("{label}: {share} of the predictions are wrong", label=label, share=share)
    if "recall" in numbers:
        text = _("{text}; lowest recall of a class {recall}", text=text, recall=say.percent(numbers["recall"], 1))
    return _row(dataset, topic, "described", [ShortResult(text)], Link(f"errors-{dataset}", "errors"))


def _calibration(results: StudyResults, dataset: str, topic: Topic) -> FindingsRow:
    """Confidence minus accuracy, and the calibration error."""
    numbers, label = topic.findings[0].numbers, _first_label(results, dataset, results.confidence)
    text = _(
        "{label}: confidence − accuracy {excess}, ECE {ece}",
        label=label,
        excess=say.points(numbers["confidence"] - numbers["accuracy"]),
        ece=say.number(numbers["ece"]),
    )
    return _row(dataset, topic, "described", [ShortResult(text)], Link(f"calibration-{dataset}", "calibration"))


def _feature_maps(results: StudyResults, dataset: str, topic: Topic) -> FindingsRow:
    """What changes in each convolution, and by how many intervals that is said."""
    shown = [ShortResult(finding.text) for finding in topic.findings]
    basis: Basis = "exploratory" if any(finding.kind == "exploratory" for finding in topic.findings) else "described"
    return _row(dataset, topic, basis, shown, Link(f"features-{dataset}-{topic.question}", "features"))


# ---------------------------------------------------------------------------------------------------------------------
# Probes and assumptions


def _probe(results: StudyResults, dataset: str, probe: ProbeView, probed: Mapping[str, pd.DataFrame]) -> FindingsRow:
    """A probe's differences with their intervals; of one that compares nothing its first finding, others counted."""
    anchor = f"probe-{dataset}-{probe.name}"
    curves, contrasts = (
        table[(table["probe"] == probe.name) & (table["dataset"] == dataset)]
        for table in (probed["curves"], probed["contrasts"])
    )
    levels, rows = level_labels(curves), contrasts[contrasts["difference"].notna()].to_dict("records")
    rows.sort(key=lambda row: "," in row["measure"])  # what is about all levels first
    short = [_probe_contrast(results, row, levels) for row in rows[:MAX_SHORT_RESULTS]]
    if more := len(rows) - len(short):
        short.append(ShortResult(ngettext("{n} more comparison", "{n} more comparisons", more)))
    intervals = any(not say.missing(row["ci_low"]) for row in rows)
    if not short:
        first, *others = probe.findings
        short, intervals = [ShortResult(first.text)], first.kind == "exploratory"
        if others:
            short.append(ShortResult(ngettext("{n} more finding", "{n} more findings", len(others))))
    basis: Basis = "exploratory" if intervals else "described"
    return FindingsRow(anchor, "", None, probe.title, basis, short, [Link(anchor, "probes")])


def _probe_contrast(results: StudyResults, row: Mapping[str, Any], levels: Mapping[str, str]) -> ShortResult:
    """A probe's difference: ``CNN − Dense, consistency: +3.95 pp (−1.13 to +9.02)``; ``levels`` are their labels."""
    name, _comma, level = row["measure"].partition(", ")
    label = ", ".join(filter(None, (_(contrast_label(row["probe"], name)), levels.get(level, level))))
    sides = [results.label(row[side]) for side in ("variant", "reference") if not say.missing(row[side])]
    unit = contrast_unit(row["probe"], row["measure"])
    difference = say.difference(row["difference"], unit)
    if not say.missing(row["ci_low"]):
        difference = f"{difference} ({say.difference_interval(row['ci_low'], row['ci_high'], unit)})"
    return ShortResult(f"{' − '.join(sides)}, {label}: {difference}")


def _assumptions(results: StudyResults, dataset: str, topic: Topic) -> FindingsRow | None:
    """How many assumptions of convolution no probe of this study tests; None if each is tested."""
    n = sum(finding.kind == "assumed" for finding in topic.findings)
    if not n:
        return None
    text = ngettext("{n} assumption is not measured by this study", "{n} assumptions are not measured by this study", n)
    return _row(dataset, topic, "assumed", [ShortResult(text)], Link("design", "design"))


SUMMARIES: Mapping[str, Callable[[StudyResults, str, Topic], FindingsRow | None]] = {
    "baseline": _baseline,
    "factor": _factor,
    "feature_maps": _feature_maps,
    "noise": _noise,
    "fit": _fit,
    "errors": _errors,
    "calibration": _calibration,
    "assumptions": _assumptions,
    "limits_of_convolution": _limits,
}
"""The row of each topic; one that is not named here is summarised by its first finding."""
