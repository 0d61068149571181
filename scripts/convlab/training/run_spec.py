"""What defines a run: dataset, model, training and seed, their canonical form and its hash."""

import hashlib
from typing import Annotated, Any

from pydantic import BeforeValidator, SerializeAsAny

from convlab.common.specs import Seed, Spec, canonical_json
from convlab.datasets.specs import AnyDataset
from convlab.models.registry import as_model
from convlab.models.specs import ModelSpec
from convlab.training.recipe import Training


class Run(Spec):
    """One training run: everything that its result depends on beside code and machine."""

    dataset: AnyDataset
    model: Annotated[SerializeAsAny[ModelSpec], BeforeValidator(as_model)]  # of any family, without loading the others
    training: Training
    seed: Seed

    @property
    def identity(self) -> dict[str, Any]:
        """The canonical form as plain JSON types, without what only explains (``why``, ``label``) or locates."""
        fields = self.model_dump(mode="json", exclude={"model": {"why", "label"}, "dataset": True})
        return {"dataset": self.dataset.identity, **fields}

    @property
    def spec_hash(self) -> str:
        """First 16 hexadecimal digits of the SHA-256 of the canonical form."""
        return hashlib.sha256(canonical_json(self.identity).encode()).hexdigest()[:16]
