"""Assumptions of convolution, and data that they would not fit."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace

from convlab.common.i18n import N_, listing
from convlab.common.i18n import gettext as _
from convlab.findings.dense_vs_conv import duels
from convlab.findings.study_results import Finding, StudyResults, Topic
from convlab.language.numbers import change, count, multiple, square
from convlab.models.specs import ModelSpec


def assumptions(results: StudyResults, dataset: str, measured: Mapping[str, Sequence[Finding]]) -> Topic:
    """Assumptions of the study's convolutional models, with their numbers and the findings of probes that test them."""
    name = _main_conv(results, dataset)
    if name is None and {results.side(variant) for variant in results.plan.variants} != {"dense"}:
        return Topic("assumptions", ())  # what a family of another kind assumes is not known here
    if name is None:
        return Topic(
            "assumptions",
            (
                Finding(
                    _(
                        "No model of this study convolves. A dense network assumes nothing about which pixels are "
                        "neighbours: permuting all pixels alike would not change what it can learn."
                    ),
                    kind="assumed",
                ),
            ),
        )
    findings = []
    for key, finding in _texts(results, dataset, name).items():
        measured_findings = measured.get(key, ())
        findings += [replace(finding, kind="note" if measured_findings else "assumed"), *measured_findings]
    return Topic("assumptions", tuple(findings))


def _texts(results: StudyResults, dataset: str, name: str) -> dict[str, Finding]:
    """Each assumption of a convolutional variant, by the name under which a probe measures it."""
    model, cost = results.plan.variants[name].model, results.plan.costs[dataset, name]
    label, source, first = results.label(name), cost.layers[0].output_shape, cost.layers[1]
    outputs = math.prod(first.output_shape)
    dense = outputs * (math.prod(source) + 1)
    field, first_field = cost.receptive_field, first.receptive_field
    local = N_(
        "Locality: what matters lies close together. A unit of the last feature map of {label} sees {field} pixels of "
        "an input of {input}."
    )
    early = N_(
        "Locality: what matters lies close together. A unit of the last feature map of {label} sees {field} pixels of "
        "an input of {input}, which is all of it: only its early layers are local (the first convolution sees {first})."
    )
    return {
        "locality": Finding(
            _(
                early if field >= max(source[:2]) else local,
                label=label,
                field=square(field),
                input=f"{source[0]}×{source[1]}",
                first=square(first_field),
            ),
            {"receptive_field": field},
        ),
        "weight_sharing": Finding(
            _(
                "Weight sharing: a pattern is worth looking for everywhere. The first convolution of {label} makes "
                "{outputs} outputs with {parameters} parameters; a dense layer with as many outputs would need "
                "{dense}.",
                label=label,
                outputs=count(outputs),
                parameters=count(first.parameters),
                dense=count(dense),
            ),
            {"outputs": outputs, "parameters": first.parameters, "dense_parameters": dense},
        ),
        "translation": Finding(
            _(
                "Translation equivariance: a shifted pattern gives a shifted response. In {label} it holds only "
                "approximately: {reasons}.",
                label=label,
                reasons=listing(_breaks_equivariance(model)),
            ),
        ),
    }


def _main_conv(results: StudyResults, dataset: str) -> str | None:
    """The convolutional variant that examples are about: the chosen one, else the first."""
    names = [name for name in results.plan.variants if results.side(name) == "conv"]
    if results.chosen.get(dataset) in names:
        return results.chosen[dataset]
    return next(iter(names), None)


def _breaks_equivariance(model: ModelSpec) -> list[str]:
    """Parts of a convolutional model that break exact translation equivariance, from its spec."""
    reasons = []
    if model.padding == "same":
        reasons.append(_("zero padding marks the border"))
    if any(stride > 1 for stride in model.strides):
        reasons.append(_("strides keep only every so many positions"))
    if any(pooling != "none" for pooling in model.pooling):
        window = square(model.pool_size)
        reasons.append(_("pooling over {window} keeps it for shifts of whole windows only", window=window))
    if model.head == "flatten":
        reasons.append(_("the flattened head has a weight for each place"))
    else:
        reasons.append(_("the global pooling of the head makes the response invariant rather than equivariant"))
    return reasons


def limits_of_convolution(results: StudyResults, dataset: str) -> Topic:
    """When convolution would not be appropriate, given this study's verdicts."""
    general = Finding(
        _(
            "Convolution is not appropriate where neighbours mean nothing (tables, shuffled pixels), where the "
            "absolute place decides, or where the relations that matter lie further apart than the receptive field."
        ),
        kind="assumed",
    )
    comparisons, metric = duels(results, dataset), results.plan.metric
    findings = []
    for duel in comparisons:
        conv, dense, row = results.label(duel.conv), results.label(duel.dense), duel.row
        macs = [results.variant(dataset, name)["macs"] for name in (duel.conv, duel.dense)]
        numbers = {"macs_ratio": macs[0] / macs[1]}
        parts = {"dataset": dataset, "conv": conv, "dense": dense, "ratio": multiple(macs[0] / macs[1])}
        parts["metric"] = _(metric.name)
        if duel.verdict == "better":
            dearer = N_(
                "On {dataset} {conv} was better than {dense} ({difference} of {metric}). It would still not be the "
                "choice where {ratio} the MACs of {dense} are not worth that much."
            )
            cheaper = N_(
                "On {dataset} {conv} was better than {dense} ({difference} of {metric}), and without more MACs "
                "({ratio} those of {dense})."
            )
            text = _(dearer if macs[0] > macs[1] else cheaper, **parts, difference=change(row["difference"], metric))
            numbers["difference"] = row["difference"]
        elif duel.verdict == "worse":
            text = _(
                "For these two models and settings {dataset} is such a case: {conv} was worse than {dense} "
                "({difference} of {metric}), at {ratio} its MACs.",
                **parts,
                difference=change(row["difference"], metric),
            )
            numbers["difference"] = row["difference"]
        elif duel.verdict == "equivalent":
            text = _(
                "On {dataset} {conv} and {dense} are equivalent in {metric}, and {conv} needs {ratio} the MACs of "
                "{dense}.",
                **parts,
            )
        else:
            text = _(
                "Whether {dataset} is such a case is not settled by this study ({conv} against {dense}); {conv} needs "
                "{ratio} the MACs of {dense}.",
                **parts,
            )
        findings.append(Finding(text, numbers))
    if not comparisons and _main_conv(results, dataset) is None:
        return Topic("limits_of_convolution", ())
    return Topic("limits_of_convolution", (*findings, general))
