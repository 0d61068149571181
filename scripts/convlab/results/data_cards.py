"""Croissant metadata of a study's prepared datasets, from their manifests and the texts of its config."""

from pathlib import Path
from typing import Any

from convlab.common import checksums
from convlab.common.files import missing, read_json
from convlab.datasets.data_card import data_card
from convlab.datasets.registry import kind_of
from convlab.datasets.specs import DatasetSpec
from convlab.study.data_texts import reason, with_own_texts


def prepared_card(folder: Path, spec: DatasetSpec) -> dict[str, Any]:
    """The metadata of the arrays in a prepared dataset's folder. Raises UserError where they are missing or damaged."""
    data = folder / "data.npz"
    if not data.is_file():
        raise missing(data)
    checksums.verify(data)
    manifest = with_own_texts(read_json(folder / "manifest.json"), spec)
    unknown = spec.users_own and manifest["licence"] == kind_of(spec).licence  # which says: as of the images
    stated = {
        "licence": None if unknown else manifest["licence"],
        "citation": manifest["citation"],
        "why": reason(spec),
    }
    return data_card(manifest, checksums.sha256(data), data.stat().st_size, stated)
