"""Figures are written as SVG, PNG and PDF: equal figures are equal bytes, and papers can take them."""

import os
import re
import signal
from itertools import combinations

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from docutils.core import publish_parts
from matplotlib.transforms import Bbox

from convlab.figures import results, saving
from convlab.figures.saving import FigureWriter
from convlab.figures.sheet import Sheet
from convlab.figures.style import caption_text, save, use_style

HOSTILE = [
    "a * b_ `c` |d| \\",
    "<b>bold</b>",
    ".. raw:: html",
    "`x <javascript:alert(1)>`_",
    "see https://example.org",
    "{x}",
]


def figure():
    use_style()
    made, axes = plt.subplots(1, 2)
    axes[0].plot([1, 2, 3], label="é × 5")
    axes[0].legend()
    axes[1].imshow(np.arange(16).reshape(4, 4))
    return made


def test_equal_figures_are_equal_bytes_in_every_format(tmp_path, monkeypatch):
    save(figure(), tmp_path / "first")
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "1000000000")  # another time of day
    save(figure(), tmp_path / "second")
    for suffix in ("svg", "png", "pdf"):
        first, second = (tmp_path / f"{name}.{suffix}" for name in ("first", "second"))
        assert first.read_bytes() == second.read_bytes(), suffix
        assert b"Date" not in first.read_bytes().replace(b"DateTime", b"") or suffix == "svg", suffix
    assert len(list(tmp_path.iterdir())) == 6


def test_a_pdf_has_no_type_3_fonts(tmp_path):
    save(figure(), tmp_path / "figure")
    content = (tmp_path / "figure.pdf").read_bytes()
    assert (b"/Type3" not in content and b"/CIDFontType2" in content) or b"/TrueType" in content


def test_many_variants_fit_one_figure_that_is_drawn_at_once():
    series = [results.Series(f"v{number}", f"a rather long label {number}", number) for number in range(200)]
    generator = np.random.default_rng(0)
    values = [dict(enumerate(generator.random(5))) for _ in series]
    values[3] = dict.fromkeys(range(5), np.nan)  # all its runs diverged
    intervals = [(0.1, 0.9)] * 199 + [(None, None)]
    seeds = results.every_seed(series, values, intervals, "Learning rate")
    contrasts = pd.DataFrame({"difference": 0.1, "ci_low": [0.0] * 199 + [None], "ci_high": 0.2, "verdict": "better"})
    contrasts["ci_high"] = contrasts["ci_high"].where(contrasts["ci_low"].notna())
    for drawn in (seeds, results.forest(contrasts, series, 0.005)):
        axis = drawn.axes[0]
        assert drawn.get_size_inches()[1] < 5
        assert len(axis.collections) + len(axis.lines) <= 5 and len(axis.get_xticks()) <= 12
        plt.close(drawn)
    assert "Learning rate (200 in order" in seeds.axes[0].get_xlabel()


@pytest.mark.parametrize(("columns", "aspect", "above_each", "right"), [(3, 1, 0.2, 0), (5, 0.5, 0, 1), (1, 2, 0.1, 0)])
def test_images_on_a_sheet_keep_their_proportions_and_to_themselves(columns, aspect, above_each, right):
    sheet = Sheet(5, columns, aspect=aspect, above_each=above_each, above=0.1, right=right)
    shapes = [(8, 8), (8, 16), (16, 8), (1, 1), (28, 20, 3)]
    drawn = [sheet.show(place, np.zeros(shape, np.uint8)).get_extent() for place, shape in enumerate(shapes)]
    width, height = sheet.figure.get_size_inches()
    boxes = [Bbox([(left, top), (to, bottom)]) for left, to, bottom, top in drawn]
    for box, shape in zip(boxes, shapes, strict=True):
        assert box.height / box.width == pytest.approx(shape[0] / shape[1])
        assert box.x0 > 0 and box.x1 < width - right and box.y0 > above_each and box.y1 < height
    assert not any(first.overlaps(second) for first, second in combinations(boxes, 2))


@pytest.mark.parametrize("text", HOSTILE)
def test_a_caption_shows_any_text_as_it_is(text):
    html = publish_parts(caption_text(f"Confusion of {text}", f"Of {text}"), writer="html")["body"]
    said = re.sub(r"<[^>]+>", "", html).replace("&lt;", "<").replace("&gt;", ">").replace("&amp;", "&")
    assert said.split() == f"Confusion of {text}. Of {text}".split()
    assert set(re.findall(r"<(\w+)", html)) == {"p", "strong"}


def bars(count: int):
    figure, axes = plt.subplots(figsize=(2, 2))
    axes.bar(range(count), range(count))
    return figure


def test_figures_written_side_by_side_are_the_same_bytes_as_one_after_another(tmp_path):
    for processes in (1, 3):
        (tmp_path / str(processes)).mkdir()
        with FigureWriter(processes) as writer:
            for count in range(1, 8):
                writer.save(bars(count), tmp_path / str(processes) / f"bars-{count}")
    alone, together = ({file.name: file.read_bytes() for file in (tmp_path / n).iterdir()} for n in ("1", "3"))
    assert len(alone) == 7 * 3
    assert together == alone


def test_what_goes_wrong_in_a_drawing_process_is_raised_as_it_was(tmp_path):
    (tmp_path / "file").write_text("not a folder")
    with pytest.raises(OSError) as raised, FigureWriter(2) as writer:
        writer.save(bars(2), tmp_path / "fine")
        writer.save(bars(2), tmp_path / "file" / "bars")
    assert raised.value.filename == str(tmp_path / "file")  # what convlab.cli names to the user


def test_a_drawing_process_that_is_killed_is_not_taken_for_success(tmp_path, monkeypatch):
    monkeypatch.setattr(saving, "save", lambda figure, stem: os.kill(os.getpid(), signal.SIGKILL))
    with pytest.raises(RuntimeError, match="exit code -9"), FigureWriter(2) as writer:
        writer.save(bars(2), tmp_path / "bars")
