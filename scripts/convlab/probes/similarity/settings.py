"""Settings of the similarity probe. The Snakefile imports it: pydantic and the standard library only."""

from collections.abc import Callable, Sequence
from typing import Annotated, Any

from pydantic import Field

from convlab.common.i18n import N_
from convlab.common.i18n import gettext as _
from convlab.common.specs import PositiveWhole, Whole
from convlab.probes.specs import ProbeSettings, Variants

LAST = 0.0
"""Order of the last hidden layer, which all networks have; convolutions are counted from 1."""

MIN_IMAGES = 8
"""Fewest images of which similarities are computed; the estimate needs four."""


IMAGES = 256
"""The default."""


class Similarity(ProbeSettings):
    """Do networks of several seeds, and of several levels, represent the images alike? Linear CKA of their layers."""

    order = 8
    label = N_("similarity")
    looks_inside = True
    compares_levels = True

    images: Annotated[Whole, Field(ge=MIN_IMAGES)] = Field(
        IMAGES,
        description="Test images on which layers are compared, evenly spaced; with the default all, where there are "
        "fewer.",
    )
    layers: PositiveWhole = Field(
        12, description="Most convolutions of a network that are compared; of more, evenly spaced ones."
    )
    models: Variants = None

    @property
    def test_images_needed(self) -> int | None:
        return None if self.images == IMAGES else self.images

    @staticmethod
    def level_label(order: float) -> str:
        return _("last hidden layer") if order == LAST else _("convolution {number}", number=f"{order:.0f}")

    def reduced(self, orders: Sequence[float], images: int, steps: int, named: Callable[[str], bool]) -> dict[str, Any]:
        return {"images": min(self.images, IMAGES)}


SETTINGS = Similarity
