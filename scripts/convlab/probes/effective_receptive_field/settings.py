"""Settings of the effective receptive field. The Snakefile imports it: pydantic and the standard library only."""

from pydantic import Field

from convlab.common.i18n import N_, number, with_unit
from convlab.common.specs import PositiveWhole
from convlab.probes.specs import Models, ProbeSettings


class EffectiveReceptiveField(ProbeSettings):
    """Which pixels the last feature map depends on, by its gradient, trained and untrained; beside the closed form."""

    order = 7
    label = N_("effective receptive field")
    looks_inside = True
    compares_levels = True

    images: PositiveWhole = Field(64, description="Test images over which the gradient is averaged, evenly spaced.")
    models: Models = None

    @staticmethod
    def level_label(order: float) -> str:
        return with_unit(number(100 * order, ".0f"), "%")


SETTINGS = EffectiveReceptiveField
