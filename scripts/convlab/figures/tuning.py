"""Chart of a hyperparameter search: validation accuracy of every trial over each drawn setting, log axis."""

from collections.abc import Sequence

import matplotlib.pyplot as plt
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator

from convlab.common.i18n import gettext as _
from convlab.common.i18n import number
from convlab.figures.labels import legend, within_percent
from convlab.figures.marks import mark
from convlab.figures.palette import PAPER
from convlab.figures.series import MAX_SERIES, Series, percent_text
from convlab.figures.style import WIDTH, look
from convlab.study.labels import field_label, level_label

MAX_PANELS = 3
"""Settings with a panel, the first ones; the numbers beside the figure have all."""

MAX_TICKS = 6
"""Powers of ten with a label, each of them and three times it."""


def validation_of_trials(trials: pd.DataFrame, settings: Sequence[str], series: Sequence[Series]) -> Figure:
    """Validation accuracy of every finished trial over each setting; chosen trials are filled.

    Args:
        trials: rows of tuning.csv of one dataset.
        settings: columns with the drawn settings.
        series: the variants, in the order to show.
    """
    shown = settings[:MAX_PANELS]
    figure, axes = plt.subplots(1, len(shown), figsize=(WIDTH if len(shown) > 1 else 0.72 * WIDTH, 3.2), squeeze=False)
    entries = {}
    for axis, name in zip(axes[0], shown, strict=True):
        for variant in series[:MAX_SERIES]:
            rows = trials[(trials["variant"] == variant.name) & trials["val_accuracy"].notna()]
            style = look(variant.index)
            for is_chosen in (False, True):
                part = rows[(rows["chosen"] == "yes") == is_chosen]
                dots = axis.scatter(
                    part[name],
                    100 * part["val_accuracy"],
                    s=26,
                    marker=style["marker"],
                    facecolor=style["color"] if is_chosen else PAPER,
                    edgecolor=style["color"],
                    zorder=3 if is_chosen else 2,
                )
                mark(dots, variant.name, [_note(variant, name, row) for row in part.to_dict("records")])
            entries[variant.name] = (dots, variant.label)
        axis.set_xscale("log")
        axis.xaxis.set_major_locator(LogLocator(subs=(1, 3), numticks=MAX_TICKS))
        axis.xaxis.set_major_formatter(FuncFormatter(lambda value, _position: number(value, "g")))
        axis.minorticks_off()
        axis.set_xlabel(field_label(name).capitalize())
    axes[0, 0].set_ylabel(_("Validation accuracy, %"))
    for axis in axes[0]:
        within_percent(axis, "y")
    legend(figure, list(entries.values()), loc="outside lower center", ncols=min(3, len(entries)), frameon=False)
    return figure


def _note(variant: Series, name: str, row: dict) -> str:
    """Tooltip of a trial."""
    return _(
        "{label}, seed {seed}, trial {trial}: {setting} {value}, validation accuracy {accuracy}",
        label=variant.label,
        seed=row["seed"],
        trial=row["trial"],
        setting=field_label(name),
        value=level_label(name, row[name]),
        accuracy=percent_text(100 * row["val_accuracy"]),
    )
