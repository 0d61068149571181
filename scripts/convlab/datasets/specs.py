"""Specs of datasets: the fields that all kinds share, and a type that validates any kind.

Training imports this module, so an edit here retrains everything: keep it small.
"""

from collections.abc import Mapping
from typing import Annotated, Any, ClassVar

from pydantic import BeforeValidator, Field, SerializeAsAny, WithJsonSchema, model_validator
from pydantic_core import PydanticCustomError

from convlab.common import registry
from convlab.common.specs import Limit, Location, Notes, Real, Seed, Spec

KINDS = "convlab.datasets.kinds"
"""The package with a module for each kind; see ``registry.Kind``."""


DATASET_TEXTS = frozenset({"why", "licence", "citation"})
"""Fields that only explain a dataset; the report and model cards print them."""


def _reasons(value: Any) -> Any:
    """One text is the reason for the choice of the data."""
    return {"kind": value} if isinstance(value, str) else value


Reasons = Annotated[
    Notes,
    BeforeValidator(_reasons),
    WithJsonSchema({"anyOf": [{"type": "string"}, {"type": "object", "additionalProperties": {"type": "string"}}]}),
]


class DatasetSpec(Spec):
    """Which images: what all kinds share. Each adds ``kind: Literal["its_name"]``.

    Every field but ``path`` and those of ``DATASET_TEXTS`` is part of a run's identity.
    """

    users_own: ClassVar[bool] = False
    """Whether the images are the user's own files at ``path``, known by a digest of their content."""

    train_images: Limit = Field(None, description="Take only this many training images.")
    test_images: Limit = Field(None, description="Take only this many test images.")
    why: Reasons = Field(
        {}, description="Why these data: a text, or a text for each choice by field name; the report prints it."
    )

    @property
    def identity(self) -> dict[str, Any]:
        """The fields as plain JSON types, without those that only explain or locate."""
        return self.model_dump(mode="json", exclude={"path", *DATASET_TEXTS})

    @model_validator(mode="after")
    def _reasons_name_fields(self) -> "DatasetSpec":
        for name in self.why:
            if name not in type(self).model_fields or name in DATASET_TEXTS:
                raise ValueError(f"why.{name} explains a field that such a dataset does not have")
        return self


class Published(DatasetSpec):
    """A published dataset, fetched and checked by its checksums."""

    kind: str
    path: Location | None = Field(None, description="Folder that already holds the dataset's files.")


class OwnImages(DatasetSpec):
    """Images of the user's own. Only `prepare` needs ``path``; it is excluded from a run's identity."""

    users_own: ClassVar[bool] = True

    path: Location | None = Field(None, description="Where they are; relative to the folder in which Snakemake runs.")
    test_fraction: Annotated[Real, Field(gt=0, lt=1)] = Field(
        0.2, description="Share of every class held out for testing, where the data bring no test images."
    )
    split_seed: Seed = Field(0, description="Seed of that split, the same for all runs.")
    licence: str | None = Field(None, description="Under what licence the images are, for the report and model cards.")
    citation: str | None = Field(None, description="How to cite the images, for the report and model cards.")


def kind_module(kind: str) -> str:
    """Dotted name of a kind's module, on which jobs that read such a dataset depend beside their imports."""
    return f"{KINDS}.{kind}"


def as_dataset(value: Any) -> Any:
    """Validate a dataset in a run's record by its kind's spec; imports only the module of that kind.

    Raises PydanticCustomError (``unknown_kind``) if the kind is missing or unknown.
    """
    if isinstance(value, DatasetSpec):
        return value
    kind = value.get("kind") if isinstance(value, Mapping) else None
    if kind not in registry.names(KINDS):
        raise PydanticCustomError("unknown_kind", "choose one of {kinds}", {"kinds": ", ".join(registry.names(KINDS))})
    return registry.load(KINDS, kind).KIND.spec.model_validate(value)


AnyDataset = Annotated[SerializeAsAny[DatasetSpec], BeforeValidator(as_dataset)]
"""A dataset of any kind, validated by the module of that kind, which is loaded by name: a run depends on no kind, so
that an edit of one trains no run without it."""
