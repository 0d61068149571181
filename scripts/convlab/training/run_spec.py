"""What defines a run: dataset, model, training and seed, their canonical form and its hash."""

import hashlib
from typing import Any

from convlab.common.specs import Seed, Spec, canonical_json
from convlab.datasets.specs import AnyDataset
from convlab.models.specs import Model
from convlab.training.recipe import Training


class Run(Spec):
    """One training run: everything that its result depends on beside code and machine."""

    dataset: AnyDataset
    model: Model
    training: Training
    seed: Seed

    @property
    def identity(self) -> dict[str, Any]:
        """The canonical form as plain JSON types, without what only explains (``why``, ``label``) or locates."""
        return self.model_dump(mode="json", exclude={"model": {"why", "label"}, "dataset": {"path"}})

    @property
    def spec_hash(self) -> str:
        """First 16 hexadecimal digits of the SHA-256 of the canonical form."""
        return hashlib.sha256(canonical_json(self.identity).encode()).hexdigest()[:16]
