"""Settings of the translation probe. The Snakefile imports it: pydantic and the standard library only."""

from pydantic import Field

from convlab.common.i18n import N_
from convlab.common.specs import PositiveWhole
from convlab.errors import UserError
from convlab.probes.specs import Models, ProbeSettings


class Translation(ProbeSettings):
    """Shift the test images, without training again: do predictions survive?"""

    order = 2
    label = N_("translation")

    shift: PositiveWhole = Field(4, description="Farthest shift along each axis, pixels.")
    models: Models = None

    def check_images(self, dataset: str, height: int, width: int) -> None:
        side = min(height, width)
        if self.shift >= side:
            raise UserError(
                f"probes.translation.shift is {self.shift}, which moves images of {dataset} ({height}×{width} pixels) "
                f"out of sight; choose at most {side - 1}"
            )

    @property
    def passes(self) -> int:
        return (2 * self.shift + 1) ** 2


SETTINGS = Translation
