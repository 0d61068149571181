"""Figures are written as SVG, PNG and PDF: equal figures are equal bytes, and papers can take them."""

import logging
import os
import re
import signal
import zlib
from collections.abc import Sequence
from contextlib import suppress
from itertools import combinations
from pathlib import Path

import matplotlib
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from docutils.core import publish_parts
from fontTools.ttLib import TTFont
from matplotlib import font_manager
from matplotlib.transforms import Bbox

from convlab.figures import accuracy, dataset, errors, labels, saving
from convlab.figures.fonts import use_fonts_without_layout_tables, without_layout_tables
from convlab.figures.saving import FigureWriter
from convlab.figures.series import Series
from convlab.figures.sheet import Sheet
from convlab.figures.style import FONT, caption_text, save, use_style
from convlab.models.cost import cost
from convlab.models.families.conv import Conv
from convlab.page.diagrams import diagram
from convlab.probes import registry as probes
from convlab.probes.curves import point

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


def font_types(pdf: bytes) -> set[str]:
    """Subtypes of all fonts of a PDF, of those in compressed streams as well."""
    for stream in re.findall(rb"stream\r?\n(.*?)\r?\nendstream", pdf, re.DOTALL):
        with suppress(zlib.error):
            pdf += zlib.decompress(stream)
    dictionaries = [text for text in re.findall(rb"<<(.*?)>>", pdf, re.DOTALL) if re.search(rb"/Type\s*/Font\b", text)]
    return {re.search(rb"/Subtype\s*/(\w+)", text)[1].decode() for text in dictionaries}


def test_a_pdf_has_no_type_3_fonts(tmp_path):
    save(figure(), tmp_path / "figure")
    assert font_types((tmp_path / "figure.pdf").read_bytes()) == {"Type0", "CIDFontType2"}
    drawn = figure()
    with plt.rc_context({"pdf.fonttype": 3}):
        drawn.savefig(tmp_path / "other.pdf")
    assert font_types((tmp_path / "other.pdf").read_bytes()) == {"Type3"}, "they would be seen"


@pytest.mark.parametrize(
    ("text", "needed"),
    [
        ("Größe 5×5 → −3.5 ± 0.2, ακρίβεια, точность, AV To Wave", False),
        ("x\u0302 with a combining circumflex", True),
        ("قميص", True),
        ("חולצה", True),
    ],
)
def test_figures_look_the_same_without_the_fonts_layout_tables_or_keep_them(tmp_path, monkeypatch, text, needed):
    monkeypatch.setattr(font_manager.fontManager, "ttflist", list(font_manager.fontManager.ttflist))
    use_fonts_without_layout_tables(["חולצה"])  # Matplotlib's own, whatever a test before has used
    save(written(text), tmp_path / "with_tables")
    try:
        assert use_fonts_without_layout_tables(["Coat", text]) is not needed
        used = font_manager.findfont(FONT)
        save(written(text), tmp_path / "drawn")
    finally:
        font_manager.fontManager.addfont(
            matplotlib.get_data_path() + "/fonts/ttf/DejaVuSans.ttf"
        )  # forgets what it found
    with TTFont(used) as font:
        assert ("GSUB" in font, "kern" in font, "glyf" in font) == (needed, True, True)
    for suffix in ("svg", "png"):
        assert (tmp_path / f"with_tables.{suffix}").read_bytes() == (tmp_path / f"drawn.{suffix}").read_bytes(), suffix
    assert font_types((tmp_path / "drawn.pdf").read_bytes()) == {"Type0", "CIDFontType2"}


def test_fonts_without_layout_tables_keep_their_names_and_can_be_asked_for_again(monkeypatch):
    monkeypatch.setattr(font_manager.fontManager, "ttflist", list(font_manager.fontManager.ttflist))
    originals = matplotlib.get_data_path() + "/fonts/ttf/DejaVuSans.ttf"
    try:
        for texts, plain in [(["Coat"], True), (["قميص"], False), (["Coat"], True)]:
            assert use_fonts_without_layout_tables(texts) is plain
            used = font_manager.findfont(FONT)
            assert (used == originals) is not plain and Path(used).name == Path(originals).name
    finally:
        font_manager.fontManager.addfont(originals)


def test_a_font_without_layout_tables_has_the_same_bytes_at_any_time(tmp_path, monkeypatch):
    font = Path(matplotlib.get_data_path()) / "fonts/ttf/DejaVuSans-Bold.ttf"
    copies = []
    for moment in ("1000000000", "1100000000"):
        monkeypatch.setenv("SOURCE_DATE_EPOCH", moment)
        copies.append(without_layout_tables(font, tmp_path / moment).read_bytes())
    assert copies[0] == copies[1]


def written(text: str):
    """A figure of a text, in both weights that figures have."""
    use_style()
    made = plt.figure(figsize=(4, 1))
    made.text(0.05, 0.6, text)
    made.text(0.05, 0.1, text, fontweight="bold")
    return made


def test_many_variants_fit_one_figure_that_is_drawn_at_once():
    series = [Series(f"v{number}", f"a rather long label {number}", number) for number in range(200)]
    generator = np.random.default_rng(0)
    values = [dict(enumerate(generator.random(5))) for _ in series]
    values[3] = dict.fromkeys(range(5), np.nan)  # all its runs diverged
    intervals = [(0.1, 0.9)] * 199 + [(None, None)]
    seeds = accuracy.every_seed(series, values, intervals, "Learning rate")
    contrasts = pd.DataFrame({"difference": 0.1, "ci_low": [0.0] * 199 + [None], "ci_high": 0.2, "verdict": "better"})
    contrasts["ci_high"] = contrasts["ci_high"].where(contrasts["ci_low"].notna())
    for drawn in (seeds, accuracy.forest(contrasts, series, 0.005)):
        axis = drawn.axes[0]
        assert drawn.get_size_inches()[1] < 5
        assert len(axis.collections) + len(axis.lines) <= 5 and len(axis.get_xticks()) <= 12
        plt.close(drawn)
    assert "Learning rate (200 in order" in seeds.axes[0].get_xlabel()


@pytest.mark.parametrize(("columns", "aspect", "above_each", "right"), [(3, 1, 0.2, 0), (5, 0.5, 0, 1), (1, 2, 0.1, 0)])
def test_images_on_a_sheet_keep_their_proportions_and_to_themselves(columns, aspect, above_each, right):
    sheet = Sheet(5, columns, aspect=aspect, above_each=above_each, above=0.1, right=right)
    shapes = [(8, 8), (8, 16), (16, 8), (1, 1), (28, 20, 3)]
    drawn = [sheet.show(tile, np.zeros(shape, np.uint8)).get_extent() for tile, shape in enumerate(shapes)]
    width, height = sheet.figure.get_size_inches()
    boxes = [Bbox([(left, top), (to, bottom)]) for left, to, bottom, top in drawn]
    for box, shape in zip(boxes, shapes, strict=True):
        assert box.height / box.width == pytest.approx(shape[0] / shape[1])
        assert box.x0 > 0 and box.x1 < width - right and box.y0 > above_each and box.y1 < height
    assert not any(first.overlaps(second) for first, second in combinations(boxes, 2))


@pytest.mark.parametrize("text", HOSTILE)
def test_a_caption_shows_any_text_as_it_is(text):
    html = publish_parts(caption_text(f"Confusion of {text}", f"Of {text}"), writer="html")["body"]
    text_shown = re.sub(r"<[^>]+>", "", html).replace("&lt;", "<").replace("&gt;", ">").replace("&amp;", "&")
    assert text_shown.split() == f"Confusion of {text}. Of {text}".split()
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
    assert raised.value.filename == str(tmp_path / "file")  # what convlab.common.cli names to the user


def test_a_drawing_process_that_is_killed_is_not_taken_for_success(tmp_path, monkeypatch):
    monkeypatch.setattr(saving, "save", lambda figure, stem: os.kill(os.getpid(), signal.SIGKILL))
    with pytest.raises(RuntimeError, match="exit code -9"), FigureWriter(2) as writer:
        writer.save(bars(2), tmp_path / "bars")


# ---------------------------------------------------------------------------------------------------------------------
# Names


HIDDEN = {"_cnn": "_hidden by Matplotlib", "dense": "Dense"}
LOOKS = {"_cnn": 0, "dense": 1}
ALL = [Series(name, label, LOOKS[name]) for name, label in HIDDEN.items()]


def probed(probe: str, orders=(1.0, 2.0), measures=("accuracy",)) -> pd.DataFrame:
    return pd.DataFrame(
        [
            point("d", probe, name, measure, f"{order}", order, [0.97, 0.99, 1.0])
            for name in HIDDEN
            for measure in measures
            for order in orders
        ]
    )


def drawn(probe: str, *levels_and_measures):
    return probes.part(probe, "figure").draw(probed(probe, *levels_and_measures), HIDDEN, LOOKS)


def measured(**columns) -> pd.DataFrame:
    """Two variants with their costs; test accuracies so high that an SD reaches beyond 100 %."""
    rows = {"parameters": [100, 9000], "macs": [100, 9000], "seconds_per_epoch": [0.7, 0.75],
            "test_accuracy_mean": [0.99, 0.01], "test_accuracy_sd": [0.05, 0.05]}  # fmt: skip
    return pd.DataFrame({**rows, **columns})


def epochs(n: int, rates: Sequence[float] = (0.001,)) -> pd.DataFrame:
    """Histories of two seeds; ``rates``: the learning rates of the epochs, over and over."""
    measured = {"loss": 0.5, "accuracy": 1.0, "val_loss": 0.6, "val_accuracy": 0.99}
    rows = [
        {"seed": seed, "epoch": epoch + 1, **measured, "learning_rate": rates[epoch % len(rates)]}
        for seed in (1, 2)
        for epoch in range(n)
    ]
    return pd.DataFrame(rows)


def recalls(classes: list[str]) -> pd.DataFrame:
    shares = {"recall": 0.99, "recall_sd": 0.05}
    return pd.DataFrame([{"variant": variant.name, "class": name, **shares} for variant in ALL for name in classes])


RELIABILITY = [(variant, np.array([[0.9, 0.95, 10], [1.0, 1.0, 10]])) for variant in ALL]

WITH_LEGENDS = {
    "curves": lambda: accuracy.learning_curves([(variant, epochs(3)) for variant in ALL]),
    "costs": lambda: accuracy.against_costs(measured(), ALL),
    "recall": lambda: errors.recall_by_class(recalls(["a", "b"]), ALL, ["a", "b"]),
    "recall of many": lambda: errors.recall_by_class(recalls(MANY), ALL, MANY),
    "calibration": lambda: errors.calibration(RELIABILITY),
    "permutation": lambda: drawn("pixel_permutation"),
    "translation": lambda: drawn("translation", (0.0, 1.0), ("accuracy", "consistency")),
    "sample efficiency": lambda: drawn("sample_efficiency"),
    "receptive field": lambda: drawn("receptive_field"),
}
MANY = [f"class_{i}" for i in range(200)]


@pytest.mark.parametrize("name", WITH_LEGENDS)
def test_a_label_that_begins_with_an_underscore_is_in_the_legend_and_no_accuracy_lies_beyond_0_and_100(name):
    figure = WITH_LEGENDS[name]()
    legends = [*figure.legends, *(axis.get_legend() for axis in figure.axes if axis.get_legend())]
    shown = {text.get_text() for made in legends for text in made.get_texts()}
    assert set(HIDDEN.values()) <= shown
    for axis in figure.axes:
        across, up = axis.get_xlabel(), axis.get_ylabel() or axis.get_title()
        for text, limits in ((across, axis.get_xlim()), (up, axis.get_ylim())):
            if "%" in text:
                assert min(limits) >= 0 and max(limits) <= 100, (text, limits)
    plt.close(figure)


def test_names_of_classes_stay_as_they_are_in_figures():
    names = ["snow_leopard", "_b", "$c$", "{d}", "e&f"]
    figure = dataset.class_distribution(names, np.full(5, 3), np.full(5, 2))
    assert [tick.get_text() for tick in figure.axes[0].get_yticklabels()] == names
    plt.close(figure)


def test_a_run_of_one_epoch_has_an_axis_of_epochs():
    figure = accuracy.learning_curves([(variant, epochs(1)) for variant in ALL])
    assert [axis.get_xlim() for axis in figure.axes] == [(0.5, 1.5)] * 2
    assert [tick for tick in figure.axes[0].get_xticks() if 0.5 <= tick <= 1.5] == [1]
    plt.close(figure)


def test_a_learning_rate_that_varies_within_a_run_is_drawn():
    assert len(accuracy.learning_curves([(variant, epochs(3)) for variant in ALL]).axes) == 2
    apart = [(ALL[0], epochs(3)), (ALL[1], epochs(3, [0.002]))]
    assert len(accuracy.learning_curves(apart).axes) == 2, "constant, though another in each variant"
    figure = accuracy.learning_curves([(ALL[0], epochs(3)), (ALL[1], epochs(3, [0.003, 0.002, 0.001]))])
    constant, falling = figure.axes[2].lines
    assert list(constant.get_ydata()) == [0.001] * 3
    assert list(falling.get_ydata()) == [0.003, 0.002, 0.001]
    plt.close("all")


def test_seconds_below_one_are_seconds():
    figure = accuracy.against_costs(measured(), ALL)
    figure.canvas.draw()
    texts = [tick.get_text() for tick in figure.axes[2].get_xticklabels()]
    assert texts and not [text for text in texts if "m" in text]
    assert any("k" in tick.get_text() for tick in figure.axes[0].get_xticklabels())
    plt.close(figure)


def test_intervals_beyond_what_an_accuracy_can_be_are_drawn_to_its_end():
    values, limits = [{1: 0.99, 2: 1.0, 3: 0.98}, {1: 0.0, 2: 0.01, 3: 0.0}], [(0.96, 1.02), (-0.02, 0.03)]
    figure = accuracy.every_seed(ALL, values, limits, "")
    low, high = figure.axes[0].get_ylim()
    assert (low, high) == (0, 100)
    ends = [y for lines in figure.axes[0].collections for path in lines.get_paths() for _x, y in path.vertices]
    assert min(ends) >= -1 and max(ends) <= 100
    plt.close(figure)


def test_many_classes_fit_a_page(tmp_path):
    """A confusion of 200 classes was an SVG of several megabytes, its recall 7,000 pixels high."""
    drawn = {
        "confusion": errors.confusion(np.eye(200, dtype=int) * 9 + 1, MANY),
        "recall": errors.recall_by_class(recalls(MANY), ALL, MANY),
        "classes": dataset.class_distribution(MANY, np.arange(200), np.arange(200)),
    }
    for name, figure in drawn.items():
        assert figure.get_size_inches()[1] <= 8
        save(figure, tmp_path / name)
        assert (tmp_path / f"{name}.svg").stat().st_size < 400_000
    assert "class_0" in (tmp_path / "confusion.svg").read_text()


def test_characters_that_the_fonts_lack_are_known(caplog):
    use_style()
    log = logging.getLogger("draws")
    assert labels.warn_of_missing_characters(log, ["snow_leopard", "é ± × −", "kot"]) == "" and not caplog.records
    assert labels.warn_of_missing_characters(log, ["漢字", "字"]) == "字漢"
    assert len(caplog.records) == 1 and "lack 2 characters (字漢)" in caplog.text


@pytest.mark.parametrize(("name", "width", "expected"), [
    ("short", 10, "short"), ("two\nlines", 10, "two lines"), ("x" * 30, 10, "x" * 9 + "…"), ("_a_b", 10, "_a_b"),
])  # fmt: skip
def test_names_are_shortened_where_they_do_not_fit(name, width, expected):
    assert labels.shortened(name, width) == expected


def test_a_diagram_draws_shortcuts_as_arcs_and_names_every_layer():
    spec = Conv(family="conv", filters=[4, 4], residual=[False, True], convolutions_per_block=2, norm="batch")
    layers = cost(spec, (8, 8, 1), 3).layers
    drawn = diagram(layers, "d", "Residual")
    assert drawn.count("<rect") == len(layers)
    assert drawn.count("<line") == len(layers) - 1 and drawn.count("<path") == 1
    assert "<path" not in diagram(cost(Conv(family="conv", filters=[4]), (8, 8, 1), 3).layers, "d", "Plain")
    assert "add 2: 4×4×4; activation 2 2: 4×4×4" in drawn
