"""Nothing is left out in silence: what has no value is not shown as 0, and what was not used is counted by reason."""

import html
import re
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

import model_card
from builders.project import TINY
from builders.results import CNN_WINS, manifest_of, write_reports, write_study_with
from builders.study_results import results_with, seeds_around
from convlab.common import i18n
from convlab.common.files import read_json, write_json
from convlab.figures import errors
from convlab.figures.series import Series, mean_and_spread
from convlab.findings import left_out as data
from convlab.page import confusions, measures
from convlab.page.card import weakest

# ---------------------------------------------------------------------------------------------------------------------
# 0/0 is not defined: the three classes below have test images, none, and some that are never found


@pytest.fixture
def results():
    """A study whose classes b (no test images) and c (never predicted) have measures that are not defined."""
    made = results_with(
        {"dense": seeds_around(0.9), "cnn": seeds_around(0.95), "cnn-kernel_size-5x5": seeds_around(0.95)}
    )
    rows = made.per_class.astype({"recall": float, "precision": float, "f1": float})
    for name, values in {"recall": [1.0, None, 0.0], "precision": [0.5, 0.0, None], "f1": [0.7, None, 0.0]}.items():
        for index, value in enumerate(values):
            rows.loc[rows["class"] == str(index), name] = value
    rows.loc[rows["class"] == "1", ["support", "n_seeds", "recall_sd"]] = [0, 0, np.nan]
    rows.loc[rows["class"] == "2", "precision_seeds"] = 0
    rows.loc[rows["class"] == "3", "precision_seeds"] = 2
    return replace(made, per_class=rows)


def test_the_page_shows_a_dash_and_names_no_class_without_test_images_as_missed(results):
    rows = {row[0]: row[1:] for row in measures.per_class(results, "digits", "cnn").rows}
    assert rows["1"][2] == "–" and rows["1"][4] == "–" and rows["2"][1] == "–"
    assert rows["2"][2].startswith("0.0")
    assert "(in 2 of 3 runs)" in rows["3"][1] and "in" not in rows["4"][1]
    assert weakest(results, "digits", "cnn").startswith("2 (0.0") and "1 (" not in weakest(results, "digits", "cnn")


def test_the_written_model_card_names_no_class_without_test_images_as_missed():
    measured = {"per_class": {"recall": [0.9, None, 0.2], "precision": [0.9, None, 0.2], "f1": [1, None, 0.2],
                              "support": [5, 0, 5]},
                "confusion_matrix": [[5, 0, 0], [0, 0, 0], [4, 0, 1]]}  # fmt: skip
    text = model_card.weakest(["a", "b", "c"], measured)
    assert text.startswith("c (20.0") and "b" not in text
    assert model_card.per_class_rows(["a", "b", "c"], measured)[1][1:] == ("0", "–", "–", "–")


def test_a_confusion_matrix_has_no_shares_in_the_row_of_a_class_without_test_images():
    counts = [[8, 2, 0], [0, 0, 0], [0, 0, 4]]
    assert confusions.row_shares(counts)[1] == [None] * 3
    matrix = confusions.confusion_matrix(counts, ["a", "b", "c"], "one")
    difference = confusions.confusion_difference(counts, [[9, 1, 0], [1, 0, 0], [0, 0, 4]], ["a", "b", "c"], "two")
    texts = {name: [list(row) for row in shown.shares] for name, shown in (("m", matrix), ("d", difference))}
    assert texts["m"][1] == ["–"] * 3 and texts["m"][2][0] == "0.0"
    assert texts["d"][1] == ["–"] * 3 and texts["d"][2][0] == "0"
    figure = errors.confusion(np.array(counts), ["a", "b", "c"])
    assert [text.get_text() for text in figure.axes[0].texts if "no test" in text.get_text()] == ["no test images"]


def test_recalls_that_are_not_defined_leave_no_mark_at_zero():
    rows = pd.DataFrame({"variant": "v", "class": ["a", "b"], "recall": [0.5, None], "recall_sd": [0.1, None]})
    figure = errors.recall_by_class(rows, [Series("v", "V", 0)], ["a", "b"])
    (points,) = figure.axes[0].get_lines()
    assert np.isnan(points.get_xdata()[1])
    assert mean_and_spread(50.0, None, 1).startswith("50.0") and "±" not in mean_and_spread(50, None, 1)
    assert mean_and_spread(np.nan, 1.0, 1) == "–" and "± 1.0" in mean_and_spread(50.0, 1.0, 1)


# ---------------------------------------------------------------------------------------------------------------------
# In the report


@pytest.mark.parametrize("language", ["en", "es"])
def test_the_report_says_what_was_not_used_where_people_look(tmp_path, language):
    """In the data section, the limitations and the provenance, in its language, with names that are no markup."""
    config = write_study_with(tmp_path, {**TINY, "report": {"language": language}}, CNN_WINS)
    manifest_file = tmp_path / "prepare/digits/manifest.json"
    entry = {"part": "train", "class": "3", "image": True, "reason": "damaged image", "count": 15,
             "files": [{"file": f"train/3/<b>{n}</b>.png", "detail": "is text"} for n in range(15)]}  # fmt: skip
    other = {
        "part": None,
        "class": None,
        "image": False,
        "reason": "hidden file",
        "count": 2,
        "files": [{"file": ".x"}],
    }
    write_json(manifest_file, manifest_of("digits") | {
        "excluded": [other, entry], "homepage": None, "citation": None, "several_pictures": 1, "bits": 12,
        "test_from": {"from": "seed", "seed": 7, "fraction": 0.2},
    })  # fmt: skip
    with i18n.in_language(language):
        findings = data.left_out({"digits": read_json(manifest_file)}, {})
        origin = data.test_origin({"digits": read_json(manifest_file)})
    page, text = write_reports(tmp_path, config)
    for shown in (page, text):
        plain = html.unescape(re.sub(r"<[^>]*>", "", shown)).replace("\u00a0", " ").replace("\\", "")
        for sentence in (*(finding.text for finding in findings), origin):
            assert sentence.replace("\u00a0", " ") in plain
        assert "Test images are fixed" not in plain and not re.search(r"\bNone\b(?! of)", plain.split("fashion")[0])
        assert ("imagen dañada" if language == "es" else "damaged image") in plain
        assert "train/3/<b>0</b>.png" in plain
    assert "<b>0</b>" not in page
