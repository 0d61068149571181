"""Settings of the attributions probe. The Snakefile imports it: pydantic and the standard library only."""

from typing import Literal

from pydantic import Field

from convlab.common.i18n import N_
from convlab.common.i18n import gettext as _
from convlab.common.specs import PositiveWhole
from convlab.errors import UserError
from convlab.probes.specs import Models, ProbeSettings

METHODS = {
    "grad_cam": N_("Grad-CAM"),
    "integrated_gradients": N_("integrated gradients"),
    "occlusion": N_("occlusion"),
}
"""How each method reads, before translation; as a level of the curves the first has the order 1."""


class Attributions(ProbeSettings):
    """Grad-CAM, integrated gradients and occlusion: which pixels speak for the class? Shown with three sanity checks:
    against an untrained network, on planted data, and between seeds."""

    order = 9
    label = N_("attributions")
    looks_inside = True

    images: PositiveWhole = Field(
        8, description="Test images that are explained at most: the first of each class, from the first class on."
    )
    steps: PositiveWhole = Field(32, description="Points on the line along which gradients are integrated.")
    baseline: Literal["black", "grey", "mean"] = Field(
        "black", description="Where that line begins: a black or grey image, or each image's own mean colour."
    )
    patch: PositiveWhole | None = Field(
        None, description="Side of the occluding square, pixels; a quarter of the image's shorter side when absent."
    )
    stride: PositiveWhole | None = Field(
        None, description="From one occluding square to the next, pixels; half the square, rounded up, when absent."
    )
    fill: Literal["black", "grey", "mean"] = Field(
        "mean", description="What the occluding square shows: black, grey, or the image's own mean colour."
    )
    models: Models = None

    @staticmethod
    def level_label(order: float) -> str:
        return _(list(METHODS.values())[int(order) - 1]) if order else ""

    def check_images(self, dataset: str, height: int, width: int) -> None:
        shorter = min(height, width)
        if self.patch is not None and self.patch > shorter:
            raise UserError(
                f"probes.attributions.patch is {self.patch}, which is larger than the images of {dataset} "
                f"({height}×{width} pixels); choose at most {shorter}, or leave it out"
            )
        if self.stride is not None and self.stride > (self.patch or max(1, shorter // 4)):
            raise UserError(
                f"probes.attributions.stride is {self.stride}, which leaves pixels of {dataset} between the occluding "
                f"squares of {self.patch or max(1, shorter // 4)} pixels; choose at most their side, or leave it out"
            )

    @property
    def passes(self) -> int:
        return 30


SETTINGS = Attributions
