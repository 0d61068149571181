"""Tables about a dataset: facts, images per class, array files, source and licence, excluded files."""

from collections.abc import Mapping
from typing import Any

from convlab.common import i18n
from convlab.common.i18n import N_, ngettext
from convlab.common.i18n import gettext as _
from convlab.datasets.specs import DatasetSpec
from convlab.findings.left_out import GIVEN_VALIDATION, copies_text, limited, not_used, test_origin
from convlab.language import numbers as say
from convlab.page.views import Table
from convlab.study.data_texts import other_reasons

PARTS = ("train", "validation", "test")
"""Parts of a dataset in the order of columns; JSON's keys are sorted by name."""

MAX_LISTED_FILES = 8
"""Excluded files that are named for each class and reason."""


def data_tables(explored: Mapping[str, Any], manifest: Mapping[str, Any], spec: DatasetSpec) -> dict[str, Table]:
    """Tables about a dataset by name.

    Args:
        explored: explore's summary.json.
        manifest: prepare's manifest.json, with the config's own texts.
        spec: the dataset's entry in the config.
    """
    dataset = explored["dataset"]
    files = [(name, "×".join(map(str, entry["shape"])), entry["sha256"]) for name, entry in manifest["arrays"].items()]
    excluded_images, excluded_files = not_used(manifest)
    source = [
        ("source", _(manifest["source"])),
        ("licence", _(manifest["licence"])),
        ("citation", manifest["citation"]),
        ("homepage", manifest["homepage"]),
        ("test_from", test_origin({dataset: manifest})),
        ("validation_from", _(GIVEN_VALIDATION) if "validation_from" in manifest else ""),
        ("taken", limited(manifest) or _("all images")),
        ("excluded", say.count(excluded_images)),
        ("excluded_files", say.count(excluded_files)),
    ]
    source = [(fact, value) for fact, value in source if value]
    facts = dataset_facts(explored, excluded_images)
    return {
        "reasons": Table("data_reasons", ("field", "value", "why"), other_reasons(spec), {"dataset": dataset}),
        "facts": Table("data_facts", ("fact", "value"), facts, {"dataset": dataset}),
        "counts": class_counts(explored),
        "files": Table("arrays", ("array", "shape", "sha256"), files, {"dataset": dataset}),
        "source": Table("source", ("fact", "value"), source, {"dataset": dataset}),
        "excluded": excluded_table(dataset, manifest),
    }


def class_counts(explored: Mapping[str, Any]) -> Table:
    """Table of the images of each class, a column for each part of the dataset."""
    by_part = {part: explored["counts"][part] for part in PARTS if part in explored["counts"]}
    rows = [(name, *(say.count(by_part[part][name]) for part in by_part)) for name in explored["classes"]]
    columns = ("class", *(f"{part}_images" for part in by_part))
    return Table("class_counts", columns, rows, {"dataset": explored["dataset"]})


def dataset_facts(explored: Mapping[str, Any], excluded_images: int) -> list[tuple[str, str]]:
    """Key and text of each fact that explore measured: sizes, pixel values, balance of classes, duplicates."""
    image, pixel, duplicates = explored["image"], explored["pixels"], explored["duplicates"]
    content, raw, normalised = explored["content"], pixel["raw"], pixel["normalised"]
    parts = {part: say.count(images) for part, images in explored["images"].items()}
    given = N_("{train} training, {validation} validation, {test} test")
    images = _(given if "validation" in parts else N_("{train} training, {test} test"), **parts)
    share = say.percent(duplicates["near_share_of_test"], 1)
    values = _("{n} values", n=say.count(image["values"]))
    size = f"{i18n.number(content['median_height'], 'g')}×{i18n.number(content['median_width'], 'g')}"
    scale = _("{low} to {high}", low=pixel["minimum"], high=pixel["maximum"])
    return [
        ("images", images),
        ("classes", say.count(len(explored["classes"]))),
        (
            "imbalance",
            say.MISSING if explored["imbalance_ratio"] is None else say.multiple(explored["imbalance_ratio"]),
        ),
        ("shape", f"{image['height']}×{image['width']}×{image['channels']} ({values})"),
        ("content", _("{size} pixels (median)", size=size)),
        ("raw", f"{say.number(raw['mean'], 1)} ± {say.number(raw['sd'], 1)}, {scale}"),
        (
            "normalised",
            f"{say.number(normalised['mean'], 3)} ± {say.number(normalised['sd'], 3)}, "
            + _("{low} to {high}", low=0, high=1),
        ),
        ("zeros", say.percent(pixel["zero_share"], 1)),
        (
            "duplicates",
            ngettext(
                "{near} ({share}), {n} of them identical",
                "{near} ({share}), {n} of them identical",
                duplicates["exact_test_images"],
                near=say.count(duplicates["near_test_images"]),
                share=share,
            ),
        ),
        ("threshold", threshold_text(duplicates)),
        ("disagreeing", say.count(duplicates["label_disagreeing_pairs"])),
        ("excluded", say.count(excluded_images)),
    ]


def threshold_text(duplicates: Mapping[str, Any]) -> str:
    """From which difference on two images are no near duplicates, and which planted copies are within it."""
    text = _("RMS ≤ {rms} of 255", rms=i18n.number(duplicates["threshold_rms"], "g"))
    if not duplicates["recall"]:
        return text
    kinds = i18n.listing(copies_text(kind, share) for kind, share in duplicates["recall"].items())
    return _(
        "{threshold}; of copies of {n} training images it finds {kinds}",
        threshold=text,
        n=say.count(duplicates["copied_images"]),
        kinds=kinds,
    )


def excluded_table(dataset: str, manifest: Mapping[str, Any]) -> Table:
    """Excluded files by part, class and reason, with the first names; images come first."""
    entries = sorted(manifest["excluded"], key=lambda entry: not entry["image"])
    rows = []
    for entry in entries:
        names = [file["file"] for file in entry["files"]]
        more = len(names) - MAX_LISTED_FILES
        shown = "; ".join(names[:MAX_LISTED_FILES]) + (f"; {_('{n} more', n=say.count(more))}" if more > 0 else "")
        part, label = (entry[name] or say.MISSING for name in ("part", "class"))
        rows.append((part, label, _(entry["reason"]), say.count(entry["count"]), shown))
    return Table("excluded", ("part", "class", "reason", "files", "names"), rows, {"dataset": dataset})
