"""Gallery of all figures of explore and compare, with alt texts; the most important ones are embedded."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import quote

from convlab.common import i18n
from convlab.common.i18n import N_
from convlab.common.i18n import gettext as _
from convlab.findings.study_results import StudyResults
from convlab.page.figures import Sprite, inline_svg, sprite
from convlab.page.figures import numbers as numbers_of
from convlab.page.format import mean_and_sd
from convlab.page.loading import ReportData
from convlab.page.views import Figure
from convlab.study import layout
from convlab.study.schema import Study

MAX_EMBEDDED_FIGURES = 100
"""Maximum figures embedded in the page, the most important ones first; the others are named with their file."""

MAX_EMBEDDED_CHARS = 4_000_000
"""Size of all embedded figures at most, with their numbers, so that a page stays within 5 MB."""

FIGURE_ORDER = (
    *("overview", "question", "tuning", "probes", "curves", "costs", "calibration", "data", "errors", "features"),
)
"""Sections in the order in which their figures are embedded."""

DATA_FIGURES = ("class_distribution", "samples", "dimensions", "intensities", "mean_images", "near_duplicates")
"""Figures of explore in the order of the page."""

DATA_NUMBERS = {name: name for name in DATA_FIGURES} | {"near_duplicates": "closest_pairs"}
"""CSV file of what a figure of explore shows. That of all near duplicates is long, so the figure has one of its own."""

DATA_TITLES = {
    "class_distribution": N_("class distribution"),
    "samples": N_("samples"),
    "dimensions": N_("dimensions"),
    "intensities": N_("intensities"),
    "mean_images": N_("mean images"),
    "near_duplicates": N_("near duplicates"),
}


def load_figures(study: Study, data: ReportData, folder: Path) -> dict[str, dict[str, list[Figure]]]:
    """All figures by dataset and section, the most important ones embedded."""
    entries = [(entry, layout.compared(Path()) / "figures" / entry["file"]) for entry in data.summary["figures"]]
    for dataset, explored in data.explored.items():
        for name in DATA_FIGURES:
            entry = {"section": "data", "dataset": dataset, "title": name, "caption": "", "file": name}
            entry |= {"tiles": explored["tiles"].get(name), "numbers": True}
            entries.append((entry, layout.explored(Path(), dataset) / name))
    ranked = sorted(enumerate(entries), key=lambda pair: FIGURE_ORDER.index(pair[1][0]["section"]))
    embedded, left = {}, MAX_EMBEDDED_CHARS
    for number, (entry, stem) in ranked[:MAX_EMBEDDED_FIGURES]:
        parts = embedded_parts(entry, folder, stem, f"f{number}", alt_text(entry, data.results))
        size = sum(len(part.source if isinstance(part, Sprite) else part) for part in parts.values())
        if size <= left:
            embedded[number], left = parts, left - size
    figures = {dataset: {section: [] for section in FIGURE_ORDER} for dataset in study.datasets}
    for number, (entry, stem) in enumerate(entries):
        shown, description = embedded.get(number, {}), alt_text(entry, data.results)
        figures[entry["dataset"]][entry["section"]].append(
            Figure(
                entry["section"],
                f"figure-data-{entry['dataset']}-{entry['file']}" if in_explore(entry) else f"figure-{entry['file']}",
                entry["file"],
                entry["title"],
                entry["caption"],
                description,
                f"{quote(stem.as_posix())}.png",
                variant=entry.get("variant"),
                question=entry.get("question"),
                probe=entry.get("probe"),
                layer=entry.get("layer"),
                reading=entry.get("reading", ""),
                **shown,
            )
        )
    return figures


def in_explore(entry: Mapping[str, Any]) -> bool:
    """Whether a figure is one of explore's, whose words are in report/text and whose file names have no dataset."""
    return entry["section"] == "data"


def embedded_parts(entry: Mapping[str, Any], folder: Path, stem: Path, name: str, description: str) -> dict[str, Any]:
    """What of a figure is written into the page: a chart or a grid of images, and its numbers; by field of Figure.

    Args:
        folder: the study's folder under results/.
        stem: path of the figure's files below it, without suffix.
        name: unique in the page.
    """
    if entry.get("tiles"):
        parts = {"sprite": sprite(folder / f"{stem}.tiles.png", entry["tiles"])}
    else:
        parts = {"svg": inline_svg(folder / f"{stem}.svg", name, figure_title(entry), description)}
    if entry.get("numbers"):
        table = stem.with_name(f"{DATA_NUMBERS[entry['file']] if in_explore(entry) else entry['file']}.csv")
        parts["numbers"] = numbers_of(folder / table)
        parts["numbers_path"] = "" if parts["numbers"] else table.as_posix()
    return parts


def figure_title(entry: Mapping[str, Any]) -> str:
    """A figure's title; those of explore's figures are translated from their name."""
    return _(DATA_TITLES[entry["title"]]) if in_explore(entry) else entry["title"]


def alt_text(entry: Mapping[str, Any], results: StudyResults) -> str:
    """Alt text of a figure: its numbers if they are few, else its caption."""
    dataset = entry["dataset"]
    what = f"{figure_title(entry)}, {dataset}"
    if entry["section"] in ("overview", "costs") or entry["file"].endswith(("-seeds", "-costs")):
        rows = results.variants[results.variants["dataset"] == dataset]
        if entry["section"] == "question":
            question = results.plan.questions[entry["question"]]
            rows = rows[rows["variant"].isin([question.reference, *question.variants])]
        measures = [f"{row['label']} {mean_and_sd(row)} (n = {row['n_seeds']})" for row in rows.to_dict("records")]
        accuracies = _("Test accuracy: {measures}.", measures=i18n.listing(measures, most=12))
        return f"{what}. {accuracies}"
    if entry["section"] == "question":
        sentences = [row["sentence"] for row in results.contrasts(dataset, entry["question"])]
        return f"{what}. {' '.join(sentences[:6])}"
    return f"{what}. {entry['caption']}".strip()
