"""Tooltips and variants of a figure's parts: ``<title>`` and ``data-variant`` in its SVG.

The report shows figures inline. There ``data-variant`` lets a reader hide a variant everywhere at once, and a title is
what the browser shows over a point.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from weakref import WeakKeyDictionary
from xml.etree import ElementTree

from matplotlib.artist import Artist
from matplotlib.figure import Figure

SVG = "http://www.w3.org/2000/svg"


@dataclass(frozen=True)
class Mark:
    """Variant and tooltips of one drawn object: a text for each of its points, or one for all of it."""

    variant: str | None
    notes: tuple[str, ...]


_marks: WeakKeyDictionary[Figure, list[Mark]] = WeakKeyDictionary()


def mark(artists: Artist | Iterable[Artist], variant: str | None = None, notes: Sequence[str] = ()) -> None:
    """Attach a variant and tooltips to artists of a figure. ``notes``: a text for each point, or a single one."""
    for artist in [artists] if isinstance(artists, Artist) else artists:
        known = _marks.setdefault(artist.get_figure(root=True), [])
        artist.set_gid(f"mark-{len(known)}")
        known.append(Mark(variant, tuple(notes)))


def annotated(svg: str, figure: Figure) -> str:
    """Matplotlib's SVG of ``figure`` with its marks: ``class="mark"``, ``data-variant`` and ``<title>``."""
    known = _marks.get(figure)
    if not known:
        return svg
    ElementTree.register_namespace("", SVG)
    ElementTree.register_namespace("xlink", "http://www.w3.org/1999/xlink")
    root = ElementTree.fromstring(svg)
    for group in root.iter(f"{{{SVG}}}g"):
        name = group.get("id", "")
        if not name.startswith("mark-"):
            continue
        part = known[int(name.removeprefix("mark-"))]
        del group.attrib["id"]
        group.set("class", "mark")
        if part.variant is not None:
            group.set("data-variant", part.variant)
        points = list(group.iter(f"{{{SVG}}}use"))
        if len(part.notes) == len(points):
            for point, note in zip(points, part.notes, strict=True):
                _title(point, note)
        elif len(part.notes) == 1:
            _title(group, part.notes[0])
    return ElementTree.tostring(root, encoding="unicode") + "\n"


def _title(element: ElementTree.Element, text: str) -> None:
    title = ElementTree.Element(f"{{{SVG}}}title")
    title.text = text
    element.insert(0, title)
