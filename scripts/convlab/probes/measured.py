"""What a probe measured on trained models: one table of all variants, and the arrays of each."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pandas as pd

from convlab.common.files import read_arrays
from convlab.common.table_files import read_table
from convlab.probes import registry
from convlab.study import layout
from convlab.study.schema import Study


@dataclass(frozen=True)
class Measured:
    """Measurements of one probe.

    Attributes:
        table: rows of dataset, variant, seed and the probe's ``COLUMNS``; empty for a probe without a ``measure.py``.
        files: (dataset, variant) -> its ``.npz``, for a probe that looks inside.
    """

    table: pd.DataFrame = field(default_factory=pd.DataFrame)
    files: Mapping[tuple[str, str], Path] = field(default_factory=dict)

    def arrays(self, dataset: str, variant: str) -> Mapping[str, np.ndarray]:
        """The arrays of one variant by name; none for a probe that writes none."""
        return read_arrays(self.files[dataset, variant]) if (dataset, variant) in self.files else {}


def load_measured(study: Study, folder: Path) -> dict[str, Measured]:
    """Measurements of the probes of trained models, by probe.

    Args:
        folder: the study's folder under results/.
    """
    measured = {}
    for name, probe in study.plan.probes.items():
        if not registry.has(name, "measure"):
            continue
        stems = {(d, v): layout.probed(folder, name, d) / v for d in study.datasets for v in probe.models}
        table = pd.concat([read_table(stem.with_name(f"{stem.name}.csv")) for stem in stems.values()])
        files = {key: stem.with_name(f"{stem.name}.npz") for key, stem in stems.items()}
        measured[name] = Measured(table, files if probe.settings.looks_inside else {})
    return measured
