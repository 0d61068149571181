"""Figures of probes in the report: entries of the section of probes, with the curves as their numbers."""

from typing import Any

import pandas as pd
from matplotlib.figure import Figure

from convlab.figures.study import DatasetResults, FigureFile
from convlab.study.variants import Probe


def probe_figure(
    results: DatasetResults,
    probe: Probe,
    figure: Figure,
    title: str,
    caption: str,
    *,
    numbers: pd.DataFrame | None = None,
    suffix: str = "",
    **more: Any,
) -> FigureFile:
    """A figure of a probe on one dataset.

    Args:
        title, caption: translated.
        numbers: the data that it shows; none of a grid of images.
        suffix: end of the file's name, for probes with several figures; a slug.
        more: further fields of FigureFile, such as ``reading`` and ``images``.
    """
    name = f"probe-{probe.name}" + (f"-{suffix}" if suffix else "")
    subject = {"probe": probe.name}
    return results.figure("probes", name, title, caption, figure, numbers=numbers, subject=subject, **more)
