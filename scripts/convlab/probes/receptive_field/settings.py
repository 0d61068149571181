"""Settings of the receptive-field probe: none. The Snakefile imports it: the standard library and pydantic only."""

from convlab.common.i18n import N_
from convlab.probes.specs import NoSettings


class ReceptiveField(NoSettings):
    """Accuracy against what a unit of the last feature map sees; it has no settings."""

    order = 4
    label = N_("receptive field")


SETTINGS = ReceptiveField
