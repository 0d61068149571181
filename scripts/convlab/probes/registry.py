"""Registry of the probes: a probe is a folder beside this file, and nothing else names it.

To add one, copy ``translation/`` (measures trained models) or ``sample_efficiency/`` (trains models of its own), give
it the name that it has in ``config.yaml``, and change it. Then run ``make messages``, ``make schema`` and
``make docs``. What the files of a folder have to define:

``__init__.py``
    One line that says what is measured.
``settings.py``
    ``SETTINGS``, a subclass of ``probes.specs.ProbeSettings``: its docstring and fields are the config's section, its
    ``order`` the position in tables and report, ``label`` and ``level_label`` how the probe and its levels read,
    ``claim_measures`` and ``measured_for_claim`` what claims may ask for. A probe that trains overrides ``levels``; one
    that measures overrides ``passes``. ``looks_inside`` says that its ``measure.py`` is given networks,
    ``compares_levels`` that it is about all variants, levels of experiments too. The Snakefile imports it: pydantic and
    the standard library only.
``measure.py``
    Only for a probe that measures trained models. ``COLUMNS``, and ``measure(predict, images, labels, settings)``,
    which returns rows of these columns for one trained model. ``predict`` maps uint8 images (n, height, width,
    channels) to class probabilities (n, classes); ``labels`` is (n,); ``settings`` holds the fields of ``SETTINGS``, as
    JSON gives them. Images are as the dataset has them: of a model that was trained with ``pixel_permutation``,
    ``predict`` shuffles what it is given, and what is handed to ``network.model`` goes through ``network.arranged``. A
    probe that looks inside defines ``inspect(networks, images, labels, settings)`` instead, which is called once for
    all finished runs of a variant, a sequence of ``evaluation.networks.Network``, and returns rows, each with its
    ``seed`` beside these columns, and named arrays, which stay small: figures and tables are made of them. An edit
    measures this probe again, so the file imports what it computes with and no more.
``table.py``
    ``MEASURES``, a ``probes.curves.Measure`` for each measure of the curves. ``curves(probe, runs, plan, measured)``,
    which returns rows of ``probes.curves.CURVE_COLUMNS``. ``probe`` is ``plan.probes[<name>]``, ``runs`` compare's
    table of runs, ``measured`` a ``probes.measured.Measured``: the rows of ``measure.py`` behind the columns dataset,
    variant and seed, and the arrays (both empty without one). With a ``measure.py`` also ``MEASURED``, a
    ``results.columns.Column`` for each of its ``COLUMNS``, from which docs/tables.md is written. Optionally
    ``CONTRASTS`` and ``contrasts(probe, runs, plan, measured)``, for differences paired by seed: rows of
    ``probes.curves.CONTRAST_COLUMNS``, whose ``measure`` is a key of ``CONTRASTS`` (how each reads, before
    translation), alone or followed by a comma and the level, or the name of a layer. They are differences of shares,
    unless ``CONTRAST_UNITS`` has another unit for them, empty for plain numbers. With ``claim_measures`` also
    ``claim_values(name, measured_with, measured)``, a frame of dataset, variant, seed and value.
``figure.py``
    Optional. ``figures(probe, results, curves, measured)``, which yields the figures of one dataset, made by
    ``probes.charts.probe_figure``: a Matplotlib figure each, with title, caption, numbers and how to read it.
    ``results`` is a ``figures.study.DatasetResults``, with each variant's label and its number in the palette;
    ``curves`` are the dataset's rows.
``findings.py``
    ``TITLE`` and ``introduction(training, given_validation)``, the section's heading and first lines about a dataset
    that brings its validation images, or does not. ``findings(curves, contrasts, labels, rope)``, which returns
    findings about one dataset. Optionally ``ASSUMPTION``, the assumption of
    convolution that the probe tests: ``locality``, ``weight_sharing`` or ``translation``.

Constant texts are marked with ``N_`` and translated where they are shown. A job depends on the files that it loads:
``probe`` on one ``measure.py``, ``compare`` on COMPARE_PARTS and ``report`` on REPORT_PARTS of the probes that are on.
"""

from collections.abc import Iterable
from functools import cache
from types import ModuleType

from convlab.common import registry
from convlab.probes.specs import ProbeSettings

PACKAGE = "convlab.probes"

COMPARE_PARTS = ("settings", "table", "figure")
"""The files of a probe that ``compare`` loads."""

REPORT_PARTS = ("settings", "table", "findings")
"""The files of a probe that ``report`` loads."""


@cache
def names() -> tuple[str, ...]:
    """Names of all probes, in the order of tables and report."""
    return tuple(sorted(registry.folders(PACKAGE), key=lambda probe: (settings(probe).order, probe)))


def settings(probe: str) -> type[ProbeSettings]:
    """The class of a probe's settings."""
    return registry.load(PACKAGE, f"{probe}.settings").SETTINGS


@cache
def claim_measures() -> dict[str, tuple[str, str]]:
    """Quantities that probes offer to the rules of claims: name -> (probe, how it is written before its variant)."""
    return {name: (probe, usage) for probe in names() for name, usage in settings(probe).claim_measures.items()}


def level_label(probe: str, order: float) -> str:
    """Label of a probe's level, in the language in use."""
    return settings(probe).level_label(order)


def has(probe: str, part: str) -> bool:
    """Whether a probe has an optional file: ``measure`` or ``figure``."""
    return part in registry.names(f"{PACKAGE}.{probe}")


def part(probe: str, name: str) -> ModuleType:
    """A module of a probe's folder: ``table``, ``figure`` or ``findings``. Raises ImportError if it has none."""
    return registry.load(PACKAGE, f"{probe}.{name}")


def modules(probes: Iterable[str], *parts: str) -> tuple[str, ...]:
    """Dotted names of these files of these probes, if they exist: the code that a job loading them depends on."""
    return tuple(f"{PACKAGE}.{probe}.{name}" for probe in probes for name in parts if has(probe, name))
