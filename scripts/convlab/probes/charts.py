"""Figures of probes in the report: entries of the section of probes, with the curves as their numbers."""

from typing import Any

import pandas as pd
from matplotlib.figure import Figure

from convlab.common.files import read_json
from convlab.common.i18n import gettext as _
from convlab.common.i18n import listing
from convlab.figures.study import DatasetResults, FigureFile
from convlab.language.captions import with_not_drawn
from convlab.study import layout
from convlab.study.variants import Plan, Probe


def test_images(results: DatasetResults) -> int:
    """How many test images a dataset has, of which a probe may take fewer."""
    manifest = read_json(layout.prepared(results.folder, results.dataset) / "manifest.json")
    return sum(manifest["counts"]["test"].values())


def shuffled_afterwards(probe: Probe, plan: Plan) -> str:
    """Which of the models see the changed images with their pixels shuffled, as in training; empty without any."""
    labels = [plan.variants[name].label for name in probe.models if plan.variants[name].training.pixel_permutation]
    if not labels:
        return ""
    return _("Pixels are shuffled after that, as they were in training, for {models}.", models=listing(labels))


def probe_figure(
    results: DatasetResults,
    probe: Probe,
    figure: Figure,
    title: str,
    caption: str,
    *,
    numbers: pd.DataFrame | None = None,
    suffix: str = "",
    not_drawn: int = 0,
    **more: Any,
) -> FigureFile:
    """A figure of a probe on one dataset.

    Args:
        title, caption: translated.
        numbers: the data that it shows; none of a grid of images.
        suffix: end of the file's name, for probes with several figures; a slug.
        not_drawn: how many variants have no place in it; the caption says so.
        more: further fields of FigureFile, such as ``reading`` and ``images``.
    """
    name = f"probe-{probe.name}" + (f"-{suffix}" if suffix else "")
    subject = {"probe": probe.name}
    caption = with_not_drawn(caption, not_drawn)
    return results.figure("probes", name, title, caption, figure, numbers=numbers, subject=subject, **more)
