"""Settings of the sample-efficiency probe. The Snakefile imports it: pydantic and the standard library only."""

import math
from collections.abc import Callable, Sequence
from typing import Any

from pydantic import Field, field_validator

from convlab.common import i18n
from convlab.common.i18n import N_
from convlab.common.i18n import gettext as _
from convlab.common.scaling import scaled
from convlab.common.specs import Limit, PositiveWhole
from convlab.errors import UserError
from convlab.probes.specs import Models, ProbeSettings, TrainedLevel

MAX_QUICK_IMAGES = 300
"""Most training images of a level in ``make quick``, all images apart."""


class SampleEfficiency(ProbeSettings):
    """Train on nested subsets for the same number of steps: who needs fewer images?"""

    order = 3
    label = N_("sample efficiency")

    sizes: tuple[Limit, ...] = Field(
        (100, 300, 1000, 3000, 10000, None), min_length=2, description="Numbers of training images; null for all."
    )
    steps: PositiveWhole = Field(2000, description="Optimizer steps of every run, whatever its size; none stops early.")
    models: Models = None

    @field_validator("sizes")
    @classmethod
    def _different(cls, sizes: tuple[int | None, ...]) -> tuple[int | None, ...]:
        if len(set(sizes)) < 2:
            raise ValueError(f"needs two different sizes (it is {list(sizes)})")
        return sizes

    @staticmethod
    def level_label(order: float) -> str:
        return _("all images") if math.isinf(order) else _("{n} images", n=i18n.number(order, ",.0f"))

    def levels(self, images_to_train_on: Callable[[], int | None]) -> list[TrainedLevel]:
        return [
            TrainedLevel(
                f"images-{size or 'all'}",
                size or math.inf,
                {"train_size": size, "steps": self.steps, "early_stopping": None},
            )
            for size in self._possible_sizes(images_to_train_on)
        ]

    def _possible_sizes(self, images_to_train_on: Callable[[], int | None]) -> list[int | None]:
        """The sizes as written; the default ones as far as every dataset has more images: as many are all of them."""
        sizes = sorted(set(self.sizes), key=lambda size: size or math.inf)
        if self.sizes != type(self).model_fields["sizes"].default:
            return sizes
        most = images_to_train_on()
        possible = [size for size in sizes if size is None or most is None or size < most]
        if len(possible) < 2:
            raise UserError(
                "probes.sample_efficiency.sizes begins with 100, and there are no more images to train on; write others"
            )
        return possible

    def train_size_advice(self, most: int) -> str:
        possible = [size for size in self.sizes if size and size <= most] or [max(1, most // 2)]
        return f"write sizes: [{', '.join(map(str, [*possible, 'null']))}]"

    def reduced(self, orders: Sequence[float], images: int, steps: int, named: Callable[[str], bool]) -> dict[str, Any]:
        """Two sizes and all images where nothing names a size, else all of them, scaled down."""
        sizes = [int(order) for order in orders if math.isfinite(order)]
        if not any(named(f"images-{size}") for size in [*sizes, "all"]):
            sizes = sizes[:2]
        smaller = list(scaled(sizes, min(images, MAX_QUICK_IMAGES)).values())
        whole = [None] if None in self.sizes or len(smaller) < 2 else []
        return {"sizes": smaller + whole, "steps": min(self.steps, steps)}


SETTINGS = SampleEfficiency
