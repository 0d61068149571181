"""What the data are, from what explore measured and where prepare found them."""

from collections.abc import Mapping
from typing import Any

from convlab import i18n
from convlab.i18n import N_, ngettext
from convlab.i18n import gettext as _
from convlab.interpretation import words as say
from convlab.page.elements import Table

MANIFEST_WORDS = (
    N_("none stated by its authors, who ask for the citation"),
    N_("as of the images"),
    N_("a folder of images"),
    N_("a NumPy file"),
)
"""What a manifest says in words of ours; names of people and licences stay as they are."""


def data_tables(explored: Mapping[str, Any], manifest: Mapping[str, Any]) -> dict[str, Table]:
    """What the data are, from what explore measured and where prepare found them."""
    image, pixel, duplicates = explored["image"], explored["pixels"], explored["duplicates"]
    content, raw, normalised = explored["content"], pixel["raw"], pixel["normalised"]
    parts = {"train": say.count(explored["images"]["train"]), "test": say.count(explored["images"]["test"])}
    share = say.percent(duplicates["near_share_of_test"], 1)
    values = _("{n} values", n=say.count(image["values"]))
    size = f"{i18n.number(content['median_height'], 'g')}×{i18n.number(content['median_width'], 'g')}"
    scale = _("{low} to {high}", low=pixel["minimum"], high=pixel["maximum"])
    facts = [
        ("images", _("{train} training, {test} test", **parts)),
        ("classes", say.count(len(explored["classes"]))),
        ("imbalance", say.MISSING if explored["imbalance_ratio"] is None else say.times(explored["imbalance_ratio"])),
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
        ("disagreeing", say.count(duplicates["label_disagreeing_pairs"])),
    ]
    dataset = explored["dataset"]
    counts = [
        (name, say.count(explored["counts"]["train"][name]), say.count(explored["counts"]["test"][name]))
        for name in explored["classes"]
    ]
    files = [(name, "×".join(map(str, entry["shape"])), entry["sha256"]) for name, entry in manifest["arrays"].items()]
    limits = {part: manifest.get(f"{part}_images") for part in ("train", "test")}
    kinds = {"train": N_("{n} train images"), "test": N_("{n} test images")}
    taken = ", ".join(_(kinds[part], n=say.count(limit)) for part, limit in limits.items() if limit)
    source = [
        ("source", _(manifest["source"])),
        ("licence", _(manifest["licence"])),
        ("citation", manifest["citation"]),
        ("homepage", manifest["homepage"]),
        ("taken", taken or _("all images")),
        ("excluded", say.count(len(manifest["excluded"]))),
    ]
    return {
        "facts": Table("data_facts", ("fact", "value"), facts, {"dataset": dataset}),
        "counts": Table("class_counts", ("class", "train_images", "test_images"), counts, {"dataset": dataset}),
        "files": Table("arrays", ("array", "shape", "sha256"), files, {"dataset": dataset}),
        "source": Table("source", ("fact", "value"), source, {"dataset": dataset}),
    }
