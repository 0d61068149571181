"""Excluded and duplicate data, for the report's limitations and its section on data."""

from collections import Counter
from collections.abc import Mapping
from typing import Any

from convlab.common.i18n import N_, listing, ngettext
from convlab.common.i18n import gettext as _
from convlab.datasets.folder_listing import ARRAY, OTHER_FOLDER
from convlab.findings.study_results import Finding
from convlab.language.numbers import count, percent

REASONS = (
    N_("hidden file"),
    N_("system file"),
    N_("not an image by its name"),
    N_("in a format that is not read"),
    N_("not a regular file"),
    N_("in a folder inside a class"),
    N_("outside of the class folders"),
    N_("in a folder that is neither train, validation nor test"),
    N_("empty file"),
    N_("no image, whatever its name says"),
    N_("an image, but not by its name"),
    N_("damaged image"),
    N_("too many pixels"),
    N_("a link that leads nowhere"),
    N_("may not be read"),
    N_("pixels of a type that is not read"),
    N_("array that is not read"),
    N_("table of no split"),
    N_("table without labels"),
    N_("without a label in the table"),
    N_("not there, though the table names it"),
    N_("in two rows of the table"),
)
"""Reasons of exclusion in manifests (``folders.REASONS``), for translation."""

OF_IMAGES = {
    "train": N_("{n} of {all} training images"),
    "validation": N_("{n} of {all} validation images"),
    "test": N_("{n} of {all} test images"),
}

GIVEN_VALIDATION = N_("The validation images are those that the data bring, the same for all runs.")


def left_out(manifests: Mapping[str, Mapping[str, Any]], explored: Mapping[str, Mapping[str, Any]]) -> list[Finding]:
    """What a study cannot say because of images that were not used, classes without test images, and images that are
    among the training images twice.

    Args:
        manifests, explored: manifest.json of prepare and summary.json of explore, by dataset.
    """
    findings = []
    for name, manifest in manifests.items():
        parts = (_images(name, manifest), _folders(name, manifest), _arrays(name, manifest), _limits(name, manifest))
        findings += [finding for finding in parts if finding]
        findings += _conversions(name, manifest)
        summary = explored.get(name, {})
        empty = [label for label, images in summary.get("counts", {}).get("test", {}).items() if not images]
        if empty:
            text = ngettext(
                "{dataset}: {n} class without test images ({classes}); its recall and F1 are not defined, and nothing "
                "is known of how it is recognised.",
                "{dataset}: {n} classes without test images ({classes}); their recall and F1 are not defined, and "
                "nothing is known of how they are recognised.",
                len(empty),
                dataset=name,
                classes=listing(empty),
            )
            findings.append(Finding(text, {"classes": len(empty)}))
        if twice := _twice(name, summary) or _in_validation(name, summary):
            findings.append(twice)
    return findings


def not_used(manifest: Mapping[str, Any]) -> tuple[int, int]:
    """Number of excluded images, and of other excluded files."""
    images = sum(entry["count"] for entry in manifest["excluded"] if entry["image"])
    return images, sum(entry["count"] for entry in manifest["excluded"]) - images


def _images(name: str, manifest: Mapping[str, Any]) -> Finding | None:
    """Finding about excluded images, by reason, and the class that lost the largest share."""
    entries = [entry for entry in manifest["excluded"] if entry["image"] and entry["reason"] != ARRAY]
    lost = sum(entry["count"] for entry in entries)
    if not lost:
        return None
    reasons, classes = Counter(), Counter()
    for entry in entries:
        reasons[entry["reason"]] += entry["count"]
        if entry["class"] is not None:
            classes[entry["part"], entry["class"]] += entry["count"]
    text = ngettext(
        "{dataset}: {n} image was not used ({reasons}).",
        "{dataset}: {n} images were not used ({reasons}).",
        lost,
        dataset=name,
        reasons="; ".join(f"{_(reason)}: {count(number)}" for reason, number in reasons.most_common()),
    )
    shares = {
        (part, label): number / (number + manifest["counts"][part].get(label, 0))
        for (part, label), number in classes.items()
        if part in manifest["counts"]
    }
    if shares:
        part, label = max(shares, key=lambda key: (shares[key], key))
        number = classes[part, label]
        text += " " + _(
            "The class that lost most is {label}: {images}; what is said of it is of the others.",
            label=label,
            images=_(OF_IMAGES[part], n=count(number), all=count(number + manifest["counts"][part].get(label, 0))),
        )
    return Finding(text, {"lost": lost})


def _folders(name: str, manifest: Mapping[str, Any]) -> Finding | None:
    """Finding about folders that are neither train, validation nor test."""
    entries = [entry for entry in manifest["excluded"] if entry["reason"] == OTHER_FOLDER]
    files = sum(entry["count"] for entry in entries)
    if not files:
        return None
    text = ngettext(
        "{dataset}: {n} file in {folders} was not used: images are read from train, validation and test.",
        "{dataset}: {n} files in {folders} were not used: images are read from train, validation and test.",
        files,
        dataset=name,
        folders=listing([file["file"] for entry in entries for file in entry["files"]]),
    )
    return Finding(text, {"files": files})


def _arrays(name: str, manifest: Mapping[str, Any]) -> Finding | None:
    """Finding about arrays of an npz file that are not read."""
    arrays = [file["file"] for entry in manifest["excluded"] if entry["reason"] == ARRAY for file in entry["files"]]
    if not arrays:
        return None
    text = ngettext(
        "{dataset}: the file has {n} array that was not used ({arrays}).",
        "{dataset}: the file has {n} arrays that were not used ({arrays}).",
        len(arrays),
        dataset=name,
        arrays=listing(arrays),
    )
    return Finding(text, {"arrays": len(arrays)})


def _limits(name: str, manifest: Mapping[str, Any]) -> Finding | None:
    """Finding about images that ``train_images`` and ``test_images`` leave out."""
    if not limited(manifest):
        return None
    return Finding(_("{dataset}: the config takes {taken} only.", dataset=name, taken=limited(manifest)))


def limited(manifest: Mapping[str, Any]) -> str:
    """``1,000 of 60,000 training images and 500 of 10,000 test images``; empty where all are taken."""
    whole = manifest["available"]
    used = {part: manifest["arrays"][f"x_{part}"]["shape"][0] for part in whole if f"x_{part}" in manifest["arrays"]}
    parts = [
        _(OF_IMAGES[part], n=count(used[part]), all=count(whole[part]))
        for part in ("train", "test")
        if part in used and used[part] < whole[part]
    ]
    return listing(parts) if parts else ""


def _conversions(name: str, manifest: Mapping[str, Any]) -> list[Finding]:
    """Findings about what reading drops of an image: further frames, bits, transparency."""
    findings = []
    several = manifest.get("several_pictures", 0)
    if several:
        text = ngettext(
            "{dataset}: {n} file holds several pictures, of which the first was used.",
            "{dataset}: {n} files hold several pictures, of which the first was used.",
            several,
            dataset=name,
        )
        findings.append(Finding(text, {"files": several}))
    bits = manifest.get("bits", 8)
    if bits > 8:
        text = _(
            "{dataset}: of the {bits} bits that 16-bit images use, the highest 8 were kept.", dataset=name, bits=bits
        )
        findings.append(Finding(text, {"bits": bits}))
    return findings


def _twice(name: str, summary: Mapping[str, Any]) -> Finding | None:
    """Finding about near duplicates among training images, which raise the validation accuracy."""
    twice = summary.get("training_duplicates")
    if not twice or not twice["near_images"]:
        return None
    text = ngettext(
        "{dataset}: of {all} training images that were looked at, {n} ({share}) has a near duplicate among the others "
        "({exact} identical). Where the two are divided into training and validation, the validation accuracy, by "
        "which epochs and variants are chosen, is not one of new images.",
        "{dataset}: of {all} training images that were looked at, {n} ({share}) have a near duplicate among the others "
        "({exact} identical). Where the two are divided into training and validation, the validation accuracy, by "
        "which epochs and variants are chosen, is not one of new images.",
        twice["near_images"],
        dataset=name,
        all=count(twice["looked_at"]),
        share=percent(twice["near_images"] / twice["looked_at"], 1),
        exact=count(twice["exact_images"]),
    )
    return Finding(text, {"near": twice["near_images"], "looked_at": twice["looked_at"]})


COPIES = {
    "shifted": N_("{share} of those shifted by a pixel"),
    "recompressed": N_("{share} of those compressed again as JPEG"),
    "brightened": N_("{share} of those brightened by a tenth"),
}
"""How often planted copies are found, by ``duplicate_threshold.COPIES``."""


def copies_text(kind: str, share: float) -> str:
    """``0 % of those shifted by a pixel``: the share of planted copies of a kind that is found."""
    return _(COPIES[kind], share=percent(share, 0))


def _in_validation(name: str, summary: Mapping[str, Any]) -> Finding | None:
    """Finding about images of a given validation split that are near duplicates of training images."""
    duplicates = summary.get("validation_duplicates")
    if not duplicates or not duplicates["near_images"]:
        return None
    text = ngettext(
        "{dataset}: of {all} validation images {n} ({share}) is a near duplicate of a training image ({exact} "
        "identical), so that the validation accuracy, which chooses epochs and variants, is not one of new images.",
        "{dataset}: of {all} validation images {n} ({share}) are near duplicates of a training image ({exact} "
        "identical), so that the validation accuracy, which chooses epochs and variants, is not one of new images.",
        duplicates["near_images"],
        dataset=name,
        all=count(duplicates["looked_at"]),
        share=percent(duplicates["near_images"] / duplicates["looked_at"], 1),
        exact=count(duplicates["exact_images"]),
    )
    return Finding(text, {"near": duplicates["near_images"], "looked_at": duplicates["looked_at"]})


def given_validation(manifests: Mapping[str, Mapping[str, Any]]) -> dict[str, int]:
    """Number of validation images of each dataset that brings a validation split."""
    return {
        dataset: sum(manifest["counts"]["validation"].values())
        for dataset, manifest in manifests.items()
        if "validation" in manifest["counts"]
    }


def validation_origin(manifests: Mapping[str, Mapping[str, Any]], fraction: float) -> str:
    """Where the validation images come from, as a sentence: of each dataset, where they differ.

    Args:
        fraction: share of the training images that is set aside where the data bring no validation split.
    """
    drawn = N_("Of the training images {share} are set aside for validation, of each class alike, anew for each seed.")
    texts = {
        name: _(GIVEN_VALIDATION) if "validation_from" in manifest else _(drawn, share=percent(fraction, 0))
        for name, manifest in manifests.items()
    }
    return _of_each(texts)


def _of_each(texts: Mapping[str, str]) -> str:
    """One text where all datasets have the same, else each behind the name of its dataset."""
    if len(set(texts.values())) == 1:
        return next(iter(texts.values()))
    return " ".join(f"{name}: {text}" for name, text in texts.items())


def test_origin(manifests: Mapping[str, Mapping[str, Any]]) -> str:
    """Where the test images come from, as one or more sentences: of each dataset, where they differ."""
    sayings = {
        "data": N_("The test images are those that the data bring."),
        "rule": N_("The data bring no test images: every fifth image of each class was held out, by a fixed rule."),
        "seed": N_(
            "The data bring no test images: {share} of each class were held out by one draw (seed {seed}), the same "
            "for all runs."
        ),
    }
    texts = {}
    for name, manifest in manifests.items():
        origin = manifest["test_from"]
        share = percent(origin["fraction"], 0) if "fraction" in origin else ""
        texts[name] = _(sayings[origin["from"]], share=share, seed=origin.get("seed", ""))
    return _of_each(texts)
