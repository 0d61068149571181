"""report.md renders on a code host: headings nest, tables are tables, figures are files, no HTML that hosts strip."""

import re
from itertools import pairwise
from pathlib import Path

import pytest
from markdown_it import MarkdownIt

from builders.project import CNN_5X5
from builders.results import CNN_WINS, write_reports, write_study_with
from builders.study_results import MADE_UP_STUDY, seeds_around
from convlab.study.load import load_study

HOSTED = {"details", "summary", "br", "sub", "sup"}
"""Elements that code hosts keep."""

SEVERAL = {**MADE_UP_STUDY, "datasets": {"digits": {}, "other": {"kind": "digits"}}, "probes": ["calibration"]}


@pytest.fixture(scope="module", params=["one dataset", "several", "many variants"])
def text(request, tmp_path_factory) -> tuple[str, Path]:
    """The Markdown of a study, and the folder of its report."""
    folder = tmp_path_factory.mktemp("study")
    config, accuracies = {"several": SEVERAL}.get(request.param, MADE_UP_STUDY), CNN_WINS
    if request.param == "many variants":
        levels = [[size] for size in range(3, 30)]
        config = {**MADE_UP_STUDY, "experiments": {"size": {"base": "cnn", "factor": "dense_units", "levels": levels}}}
        accuracies = {name: seeds_around(0.95) for name in load_study(config).plan.variants}
    return write_reports(folder, write_study_with(folder, config, accuracies))[1], folder / "report"


def parsed(text: str) -> list:
    return MarkdownIt("gfm-like", {"linkify": False, "html": True}).parse(text)


def test_headings_nest_from_one_title(text):
    levels = [int(token.tag[1]) for token in parsed(text[0]) if token.type == "heading_open"]
    assert levels.count(1) == 1 and levels[0] == 1
    assert all(after <= before + 1 for before, after in pairwise(levels))


def test_every_table_is_read_as_one_with_equal_rows(text):
    tokens = parsed(text[0])
    starts = [index for index, token in enumerate(tokens) if token.type == "table_open"]
    assert len(starts) > 5
    for start in starts:
        end = next(index for index in range(start, len(tokens)) if tokens[index].type == "table_close")
        rows, cells = [], 0
        for token in tokens[start:end]:
            cells += token.type in ("th_open", "td_open")
            if token.type == "tr_close":
                rows.append(cells)
                cells = 0
        assert len(set(rows)) == 1 and len(rows) > 1
    # A row whose cells do not fit the head ends up in a paragraph, with its bars.
    for token in tokens:
        if token.type == "inline" and "|" in token.content.replace("\\|", ""):
            raise AssertionError(token.content)
    # The renderer fills rows that are too short and cuts those that are too long.
    blocks = re.findall(r"(?:^\|.*\|\n)+", text[0], re.MULTILINE)
    for block in blocks:
        assert len({len(re.findall(r"(?<!\\)\|", row)) for row in block.splitlines()}) == 1, block


def test_figures_are_files_beside_the_report_with_a_text_for_who_cannot_see_them(text):
    images = [child for token in parsed(text[0]) for child in token.children or [] if child.type == "image"]
    assert images
    for image in images:
        source = image.attrs["src"]
        assert not source.startswith(("/", "http", "data:")) and (text[1] / source).is_file()
        assert len(image.content) > 10


def test_raw_html_is_only_what_code_hosts_keep(text):
    tokens = parsed(text[0])
    html = [token.content for token in tokens if token.type == "html_block"]
    html += [child.content for token in tokens for child in token.children or [] if child.type == "html_inline"]
    assert set(re.findall(r"</?([a-zA-Z][\w-]*)", " ".join(html))) <= HOSTED
    assert not re.search(r"<[^>]*(style|class|id|on\w+)=", " ".join(html))
    assert sum(part.count("<details") for part in html) == sum(part.count("</details") for part in html)


def test_what_is_folded_is_markdown_again(text):
    """A table inside of <details> is a table only after an empty line."""
    assert not re.search(r"<summary>[^\n]*</summary>\n(?!\n)", text[0])
    assert not re.search(r"[^\n]\n</details>", text[0])


def test_tables_stand_after_a_blank_line(tmp_path):
    """What GitHub does not need, other renderers of Markdown do."""
    text = write_reports(tmp_path, write_study_with(tmp_path, MADE_UP_STUDY, CNN_WINS))[1]
    lines = text.splitlines()
    starts = [n for n, line in enumerate(lines) if line.startswith("|") and not lines[n - 1].startswith("|")]
    assert len(starts) > 6
    assert [lines[n - 1] for n in starts if lines[n - 1]] == []


def test_results_in_a_cell_are_told_apart(tmp_path):
    questions = {"a": {"variant": "cnn", "reference": "dense"}, "b": {"variant": CNN_5X5, "reference": "dense"}}
    config = {**MADE_UP_STUDY, "comparisons": questions}
    text = write_reports(tmp_path, write_study_with(tmp_path, config, CNN_WINS))[1]
    row = next(line for line in text.splitlines() if line.startswith("| Did convolution beat"))
    assert "; **better**" in row and "| a, b |" in row
