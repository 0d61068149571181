"""Croissant 1.1 metadata (JSON-LD) of a prepared dataset; nothing is stated that its manifest does not hold.

Format: https://docs.mlcommons.org/croissant/docs/croissant-spec-1.1.html
"""

from collections.abc import Mapping, Sequence
from typing import Any

CROISSANT = "http://mlcommons.org/croissant/1.1"
RESPONSIBLE_AI = "http://mlcommons.org/croissant/RAI/1.0"

LICENCE_URLS = {
    "CC BY 4.0": "https://creativecommons.org/licenses/by/4.0/",
    "CC BY-NC 4.0": "https://creativecommons.org/licenses/by-nc/4.0/",
    "CC BY-SA 3.0": "https://creativecommons.org/licenses/by-sa/3.0/",
    "CC BY-SA 4.0": "https://creativecommons.org/licenses/by-sa/4.0/",
    "CC0": "https://creativecommons.org/publicdomain/zero/1.0/",
    "MIT": "https://spdx.org/licenses/MIT.html",
}
"""Addresses of licences by the names that manifests have; others are given as they are."""

REQUIRED = ("name", "description", "license", "url", "creator", "datePublished")
"""What the format requires of every dataset, beside its structure."""

SPLIT_URLS = {"train": "cr:TrainingSplit", "validation": "cr:ValidationSplit", "test": "cr:TestSplit"}

CONTEXT = {
    "@language": "en",
    "@vocab": "https://schema.org/",
    "sc": "https://schema.org/",
    "cr": "http://mlcommons.org/croissant/",
    "rai": "http://mlcommons.org/croissant/RAI/",
    "dct": "http://purl.org/dc/terms/",
    "conformsTo": "dct:conformsTo",
    **{
        name: f"cr:{name}"
        for name in (
            *("annotation", "arrayShape", "citeAs", "column", "containedIn", "equivalentProperty", "excludes"),
            *("extract", "field", "fileObject", "fileProperty", "fileSet", "format", "includes", "isArray"),
            *("isLiveDataset", "jsonPath", "key", "md5", "parentField", "path", "readLines", "recordSet"),
            *("references", "regex", "repeated", "replace", "samplingRate", "sdVersion", "separator", "source"),
            *("subField", "transform", "unArchive", "value"),
        )
    },
    "data": {"@id": "cr:data", "@type": "@json"},
    "dataType": {"@id": "cr:dataType", "@type": "@vocab"},
    "examples": {"@id": "cr:examples", "@type": "@json"},
}
"""The context that the format recommends."""


def data_card(manifest: Mapping[str, Any], sha256: str, size: int, stated: Mapping[str, str | None]) -> dict[str, Any]:
    """The metadata of ``data.npz`` in the folder of this card.

    Args:
        manifest: manifest.json of the dataset.
        sha256, size: checksum and bytes of ``data.npz``.
        stated: ``licence`` and ``citation`` where they are known, and ``why`` the dataset was chosen.
    """
    parts = [part for part in SPLIT_URLS if f"x_{part}" in manifest["arrays"]]
    licence, citation = stated.get("licence"), stated.get("citation")
    described = {
        "description": _description(manifest, parts, stated.get("why")),
        "license": LICENCE_URLS.get(licence or "", licence),
        "url": manifest["homepage"],
        "citeAs": citation,
        "rai:dataPreprocessingProtocol": [_preprocessing(manifest)],
        "rai:dataLimitations": _limitations(manifest),
    }
    return {
        "@context": CONTEXT,
        "@type": "sc:Dataset",
        "conformsTo": [CROISSANT, RESPONSIBLE_AI],
        "name": manifest["dataset"],
        **{name: value for name, value in described.items() if value},
        "distribution": _distribution(manifest, sha256, size),
        "recordSet": [_splits(parts), _classes(manifest, parts), *(_images(manifest, part) for part in parts)],
    }


def left_out(card: Mapping[str, Any]) -> list[str]:
    """The required properties that a card lacks, since nobody has stated them."""
    return [name for name in REQUIRED if name not in card]


def _description(manifest: Mapping[str, Any], parts: Sequence[str], why: str | None) -> str:
    height, width, channels = manifest["input_shape"]
    images = ", ".join(f"{manifest['arrays'][f'x_{part}']['shape'][0]:,} {part}" for part in parts)
    sentences = [
        f"Images of {height}×{width} pixels with {channels} channel{'s' if channels > 1 else ''} in "
        f"{len(manifest['classes'])} classes ({images}), prepared by convlab.",
        f"Source: {manifest['source']}.",
        *([why] if why else []),
    ]
    return " ".join(sentences)


def _preprocessing(manifest: Mapping[str, Any]) -> str:
    """How the arrays came to be, from what the manifest says."""
    options = ", ".join(f"{name}: {value}" for name, value in manifest["options"].items() if value is not None)
    origin = manifest["test_from"]
    test = {
        "data": "Test images are those that the data bring.",
        "rule": "Test images were taken by a fixed rule.",
    }.get(origin["from"])
    if test is None:
        test = f"Test images were drawn by seed {origin['seed']}, {origin['fraction']:.0%} of every class."
    taken = {part: manifest[f"{part}_images"] for part in ("train", "test") if manifest[f"{part}_images"] is not None}
    sentences = [
        f"Read by convlab's kind {manifest['kind']}{f' with {options}' if options else ''} into arrays of unsigned "
        "bytes (images, height, width, channels).",
        test,
        *(["Validation images are those that the data bring."] if "validation_from" in manifest else []),
        *(
            f"The first {number:,} {part} images of the classes, in proportion, were taken."
            for part, number in taken.items()
        ),
    ]
    return " ".join(sentences)


def _limitations(manifest: Mapping[str, Any]) -> list[str]:
    """What of the source is not in the arrays."""
    lost = sum(entry["count"] for entry in manifest["excluded"] if entry["image"])
    return [f"{lost:,} images of the source could not be read and are left out."] if lost else []


def _distribution(manifest: Mapping[str, Any], sha256: str, size: int) -> list[dict[str, Any]]:
    """``data.npz``; an ``.npz`` is a zip archive of arrays, which fields name as columns."""
    arrays = (
        f"{name} ({entry['dtype']}, {'×'.join(map(str, entry['shape']))})" for name, entry in manifest["arrays"].items()
    )
    return [
        {
            "@type": "cr:FileObject",
            "@id": "data.npz",
            "name": "data.npz",
            "description": f"NumPy's uncompressed .npz, a zip archive of arrays: {', '.join(arrays)}.",
            "contentUrl": "data.npz",
            "contentSize": f"{size} B",
            "encodingFormat": "application/zip",
            "sha256": sha256,
        }
    ]


def _field(record_set: str, name: str, data_type: str | list[str], **more: Any) -> dict[str, Any]:
    return {
        "@type": "cr:Field",
        "@id": f"{record_set}/{name}",
        "name": name,
        "dataType": data_type,
        **more,
    }


def _splits(parts: Sequence[str]) -> dict[str, Any]:
    return {
        "@type": "cr:RecordSet",
        "@id": "splits",
        "name": "splits",
        "description": "The parts into which the images are divided.",
        "dataType": "cr:Split",
        "key": {"@id": "splits/name"},
        "field": [_field("splits", "name", "sc:Text"), _field("splits", "url", "sc:URL")],
        "data": [{"splits/name": part, "splits/url": SPLIT_URLS[part]} for part in parts],
    }


def _classes(manifest: Mapping[str, Any], parts: Sequence[str]) -> dict[str, Any]:
    return {
        "@type": "cr:RecordSet",
        "@id": "classes",
        "name": "classes",
        "description": "The classes, in the order of the labels, and how many images each has.",
        "dataType": "sc:Enumeration",
        "key": {"@id": "classes/label"},
        "field": [
            _field("classes", "label", "sc:Integer"),
            _field("classes", "name", "sc:Text"),
            *(_field("classes", f"{part}_images", "sc:Integer") for part in parts),
        ],
        "data": [
            {
                "classes/label": label,
                "classes/name": name,
                **{f"classes/{part}_images": manifest["counts"][part][name] for part in parts},
            }
            for label, name in enumerate(manifest["classes"])
        ],
    }


def _images(manifest: Mapping[str, Any], part: str) -> dict[str, Any]:
    """One record for each image of a part."""
    shape = ",".join(map(str, manifest["input_shape"]))
    return {
        "@type": "cr:RecordSet",
        "@id": part,
        "name": part,
        "description": f"Images and labels: the rows of the arrays x_{part} and y_{part}.",
        "field": [
            _field(
                *(part, "image", "cr:UInt8"),
                description="Pixels as bytes: height, width, channels.",
                isArray=True,
                arrayShape=shape,
                source={"fileObject": {"@id": "data.npz"}, "extract": {"column": f"x_{part}"}},
            ),
            _field(
                *(part, "label", ["sc:Integer", "cr:Label"]),
                description="Index of the class.",
                references={"field": {"@id": "classes/label"}},
                source={"fileObject": {"@id": "data.npz"}, "extract": {"column": f"y_{part}"}},
            ),
            _field(
                *(part, "split", "sc:Text"),
                value=part,
                references={"field": {"@id": "splits/name"}},
            ),
        ],
    }
