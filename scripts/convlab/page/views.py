"""View models of the report's templates: numbers as text, headings and captions by their key in report/text."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import zip_longest

from markupsafe import Markup

from convlab.findings.study_results import Finding
from convlab.page.figures import Sprite
from convlab.study.variants import Question

MAX_CARD_CONTRASTS = 4
"""Comparisons on a question's card; the others are in the question's section."""


MAX_PANELS_BESIDE = 4
"""Panels of a chart up to which it can be read at half of the page's width."""


@dataclass(frozen=True)
class Table:
    """A table: ``name`` and ``columns`` stand for caption and headings in report/text, ``about`` fills the caption;
    ``variants`` names the variant of each row where a reader can hide it."""

    name: str
    columns: tuple[str, ...]
    rows: list[tuple[str, ...]]
    about: Mapping[str, str] = field(default_factory=dict)
    variants: Sequence[str] = ()


@dataclass(frozen=True)
class Figure:
    """A figure: drawn inline (``svg``), as a grid of images (``sprite``), or only named by its ``path``.

    ``anchor`` is its id on the page, ``reading`` says how to read it, ``numbers`` is the CSV of what it shows; where
    that is too large for the page, ``numbers_path`` names its file.
    """

    section: str
    anchor: str
    name: str
    title: str
    caption: str
    alt: str
    path: str
    svg: Markup | None = None
    sprite: Sprite | None = None
    reading: str = ""
    numbers: str = ""
    numbers_path: str = ""
    variant: str | None = None
    question: str | None = None
    probe: str | None = None
    layer: str | None = None
    """The convolution that it shows, of figures of filters and feature maps."""

    @property
    def has_many_panels(self) -> bool:
        """Whether it is a chart of so many panels that their text needs the width of the page."""
        return self.svg is not None and self.svg.count("-axes_") > MAX_PANELS_BESIDE


@dataclass(frozen=True)
class FeaturesView:
    """Filters and feature maps of a question or a variant: its figures by convolution, and measures of a question."""

    name: str
    title: str
    layers: Mapping[str, Sequence[Figure]]
    table: Table | None = None


def in_rows(figures: Sequence[Figure]) -> list[tuple[Figure, bool]]:
    """Each figure, and whether it takes a row of a wide page: one of many panels does, and one without a partner."""
    rows, partner = [], False
    for figure, following in zip_longest(figures, figures[1:]):
        alone = not partner and (following is None or following.has_many_panels)
        across = figure.has_many_panels or alone
        partner = not across and not partner
        rows.append((figure, across))
    return rows


@dataclass(frozen=True)
class Matrix:
    """A confusion matrix, or the difference of two: texts by row, and the share that colours each cell, -1 to 1."""

    title: str
    classes: Sequence[str]
    counts: Sequence[Sequence[str]]
    shares: Sequence[Sequence[str]]
    weights: Sequence[Sequence[float]]
    difference: bool = False


@dataclass(frozen=True)
class ProbeView:
    """A probe on one dataset: introduction, findings, figures and table."""

    name: str
    title: str
    introduction: str
    findings: Sequence[Finding]
    figures: Sequence[Figure]
    table: Table


@dataclass(frozen=True)
class ShortResult:
    """What came out in a few words, with a comparison's verdict and the text of its badge where there is one."""

    text: str
    verdict: str = ""
    badge: str = ""


@dataclass(frozen=True)
class Link:
    """A link inside the page: its target's id, and the section whose title is its text, or the text itself."""

    anchor: str
    section: str = ""
    label: str = ""


@dataclass(frozen=True)
class FindingsRow:
    """A row of the table of findings.

    Attributes:
        anchor: id of what says it in full.
        topic: key of its heading in report/text; empty where ``title`` is the heading.
        question: the experiment that the topic is about, if it is about one.
        basis: how surely: registered, exploratory, described, assumed.
        numbers: links to what holds its numbers.
    """

    anchor: str
    topic: str
    question: str | None
    title: str
    basis: str
    results: Sequence[ShortResult]
    numbers: Sequence[Link]


@dataclass(frozen=True)
class TuningView:
    """Tuning on one dataset: findings, verdicts untuned and tuned side by side, what was chosen for each variant."""

    findings: Sequence[Finding]
    verdicts: Table
    chosen: Table


@dataclass(frozen=True)
class Bar:
    """An interval drawn to scale: positions in percent of the width."""

    low: float
    high: float
    point: float
    zero: float
    rope_low: float
    rope_high: float


@dataclass(frozen=True)
class NewImagesView:
    """The verdict of a comparison on new test images: ``badge`` is its text, ``sentences`` say it in full."""

    verdict: str
    badge: str
    interval: str
    sentences: Sequence[str]


@dataclass(frozen=True)
class Mark:
    """Whether another analysis gives the same verdict: ``state`` is same, flip or unknown, ``text`` says so."""

    label: str
    state: str
    text: str


@dataclass(frozen=True)
class ContrastView:
    """One comparison in a question's card; ``badge`` is the text of its ``verdict``."""

    name: str
    variant: str
    reference: str
    verdict: str
    badge: str
    headline: str
    difference: str
    interval: str
    p_value: str
    sentence: str
    bar: Bar | None
    size: float
    exploratory: str
    """When it was changed or added, of one that was not registered before any run; else empty."""
    new_images: NewImagesView | None = None
    marks: Sequence[Mark] = ()
    flips: str = ""


@dataclass(frozen=True)
class QuestionCard:
    """A question on one dataset: its comparisons with their verdicts, trends, and the table of its levels."""

    question: Question
    dataset: str
    contrasts: list[ContrastView]
    seeds: str
    test_images: str
    trends: list[str]
    levels: Table | None

    @property
    def shown(self) -> list[ContrastView]:
        """Comparisons for the first screen: settled before inconclusive, then by size of the difference."""
        if len(self.contrasts) <= MAX_CARD_CONTRASTS:
            return self.contrasts
        rank = {name: order for order, name in enumerate(("better", "worse", "equivalent", "inconclusive"))}
        order = sorted(self.contrasts, key=lambda contrast: (rank.get(contrast.verdict, len(rank)), -contrast.size))
        return order[:MAX_CARD_CONTRASTS]


@dataclass(frozen=True)
class ClaimCard:
    """A claim as the scorecard shows it: what was published beside what was measured, and the verdict with its reason.

    ``dataset`` is empty where the study has only one.
    """

    name: str
    text: str
    source: str
    rule: str
    dataset: str
    published: str
    measured: str
    interval: str
    verdict: str
    reason: str
    registered: str
    """When it was registered."""
    exploratory: bool
    """Whether that was not before any run."""


@dataclass(frozen=True)
class VariantRow:
    """A row of the main table, and one for each seed under it."""

    variant: str
    cells: tuple[str, ...]
    seeds: list[tuple[str, ...]]
    featured: bool
