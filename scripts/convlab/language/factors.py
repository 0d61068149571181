"""Factors in words: the trend over ordered levels, and the effects of two crossed factors."""

from convlab.common.i18n import N_, ngettext, number
from convlab.common.i18n import gettext as _
from convlab.language.numbers import change, change_ci_text, format_p
from convlab.statistics.factors import Effect, Factorial, Trend
from convlab.study.labels import field_label
from convlab.study.metrics import ACCURACY, Metric
from convlab.study.variants import Question


def factorial_sentence(
    question: Question, name: str, effect: Effect | None, effects: Factorial, metric: Metric = ACCURACY
) -> str:
    """Sentence of an effect of two crossed factors on a metric, with its numbers.

    Args:
        name: a factor of the question, or ``interaction``.
        effect: None where nothing was tested.
        effects: seeds; of an interaction of 2 × 2 levels its contrast too.
    """
    first, second = map(field_label, question.grid.factors)
    if name == "interaction":
        subject = _("Interaction of {first} and {second}", first=first, second=second)
    else:
        subject = _("Main effect of {factor}", factor=field_label(name))
    if metric != ACCURACY:
        subject = _("{effect}, on {metric}", effect=subject, metric=_(metric.name))
    if effect is None:
        return _(
            "{subject}: not tested, with n = {n} complete seeds{left_out}.",
            subject=subject,
            n=effects.n_blocks,
            left_out=_incomplete_seeds(effects.n_incomplete),
        )
    if effect.p_value is None:
        return _("{subject}: not tested, for the seeds do not differ.", subject=subject)
    parts = {
        "subject": subject,
        "statistic": f"F({effect.df}, {effect.df_residual}) = {number(effect.f_statistic, '.2f')}",
        "p": _exploratory(effect.p_value),
        "n": effects.n_blocks,
        "left_out": _incomplete_seeds(effects.n_incomplete),
    }
    if effects.contrast is None:
        return _("{subject}: {statistic}, {p}, n = {n} seeds{left_out}.", **parts)
    (low, high), (before, after) = question.grid.labels
    gain = change(effects.contrast, metric)
    parts |= {"first": first, "low": low, "high": high, "second": second, "before": before, "after": after}
    if effects.ci_low is None:
        return _(
            "{subject}: {statistic}, {p}, n = {n} seeds{left_out}; going from {second} {before} to {after} gains "
            "{gain} more at {first} {high} than at {low}.",
            **parts,
            gain=gain,
        )
    return _(
        "{subject}: {statistic}, {p}, n = {n} seeds{left_out}; going from {second} {before} to {after} gains "
        "{gain} more at {first} {high} than at {low} ({interval}).",
        **parts,
        gain=gain,
        interval=change_ci_text(effects.ci_low, effects.ci_high, metric),
    )


def _exploratory(p_value: float) -> str:
    """Text of an exploratory p value, which is not adjusted over the study."""
    return _("exploratory {p}", p=format_p(p_value))


def trend_sentence(question: Question, trend: Trend, metric: Metric = ACCURACY) -> str:
    """Sentence of a trend of a metric over ordered levels, with its numbers."""
    factor = question.subject
    if trend.slope is None:
        return _(
            "No trend over {factor}: a trend needs 3 levels and a complete seed; there are {levels} and {blocks}.",
            factor=factor,
            levels=trend.n_levels,
            blocks=trend.n_blocks,
        )
    slope = change(trend.slope, metric)
    doubling, unit = N_("{slope} per doubling of {factor}"), N_("{slope} per unit of {factor}")
    per_step = _(doubling if trend.slope_per == "doubling" else unit, slope=slope, factor=factor)
    if trend.ci_low is not None:
        per_step = f"{per_step} ({change_ci_text(trend.ci_low, trend.ci_high, metric)})"
    left_out = _incomplete_seeds(trend.n_incomplete)
    if trend.p_value is None:
        return ngettext(
            "{metric} changes by {change}, n = {n} seed{left_out}: a smoke test, nothing is inferred.",
            "{metric} changes by {change}, n = {n} seeds{left_out}: a smoke test, nothing is inferred.",
            trend.n_blocks,
            metric=_(metric.title),
            change=per_step,
            left_out=left_out,
        )
    return _(
        "{metric} changes by {change}, n = {n} seeds{left_out}; Page's trend test, {p}.",
        metric=_(metric.title),
        change=per_step,
        n=trend.n_blocks,
        left_out=left_out,
        p=_exploratory(trend.p_value),
    )


def _incomplete_seeds(n: int) -> str:
    """Number of seeds that a trend or a factorial leaves out, to follow the number of those that it uses."""
    if not n:
        return ""
    return ngettext(" ({n} seed with a diverged run left out)", " ({n} seeds with a diverged run left out)", n)
