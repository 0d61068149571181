"""Settings of the calibration probe: none. The Snakefile imports it: the standard library and pydantic only."""

from convlab.common.i18n import N_
from convlab.probes.specs import NoSettings


class Calibration(NoSettings):
    """Loss, Brier score and calibration error of every variant; it has no settings."""

    order = 5
    label = N_("calibration")


SETTINGS = Calibration
