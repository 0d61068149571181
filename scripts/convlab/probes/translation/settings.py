"""Settings of the translation probe. The Snakefile imports it: pydantic and the standard library only."""

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Literal

from pydantic import Field

from convlab.common.i18n import N_
from convlab.common.specs import PositiveWhole
from convlab.errors import UserError
from convlab.probes.specs import Models, ProbeSettings


class Translation(ProbeSettings):
    """Shift the test images, without training again: do predictions survive?"""

    order = 2
    label = N_("translation")
    claim_measures: ClassVar[Mapping[str, str]] = {"accuracy_shifted": "accuracy_shifted(pixels)"}

    shift: PositiveWhole = Field(4, description="Farthest shift along each axis, pixels.")
    fill: Literal["black", "edge", "wrap"] = Field(
        "black",
        description="What stands where an image has moved away: black, the nearest pixel of its edge, or what has left "
        "on the other side.",
    )
    models: Models = None

    def check_images(self, dataset: str, height: int, width: int) -> None:
        side = min(height, width)
        if self.shift >= side:
            raise UserError(
                f"probes.translation.shift is {self.shift}, which moves images of {dataset} ({height}×{width} pixels) "
                f"out of sight; choose at most {side - 1}"
            )

    def measured_for_claim(self, name: str, arguments: Sequence[str]) -> dict[str, Any]:
        (pixels, *more), distances = arguments, range(1, self.shift + 1)
        if more or pixels not in map(str, distances):
            raise ValueError(
                f"probes.translation measures shifts of up to {self.shift} px, not {', '.join(arguments)}; write "
                f"accuracy_shifted({self.shift})(variant), or raise probes.translation.shift"
            )
        return {"shift": int(pixels), "fill": self.fill}

    @property
    def passes(self) -> int:
        return 4 * self.shift + 1


SETTINGS = Translation
