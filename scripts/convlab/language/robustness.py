"""Other analyses of a contrast in words: their names, and which of them change its verdict."""

from collections.abc import Sequence

from convlab.common.i18n import N_, listing
from convlab.common.i18n import gettext as _
from convlab.study.metrics import ACCURACY, LOSS, Metric

TUNED = "tuned"
"""Name of the analysis of the runs that tuning chose; only studies with tuning have it."""

ANALYSES = {
    "paired": N_("paired t tests"),
    "unpaired": N_("unpaired"),
    "welch": N_("Welch"),
    "rope_half": N_("ROPE × 0.5"),
    "rope_double": N_("ROPE × 2"),
    "no_near_duplicates": N_("without near duplicates"),
    "seeds": N_("each seed left out"),
    "loss": N_("loss"),
    "last_epoch": N_("last epoch"),
    TUNED: N_("tuned"),
}
"""Short name of each analysis, before translation; ``seeds`` stands for all that leave one seed out."""

WITHOUT_SEED = "without_seed_"
"""Beginning of the names of the analyses that leave one seed out."""


def flips_sentence(changes: Sequence[tuple[str, str]]) -> str:
    """Sentence that names the analyses by which a verdict changes, with the other verdict; empty for none.

    Args:
        changes: text of each analysis, and of the verdict that it gives.
    """
    if not changes:
        return ""
    named = listing(_("{analysis} ({verdict})", analysis=analysis, verdict=verdict) for analysis, verdict in changes)
    return _("With other analyses the verdict changes: {changes}.", changes=named)


def analysis_text(name: str) -> str:
    """Name of an analysis for readers."""
    if name.startswith(WITHOUT_SEED):
        return seeds_left_out_text([name.removeprefix(WITHOUT_SEED)])
    return _(ANALYSES[name])


def unchanged_text() -> str:
    """Text of a mark of an analysis that gives the same verdict."""
    return _("same verdict")


def not_known_reason(analysis: str, least_seeds: int, metric: Metric) -> str:
    """Why an analysis says nothing about a contrast of a metric."""
    if analysis == "no_near_duplicates" and metric != ACCURACY:
        return _("not applicable, it is made for accuracy only")
    if analysis == "loss" and metric == LOSS:
        return _("not applicable, the verdict is about the loss")
    return {
        "no_near_duplicates": _("not applicable, no test image has a near duplicate in the training data"),
        "seeds": _("not applicable, that needs at least {n} seeds", n=least_seeds),
        "last_epoch": _("not known, only the kept epoch was evaluated"),
        TUNED: _("not known, too few tuned runs finished or they do not vary"),
    }.get(analysis, _("not applicable"))


def seeds_left_out_text(seeds: Sequence[str]) -> str:
    """Name of the analyses without one of these seeds each: ``without seed 2 and without seed 5``."""
    return listing(_("without seed {seed}", seed=seed) for seed in seeds)
