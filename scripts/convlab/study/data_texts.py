"""Licence, citation and reasons that a study's config gives for its data, beside what ``manifest.json`` says of them.

They are no part of the manifest, on which every later stage depends: an edit of a text computes nothing again.
"""

from collections.abc import Mapping
from typing import Any

from convlab.datasets.specs import DatasetSpec
from convlab.study.labels import field_label, level_label


def with_own_texts(manifest: Mapping[str, Any], spec: DatasetSpec) -> dict[str, Any]:
    """The manifest of a dataset, with the licence and the citation that the config gives in place of the kind's."""
    given = {key: getattr(spec, key, None) for key in ("licence", "citation")}
    return {**manifest, **{key: value for key, value in given.items() if value}}


def reason(spec: DatasetSpec) -> str:
    """Why the study is on these data; empty where the config does not say."""
    return spec.why.get("kind", "")


def other_reasons(spec: DatasetSpec) -> list[tuple[str, str, str]]:
    """Name, value and reason of each other choice that the config explains, in the order of the fields."""
    return [
        (field_label(name), level_label(name, getattr(spec, name)), spec.why[name])
        for name in type(spec).model_fields
        if name in spec.why and name != "kind"
    ]
