"""Model card of the chosen variant for the page: description, intended use, performance, limits.

After Mitchell et al. (2019), Model cards for model reporting, FAT*. `export` writes a longer one beside the files.
"""

from collections.abc import Mapping
from typing import Any

from convlab.common.i18n import gettext as _
from convlab.common.i18n import listing
from convlab.findings.choice import choice_text
from convlab.findings.study_results import StudyResults
from convlab.language import numbers as say
from convlab.statistics.describe import MIN_SEEDS
from convlab.study.labels import level_label

MAX_WEAKEST_CLASSES = 3
"""Classes with the lowest recall that are named."""


def model_card(results: StudyResults, dataset: str, manifest: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Name and text of each entry of the model card; empty if no run has finished."""
    name = results.chosen.get(dataset)
    if name is None:
        return []
    row, variant = results.variant(dataset, name), results.plan.variants[name]
    size = "×".join(map(str, manifest["arrays"]["x_test"]["shape"][1:]))
    rows = [
        (
            "model",
            _(
                "{label} ({family}): {parameters} parameters, {macs} multiply-accumulates for an image",
                label=row["label"],
                family=level_label("family", variant.model.family),
                parameters=say.count(row["parameters"]),
                macs=say.count(row["macs"]),
            ),
        ),
        ("input", _("{size} pixels, raw values from 0 to 255; it scales them itself", size=size)),
        ("output", _("probabilities of {n} classes", n=say.count(len(results.classes[dataset])))),
        ("choice", choice_text(results, dataset, name)),
        (
            "use",
            _(
                "To learn and to compare: it comes from a controlled experiment. It is for images like those of "
                "{dataset}, and for nothing that matters to a person's health, safety, rights or livelihood. An image "
                "of something else is given one of these classes all the same.",
                dataset=dataset,
            ),
        ),
        ("data", ". ".join(str(manifest[key]) for key in ("source", "licence") if manifest[key])),
        ("performance", performance(row)),
        ("calibration", _("expected calibration error {ece}, Brier score {brier}", ece=say.number(row["ece_mean"]),
                          brier=say.number(row["brier_mean"]))),
    ]  # fmt: skip
    missed = weakest(results, dataset, name)
    return rows + ([("limits", _("It misses most of: {classes} (recall).", classes=missed))] if missed else [])


def performance(row: Mapping[str, Any]) -> str:
    """Test accuracy and loss, means over seeds, with the accuracy's interval."""
    text = _(
        "test accuracy {accuracy}, loss {loss}; means over {n} seeds",
        accuracy=say.percent(row["test_accuracy_mean"]),
        loss=say.number(row["test_loss_mean"]),
        n=row["n_seeds"],
    )
    if row["n_seeds"] < MIN_SEEDS or say.missing(row["test_accuracy_ci_low"]):
        return text
    return f"{text} ({say.ci_text(row['test_accuracy_ci_low'], row['test_accuracy_ci_high'], '%')})"


def weakest(results: StudyResults, dataset: str, variant: str) -> str:
    """The classes with the lowest recall, as text; classes without test images have none."""
    rows = results.per_class
    rows = rows[(rows["dataset"] == dataset) & (rows["variant"] == variant) & rows["recall"].notna()]
    rows = rows.astype({"recall": float}).nsmallest(MAX_WEAKEST_CLASSES, "recall")
    named = [f"{row['class']} ({say.percent(row['recall'], 1)})" for row in rows.to_dict("records")]
    return listing(named) if named else ""
