"""Write the model card of one dataset's exported model: description, intended use, metrics, limits.

Every number comes from what other stages recorded; the prose is in report/MODEL_CARD.md.j2.
"""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))  # Python leaves it out with -P and PYTHONSAFEPATH
from convlab.common import environment

environment.start()

import argparse
import json
import logging
import re
from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
from markupsafe import Markup
from scipy.stats import binomtest

from convlab.common import i18n, provenance
from convlab.common.cli import run
from convlab.common.files import read_json, write_text
from convlab.common.i18n import ngettext
from convlab.common.outputs import job_results
from convlab.common.table_files import read_table
from convlab.evaluation.records import read_measures
from convlab.findings.choice import optimism, told_apart
from convlab.findings.left_out import GIVEN_VALIDATION, given_validation, not_used, test_origin
from convlab.language import numbers as say
from convlab.language.energy import energy_text
from convlab.models.registry import family_of
from convlab.page.templates import environment, tidy_markdown
from convlab.results.choice_margin import choice_margin
from convlab.results.descriptions import with_described_costs
from convlab.results.energy import energy_summary
from convlab.study import layout
from convlab.study.data_texts import reason, with_own_texts
from convlab.study.labels import level_label
from convlab.study.load import load_study
from convlab.study.schema import Study

MAX_WEAKEST_CLASSES, CONFUSIONS = 3, 5
"""Classes with the lowest recall, and confusions, that are named as limits."""

CONFIDENT_SHARE = 0.01
"""A mean confidence this far above the accuracy is called overconfident, as far below it underconfident."""

CARD = "MODEL_CARD.md"
UNDEFINED = "–"

log = logging.getLogger("model_card")


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--config", required=True, type=json.loads, help="the whole config as JSON")
    parser.add_argument("--dataset", required=True, help="the dataset's name in the config")
    parser.add_argument("--results-dir", required=True, type=Path, help="the study's folder under results/")
    arguments = parser.parse_args(argv)
    with job_results(layout.exported(arguments.results_dir, arguments.dataset) / CARD):
        write_card(arguments)


def write_card(arguments: argparse.Namespace) -> None:
    """Render the card and write it."""
    folder = arguments.results_dir
    study = with_described_costs(load_study(arguments.config), folder)
    view = build_view(study, arguments.dataset, folder)
    view["commit"] = provenance.commit(Path(__file__).resolve().parent.parent)
    card = environment("markdown").get_template("MODEL_CARD.md.j2").render(view)
    path = layout.exported(folder, arguments.dataset) / CARD
    write_text(path, tidy_markdown(card))
    log.info("wrote %s", path)


def build_view(study: Study, dataset: str, folder: Path) -> dict[str, Any]:
    """Context of the template, as text."""
    artifacts = layout.exported(folder, dataset)
    exported, parity = read_json(artifacts / "export.json"), read_json(artifacts / "parity.json")
    manifest = read_json(layout.prepared(folder, dataset) / "manifest.json")
    manifest = with_own_texts(manifest, study.datasets[dataset])
    validation_images = given_validation({dataset: manifest}).get(dataset)
    seed = exported["seed"]
    trained = read_json(layout.run(folder, dataset, exported["variant"], seed) / "run.json")
    measured = read_measures(layout.evaluated(folder, dataset, exported["variant"]), [seed])[seed]
    compared = {name: read_table(layout.compared(folder) / f"{name}.csv") for name in ("runs", "variants")}
    variants = compared["variants"]
    row = variants[(variants["dataset"] == dataset) & (variants["variant"] == exported["variant"])].iloc[0]
    variant = study.plan.variants[exported["variant"]]
    height, width, channels = exported["input"]["shape"]
    return {
        "study": study,
        "dataset": dataset,
        "label": variant.label,
        "exported": exported,
        "image": f"{height}×{width} {'grey' if channels == 1 else 'RGB'}",
        "shape": f"[n, {height}, {width}, {channels}]",
        "classes": manifest["classes"],
        "architecture": [
            (name.replace("_", " "), level_label(name, value))
            for name, (value, _meaning) in variant.model.explained_fields.items()
        ],
        "family": family_of(variant.model).title,
        "parameters": say.count(exported["parameters"]),
        "macs": say.count(study.plan.costs[dataset, variant.name].macs),
        "chosen": chosen(study, dataset, exported, compared["runs"], validation_images),
        "own_code": sorted(exported.get("sources", {})),
        "entry": getattr(variant.model, "file", "").rpartition("/")[2].removesuffix(".py"),
        "named": study.deploy.variant is not None,
        "probed": bool(study.plan.probes),
        "data": data_facts(manifest, trained, reason(study.datasets[dataset])),
        "metrics": metrics_rows(measured, row),
        "per_class": per_class_rows(manifest["classes"], measured),
        "weakest": weakest(manifest["classes"], measured),
        "unmeasured": unmeasured(manifest["classes"], measured),
        "n_seeds": int(row["n_seeds"]),
        "confusions": confusions(manifest["classes"], measured),
        "calibration": calibration(measured),
        "question": ended(study.question) if study.question else None,
        "files": file_rows(parity),
        "formats": list(parity["bytes"]),
        "parity": parity_sentence(parity),
        "trained": trained,
        "energy": energy_text(energy_summary([trained])),
        "spec_hash": exported["spec_hash"],
        "checksums": sorted(exported["files_sha256"].items()),
        "versions": sorted(trained["versions"].items()),
        "hardware": trained["hardware"],
    }


def chosen(
    study: Study, dataset: str, exported: Mapping[str, Any], runs: pd.DataFrame, validation_images: int | None = None
) -> str:
    """Sentences about the choice of variant and seed, what validation data tell apart, and the optimism of the score.

    Args:
        runs: the study's runs.csv.
        validation_images: how many the data bring, the same for all seeds; None where each seed draws its own.
    """
    rule = exported["chosen"]
    accuracy, mean = say.percent(exported["val_accuracy"]), say.percent(rule["val_accuracy_mean"])
    n_runs = ngettext("its {n} run", "its {n} runs", rule["finished"])
    diverged = ""
    if rule["finished"] < rule["seeds"]:
        n_runs = ngettext("its {n} finished run", "its {n} finished runs", rule["finished"])
        diverged = f"Of its {rule['seeds']} runs {rule['seeds'] - rule['finished']} diverged. "
    seed = f"Of {n_runs} it is the one whose validation accuracy, {accuracy}, is nearest to their mean, {mean}."
    plan = study.plan
    own = runs[(runs["dataset"] == dataset) & runs["variant"].isin(plan.candidates)]
    macs = {name: plan.costs[dataset, name].macs for name in plan.candidates}
    margin = choice_margin(own, exported["variant"], macs, validation_images)
    score_text = optimism(margin, plan.variants[exported["variant"]].training.select)
    if study.deploy.variant is not None:
        return " ".join(filter(None, (f"The config names this variant. {diverged}{seed}", score_text)))
    labels = {name: variant.label for name, variant in plan.variants.items()}
    variants = ngettext("{n} variant", "{n} variants", rule["candidates"])
    return " ".join(
        filter(
            None,
            (
                f"Of {variants} it has the highest mean validation accuracy among those of which the largest share of "
                "runs finished (of exact ties, fewer multiply-accumulates would have decided).",
                f"{diverged}{seed}",
                told_apart(margin, exported["variant"], labels),
                score_text,
                "Test images had no part in the choice.",
            ),
        )
    )


def data_facts(manifest: Mapping[str, Any], trained: Mapping[str, Any], why: str = "") -> list[tuple[str, str]]:
    """Facts about the training and test data; ``why`` is the config's reason for their choice."""
    test = sum(manifest["counts"]["test"].values())
    images, _ = not_used(manifest)
    facts = [
        ("Source", manifest["source"]),
        ("Why these data", why),
        ("Licence", manifest["licence"]),
        ("Citation", manifest["citation"]),
        ("Homepage", link(manifest["homepage"])),
        ("Images trained on", say.count(trained["train_images"])),
        ("Images for validation", say.count(trained["validation_images"])),
        ("Test images", say.count(test)),
        ("Where they come from", test_origin({manifest["dataset"]: manifest})),
        ("Validation images", GIVEN_VALIDATION if "validation_from" in manifest else None),
        ("Images not used", say.count(images) if images else None),
    ]
    return [(name, value) for name, value in facts if value]


ADDRESS = re.compile(r"https?://[\w.~-]+(?::\d+)?(?:/[\w./~%+=?&-]*)?", re.ASCII)
"""A URL without characters that Markdown could read as markup."""


def link(address: str | None) -> Any:
    """A URL as a link; as escaped text if it has unusual characters."""
    return Markup(f"<{address}>") if address and ADDRESS.fullmatch(address) else address


def ended(text: str) -> str:
    """Text with a full stop, unless it ends in punctuation."""
    return text if text.rstrip().endswith((".", "?", "!", "…")) else f"{text.rstrip()}."


def share(value: float | None) -> str:
    """A share in percent; a dash where it is not defined, as the recall of a class without test images."""
    return UNDEFINED if value is None or say.missing(value) else say.percent(value, 1)


def metrics_rows(measured: Mapping[str, Any], row: Mapping[str, Any]) -> list[tuple[str, str, str]]:
    """Measure, this file, and the variant over its seeds."""
    n = measured["test_images"]
    interval = binomtest(round(measured["accuracy"] * n), n).proportion_ci(method="wilson")
    mean = say.percent(row["test_accuracy_mean"])
    if not say.missing(row["test_accuracy_ci_low"]) and row["n_seeds"] > 2:
        low, high = say.percent(row["test_accuracy_ci_low"]), say.percent(row["test_accuracy_ci_high"])
        mean += f" (95 % CI {low} to {high}, t over n = {row['n_seeds']} seeds)"
    else:
        mean += f" (n = {row['n_seeds']}: too few for an interval)"
    low, high = say.percent(interval.low), say.percent(interval.high)
    accuracy = f"{say.percent(measured['accuracy'])} (95 % CI {low} to {high}, Wilson over {say.count(n)} images)"
    return [
        ("Test accuracy", accuracy, mean),
        ("Test loss, nats", say.number(measured["loss"]), say.number(row["test_loss_mean"])),
        ("Brier score", say.number(measured["brier"]), say.number(row["brier_mean"])),
        ("Calibration error (ECE)", say.number(measured["ece"]), say.number(row["ece_mean"])),
    ]


def per_class_rows(classes: list[str], measured: Mapping[str, Any]) -> list[tuple[str, str, str, str, str]]:
    """Class, test images, precision, recall and F1 of this file."""
    scores = measured["per_class"]
    rows = []
    for i, name in enumerate(classes):
        support = scores["support"][i]  # without test images neither recall nor F1 is defined
        recall, f1 = (scores["recall"][i], scores["f1"][i]) if support else (None, None)
        precision = scores["precision"][i] if np.array(measured["confusion_matrix"])[:, i].any() else None
        rows.append((name, say.count(support), share(precision), share(recall), share(f1)))
    return rows


def weakest(classes: list[str], measured: Mapping[str, Any]) -> str | None:
    """Classes with the lowest recall, of those with test images; None if all have recall 1."""
    scores = measured["per_class"]
    missed = [i for i in range(len(classes)) if scores["support"][i] and scores["recall"][i] < 1]
    if not missed:
        return None
    order = sorted(missed, key=lambda i: (scores["recall"][i], i))[:MAX_WEAKEST_CLASSES]
    return i18n.listing(f"{classes[i]} ({say.percent(scores['recall'][i], 1)})" for i in order)


def unmeasured(classes: list[str], measured: Mapping[str, Any]) -> str | None:
    """Classes without test images; None without any."""
    names = [name for name, support in zip(classes, measured["per_class"]["support"], strict=True) if not support]
    return i18n.listing(names) if names else None


def confusions(classes: list[str], measured: Mapping[str, Any]) -> list[str]:
    """The most frequent mistakes, ``Shirt taken for T-shirt/top: 120 of 1,000``."""
    matrix = np.array(measured["confusion_matrix"])
    support = matrix.sum(axis=1)
    mistakes = matrix - np.diag(matrix.diagonal())
    order = np.argsort(-mistakes.ravel(), kind="stable")[:CONFUSIONS]
    pairs = [divmod(int(cell), len(classes)) for cell in order if mistakes.ravel()[cell]]
    return [
        f"{classes[true]} taken for {classes[other]}: {say.count(mistakes[true, other])} of {say.count(support[true])}"
        for true, other in pairs
    ]


def calibration(measured: Mapping[str, Any]) -> str:
    """Sentence about calibration: over- or underconfident, by how much."""
    rows = np.array(measured["reliability"])
    confidence = float(np.average(rows[:, 0], weights=rows[:, 2]))
    gap = confidence - measured["accuracy"]
    kind = (
        "overconfident"
        if gap > CONFIDENT_SHARE
        else "underconfident"
        if gap < -CONFIDENT_SHARE
        else "about as sure as it is right"
    )
    return (
        f"Mean confidence is {say.percent(confidence)} where accuracy is {say.percent(measured['accuracy'])}: it is "
        f"{kind}. The expected calibration error over {len(rows)} groups of equally many images is "
        f"{say.percent(measured['ece'])}. Its probabilities were not recalibrated."
    )


FILES = {
    "keras": "model.keras", "saved_model": "saved_model/1", "onnx": "model.onnx", "safetensors": "model.safetensors",
}  # fmt: skip


PIXELS = {"keras": "uint8", "saved_model": "float32", "onnx": "float32", "safetensors": "float32"}
"""Input type of each file: the trained model takes bytes and truncates fractions."""


def file_rows(parity: Mapping[str, Any]) -> list[tuple[str, str, str, str, str, str]]:
    """Rows of the table of files: input type, precision, size, accuracy on the compared images, latency."""
    return [
        (
            file,
            PIXELS[name],
            parity["precision"][name],
            f"{say.number(parity['bytes'][name] / 1e3, 0)} kB",
            say.percent(parity["accuracy"][name]),
            f"{say.number(parity['latency_ms'][name]['p50'], 2)} ms",
        )
        for name, file in FILES.items()
        if name in parity["bytes"]
    ]


BACKENDS = {"tensorflow": "TensorFlow", "jax": "JAX", "torch": "PyTorch"}


def parity_sentence(parity: Mapping[str, Any]) -> str:
    """Sentence about the agreement of the exported files."""
    count = say.count(parity["images"]["count"])
    parts = []
    texts = {
        "saved_model": "The SavedModel", "onnx": "The ONNX file", "safetensors": "A new model with model.safetensors",
    }  # fmt: skip
    written = [name for name in texts if name in parity["bytes"]]
    for name in written:
        text, agreement = texts[name], parity[f"{name}_against_keras"]
        share = f"gives {say.percent(agreement['agreement'])} of them the class that model.keras gives"
        p = f" (McNemar's exact test: p = {agreement['mcnemar_p']:.2g})" if agreement["mcnemar_p"] is not None else ""
        largest = agreement["largest_difference"]
        difference = f"probabilities differ by {largest:.1e} at most" if largest else "probabilities are the same"
        parts.append(f"{text} {share}{p}; {difference}.")
    files = {1: "both files", 2: "all three files", 3: "all four files"}[len(written)]
    return f"{count} test images were given to {files}. {' '.join(parts)} {evaluated_sentence(parity)}"


def evaluated_sentence(parity: Mapping[str, Any]) -> str:
    """Sentence that holds model.keras, where it was exported, against the probabilities that evaluation stored."""
    evaluated, agreement = parity["evaluated"], parity["keras_against_evaluated"]
    trained, converter = BACKENDS[evaluated["backend"]], BACKENDS[evaluated["converted_by"]]
    largest = agreement["largest_difference"]
    difference = f"differ by {largest:.1e} at most" if largest else "are the same"
    return (
        f"The probabilities of model.keras in {converter}, which wrote these files, and those of the evaluation in "
        f"{trained} on {'a GPU' if evaluated['device'] == 'GPU' else 'the processor'} {difference}."
    )


if __name__ == "__main__":
    run(main)
