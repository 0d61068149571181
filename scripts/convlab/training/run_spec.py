"""What defines a run: dataset, model, training and seed, their canonical form and its hash."""

import hashlib
from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import BeforeValidator, SerializeAsAny

from convlab.common.specs import Seed, Spec, canonical_json
from convlab.datasets.specs import AnyDataset
from convlab.models.registry import as_model
from convlab.models.specs import BaseModelSpec
from convlab.training.recipe import Training


class Run(Spec):
    """One training run: everything that its result depends on beside code and machine."""

    dataset: AnyDataset
    model: Annotated[
        SerializeAsAny[BaseModelSpec], BeforeValidator(as_model)
    ]  # of any family, without loading the others
    training: Training
    seed: Seed

    @classmethod
    def of_record(cls, record: Mapping[str, Any]) -> "Run":
        """The spec of a run by its ``run.json``, with the user's own code if the model was built by such."""
        run = cls.model_validate(record["spec"])
        return run.model_copy(update={"model": run.model.with_sources(record.get("sources", {}))})

    @property
    def identity(self) -> dict[str, Any]:
        """The canonical form as plain JSON types, without what only explains (``why``, ``label``) or locates."""
        fields = self.model_dump(mode="json", exclude={"model": True, "dataset": True})
        return {"dataset": self.dataset.identity, "model": self.model.identity, **fields}

    @property
    def spec_hash(self) -> str:
        """First 16 hexadecimal digits of the SHA-256 of the canonical form."""
        return hashlib.sha256(canonical_json(self.identity).encode()).hexdigest()[:16]
