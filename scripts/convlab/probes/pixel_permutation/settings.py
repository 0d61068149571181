"""Settings of the probe that shuffles pixels. The Snakefile imports it: pydantic and the standard library only."""

import math
from collections.abc import Callable

from pydantic import Field

from convlab.common.i18n import N_
from convlab.common.i18n import gettext as _
from convlab.common.specs import PositiveWhole
from convlab.probes.specs import Models, ProbeSettings, TrainedLevel


class PixelPermutation(ProbeSettings):
    """Train again with the pixels of all images in another, fixed order: is it the neighbourhood that helps?"""

    order = 1
    label = N_("pixel permutation")

    blocks: tuple[PositiveWhole, ...] = Field(
        (1,), min_length=1, description="Side of the blocks that stay whole, pixels; 1 shuffles every pixel."
    )
    models: Models = None

    @staticmethod
    def level_label(order: float) -> str:
        if math.isinf(order):
            return _("intact")
        return _("pixels shuffled") if order == 1 else _("{side}×{side} blocks shuffled", side=f"{order:.0f}")

    def levels(self, images_to_train_on: Callable[[], int | None]) -> list[TrainedLevel]:
        intact = TrainedLevel("", math.inf, {})  # whole images are the largest blocks
        sides = sorted(set(self.blocks))
        return [intact, *(TrainedLevel(f"shuffled-{side}", side, {"pixel_permutation": side}) for side in sides)]


SETTINGS = PixelPermutation
