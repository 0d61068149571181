"""Settings of the effective receptive field. The Snakefile imports it: pydantic and the standard library only."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from pydantic import Field

from convlab.common.i18n import N_, number, with_unit
from convlab.common.specs import PositiveWhole
from convlab.common.text import listing
from convlab.errors import UserError
from convlab.models.registry import family_of
from convlab.models.specs import BaseModelSpec
from convlab.probes.specs import ProbeSettings, Variants

IMAGES = 64
"""The default."""


class EffectiveReceptiveField(ProbeSettings):
    """Which pixels the last feature map depends on, by its gradient, trained and untrained; beside the closed form."""

    order = 7
    label = N_("effective receptive field")
    looks_inside = True
    compares_levels = True

    images: PositiveWhole = Field(
        IMAGES,
        description="Test images over which the gradient is averaged, evenly spaced; with the default all, where there "
        "are fewer.",
    )
    models: Variants = None

    def check_models(self, models: Mapping[str, BaseModelSpec]) -> None:
        families = [family_of(model) for model in models.values()]
        if not any(family.convolutional or family.model for family in families):  # layers of own code are not known yet
            raise UserError(
                "probes.effective_receptive_field measures feature maps of convolutions, and no model that it probes "
                f"has any ({listing(models)}); add one with family: conv, or switch the probe off"
            )

    @property
    def test_images_needed(self) -> int | None:
        return None if self.images == IMAGES else self.images

    @staticmethod
    def level_label(order: float) -> str:
        return with_unit(number(100 * order, ".0f"), "%")

    def reduced(self, orders: Sequence[float], images: int, steps: int, named: Callable[[str], bool]) -> dict[str, Any]:
        return {"images": min(self.images, IMAGES)}


SETTINGS = EffectiveReceptiveField
