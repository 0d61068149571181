"""Measurements of probes that look inside of networks, with made-up values and arrays in memory."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import product

import numpy as np
import pandas as pd

from convlab.probes.measured import Measured


@dataclass(frozen=True)
class MeasuredInMemory(Measured):
    """Measurements whose arrays are in no file: (dataset, variant) -> arrays by name."""

    held: Mapping[tuple[str, str], Mapping[str, np.ndarray]] = field(default_factory=dict)

    def arrays(self, dataset: str, variant: str) -> Mapping[str, np.ndarray]:
        return self.held.get((dataset, variant), {})


def fields_with(
    sides: Mapping[str, float], closed_forms: Mapping[str, int], seeds: Sequence[int] = (1, 2, 3)
) -> tuple[pd.DataFrame, Measured]:
    """Runs and effective receptive fields on digits: 90 % in squares of these sides, untrained ones a pixel wider.

    Args:
        closed_forms: variant -> receptive field; variants without a side have no feature map.
    """
    field = np.zeros((8, 8), np.float32)
    field[2:5, 2:5] = 1 / 9
    rows, held = [], {}
    for number, (variant, side) in enumerate(sides.items()):
        held["digits", variant] = {"trained": field, "untrained": field}
        kinds = (("trained", 0.0), ("untrained", 1.0))
        for seed, (network, wider), share in product(seeds, kinds, (0.5, 0.9, 0.99, 1.0)):
            scatter = 0.01 * seed * (1 + number) + 0.01 * wider * (seed % 2)
            rows.append({"dataset": "digits", "variant": variant, "seed": seed, "network": network, "share": share,
                         "side": side * (0.1 + share) + wider + scatter, "units": 1})  # fmt: skip
    runs = [
        {"dataset": "digits", "variant": variant, "seed": seed, "test_accuracy": 0.9, "receptive_field": side}
        for variant, side in closed_forms.items() for seed in seeds
    ]  # fmt: skip
    return pd.DataFrame(runs), MeasuredInMemory(pd.DataFrame(rows), held=held)
