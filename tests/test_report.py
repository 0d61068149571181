"""The report is complete, honest and harmless: whatever a study holds, its page says so and loads nothing."""

import base64
import copy
import hashlib
import json
import re
import subprocess
import sys
from html.parser import HTMLParser
from itertools import pairwise
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from markdown_it import MarkdownIt
from markupsafe import Markup

import report
from builders.project import CNN_5X5
from builders.results import (
    CLAIMS_OF_EVERY_VERDICT,
    CNN_WINS,
    PNG,
    TILED_FIGURES,
    manifest_of,
    write_reports,
    write_study_with,
)
from builders.study_results import MADE_UP_STUDY, seeds_around
from convlab.common.files import array_sha256, write_arrays, write_json
from convlab.errors import UserError
from convlab.page import format, gallery, loading, templates, views
from convlab.probes.curves import CONTRAST_COLUMNS, CURVE_COLUMNS
from convlab.study.load import load_study

NOT_A_NUMBER = re.compile(r"\b(nan|NaN|None|inf)\b")


class Page(HTMLParser):
    """Tags in order, text by tag, and whether every tag is closed where it should be."""

    VOID = ("meta", "link", "img", "br", "hr", "input")

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags, self.open, self.text, self.raw = [], [], [], []
        self.feed(html)
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if not {"style", "title", "desc", "script", "template"} & set(self.open):
            self.raw.append(data)

    @property
    def words(self) -> str:
        return " ".join(" ".join(self.raw).split())

    def all(self, tag: str) -> list[dict]:
        return [attributes for name, attributes in self.tags if name == tag]


@pytest.fixture(scope="module")
def reports(tmp_path_factory) -> tuple[str, str]:
    """Both reports of a study in which the CNN wins clearly; not to be changed."""
    folder = tmp_path_factory.mktemp("win")
    return write_reports(
        folder, write_study_with(folder, MADE_UP_STUDY, CNN_WINS), "--config-file", "studies/made up.yaml"
    )


# ---------------------------------------------------------------------------------------------------------------------
# One file that loads nothing


def test_the_page_refers_to_nothing_outside_itself(reports):
    page = Page(reports[0])
    for tag, attributes in page.tags:
        assert tag not in ("iframe", "object", "embed", "base", "form", "video", "audio", "image")
        for name in ("src", "href", "srcset", "data", "action", "poster"):
            value = attributes.get(name)
            assert value is None or value.startswith(("data:", "#"))
        assert not any(name.startswith("on") for name in attributes)
        assert re.findall(r"url\((?!data:image/png|#)", attributes.get("style", "")) == []
    style = re.search(r"<style>(.*?)</style>", reports[0], re.DOTALL)[1]
    assert "url(" not in style
    assert "@import" not in style


def test_the_only_script_is_the_one_that_the_policy_names(reports):
    page = Page(reports[0])
    assert page.all("script") == [{}]
    script = re.search(r"<script>(.*?)</script>", reports[0], re.DOTALL)[1]
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    policy = next(a["content"] for a in page.all("meta") if a.get("http-equiv") == "Content-Security-Policy")
    expected = "default-src 'none'; img-src data:; style-src 'unsafe-inline'; base-uri 'none'; "
    expected += f"form-action 'none'; script-src 'sha256-{digest}'"
    assert policy == expected
    assert not re.search(r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|eval\(|fetch\(|XMLHttp", script)


def test_charts_are_part_of_the_page_and_follow_its_colours_and_font(reports):
    charts = re.findall(r'<svg class="chart n\d+".*?</svg>', reports[0], re.DOTALL)
    style = re.search(r"<style>(.*?)</style>", reports[0], re.DOTALL)[1]
    assert '.chart [fill="#0072b2"] { fill: var(--series-0); }' in style
    assert ".chart text { font-family: var(--chart-font); }" in style
    assert charts
    for chart in charts:
        assert 'role="img"' in chart
        assert "Matplotlib" not in chart
        assert "<style" not in chart
        assert 'd="M 1.23 2 L 10 20.5 z" fill="#0072b2"' in chart
        assert '<text font-weight="700" font-size="9px" fill="#18202c">' in chart
        assert " style=" not in chart
        name = re.search(r'aria-labelledby="(f\d+)-title', chart)[1]
        assert f'clip-path="url(#{name}-p1)"' in chart
        assert f'id="{name}-p1"' in chart


def test_grids_of_images_are_sprites_with_their_titles_as_text(reports):
    grids = re.findall(r'<div class="tiles.*?</figure>', reports[0], re.DOTALL)
    assert len(grids) == len(TILED_FIGURES) + 7  # mistakes of three variants, filters of two and of the kernel's levels
    assert f"--sprite: url(data:image/png;base64,{base64.b64encode(PNG).decode()})" in grids[0]
    # Two tiles of 8 pixels, each with a gap of 1: the second begins after 9 of the 18 - 8 pixels that can move.
    assert "--size: 225% 112.5%; --ratio: 8 / 8" in grids[0]
    assert re.findall(r"background-position: (\S+ \S+?)[\";]", grids[0]) == ["0% 0%", "90% 0%"]
    assert "2 of 3 right" in Page(reports[0]).words


def test_numbers_and_words_do_not_run_together_where_styles_are_not_applied(tmp_path):
    """As under a server's strict content policy."""
    claim = {"id": "wins", "text": "The CNN wins", "rule": "test_accuracy(cnn) > 0.9"}
    html, _ = write_reports(tmp_path, write_study_with(tmp_path, {**MADE_UP_STUDY, "claims": [claim]}, CNN_WINS))
    assert re.search(r"The CNN wins<br><span>wins</span><br><code>", html)
    assert re.search(r"95\.00.%</strong><br><span", html)
    assert re.search(r">100\.0<br><small>90</small>", html)
    assert re.search(r"<p>0<br><span>2 of 3 right</span></p>", html)


def test_links_inside_the_page_lead_somewhere(reports):
    page = Page(reports[0])
    names = [attributes["id"] for _, attributes in page.tags if "id" in attributes]
    assert len(names) == len(set(names))
    assert {link["href"][1:] for link in page.all("a")} <= set(names)


def test_the_page_is_accessible(reports):
    page = Page(reports[0])
    assert page.all("html")[0]["lang"] == "en"
    assert page.all("a")[0]["class"] == "skip"
    assert len(page.all("h1")) == 1
    levels = [int(tag[1]) for tag, _ in page.tags if re.fullmatch(r"h\d", tag)]
    assert all(after <= before + 1 for before, after in pairwise(levels))
    assert page.all("img") == []
    drawings = [drawing for drawing in page.all("svg") if drawing.get("aria-hidden") != "true"]
    assert all(drawing["role"] == "img" and drawing["aria-labelledby"] for drawing in drawings)
    assert len(page.all("caption")) == len(page.all("table"))
    assert all(cell.get("scope") in ("row", "col") for cell in page.all("th"))
    overview = re.search(r"<desc[^>]*>(Test accuracy of every variant, .*?)</desc>", reports[0])[1]
    assert "CNN 95.00 ± 0.10 % (n = 3)" in overview


# ---------------------------------------------------------------------------------------------------------------------
# What it says


def test_the_first_screen_answers_the_question(reports):
    header = Page(re.search(r"<header.*?</header>", reports[0], re.DOTALL)[0])
    assert header.raw[0] == "\n"
    assert header.words.startswith("Study made_up Does the rule follow the numbers?")
    assert "n = 3 seeds · 355 test images Does CNN beat Dense?" in header.words
    assert "better CNN is better than Dense +5.00 pp" in header.words
    assert header.words.count("CNN vs Dense changed test accuracy by +5.00 pp") == 1
    assert "Chosen by validation accuracy: CNN" in header.words


@pytest.mark.parametrize("accuracies, verdict", [
    ({"dense": seeds_around(0.95), "cnn": seeds_around(0.90), CNN_5X5: seeds_around(0.90)},
     "worse CNN is worse than Dense −5.00 pp"),
    ({"dense": [0.93, 0.95, 0.94], "cnn": [0.93, 0.97, 0.95], CNN_5X5: seeds_around(0.95)},
     "inconclusive Not settled: CNN"),
])  # fmt: skip
def test_the_verdict_follows_the_numbers_in_both_reports(tmp_path, accuracies, verdict):
    html, markdown = write_reports(tmp_path, write_study_with(tmp_path, MADE_UP_STUDY, accuracies))
    assert verdict in Page(html).words
    assert f"- **{verdict.split()[0]}**" in markdown
    for text in (html, markdown):
        assert "CNN beat Dense." not in text
        assert "no effect" not in text.lower()


def test_the_main_table_lists_every_variant_and_every_seed(reports):
    words = Page(reports[0]).words
    assert "9,258 87,360 10×10 95.00 ± 0.10 % 94.75 to 95.25 3 +5.00 pp (+4.75 to +5.25) to Dense" in words
    for seed in (1, 2, 3):
        assert words.count(f"seed {seed} epoch 3 of 4 kept") == 3
    assert "| CNN | 9,258 | 87,360 | 10×10 | 95.00 ± 0.10 % | 94.75 to 95.25 | 3 |" in reports[1]


def test_all_sections_are_there_in_order_in_both_reports(reports):
    titles = (
        "All variants", "Experiments and comparisons", "Interpretation", "Learning curves and costs", "Errors",
        "What was learned", "Calibration", "Data", "Design", "Methods and limitations", "Provenance",
    )  # fmt: skip
    positions = [re.search(rf'<h2 id="[a-z-]+">{title}</h2>', reports[0]).start() for title in titles]
    assert positions == sorted(positions)
    positions = [reports[1].index(f"\n## {title}\n") for title in titles]
    assert positions == sorted(positions)


def test_provenance_says_how_to_run_again(reports, tmp_path):
    assert "snakemake --cores 2 --configfile 'studies/made up.yaml'" in Page(reports[0]).words
    assert "snakemake --cores 2 --configfile 'studies/made up.yaml'" in reports[1]
    html, markdown = write_reports(tmp_path, write_study_with(tmp_path, MADE_UP_STUDY, CNN_WINS, resumed=1))
    assert "--configfile made_up.yaml" in markdown
    for text in (Page(html).words, markdown):
        assert "1 h 6 min" in text
        assert re.search(r"\b[0-9a-f]{16}\b", text)
        assert "ab" * 32 in text
        assert "after epoch 2" in text
        assert "2026-01-02 03:04:05 UTC" in text


def test_reasons_for_the_architecture_are_printed_beside_the_choice(tmp_path):
    config = copy.deepcopy(MADE_UP_STUDY)
    config["models"]["cnn"]["why"] = {"kernel_size": "Small enough to stack."}
    html, markdown = write_reports(tmp_path, write_study_with(tmp_path, config, CNN_WINS))
    assert "kernel size 3×3 Small enough to stack." in Page(html).words
    assert "| kernel size | 3×3 | Small enough to stack. |" in markdown
    assert "conv_1 8×8×16 160 9,216 3×3" in Page(html).words


def test_variants_that_differ_only_in_what_has_no_effect_are_named_in_the_limitations(tmp_path):
    config = copy.deepcopy(MADE_UP_STUDY)
    config["models"]["other"] = {"family": "conv", "filters": [4], "label": "Other"}
    config["models"]["twin"] = {**config["models"]["other"], "dropout": 0.3, "label": "Twin"}
    accuracies = {**CNN_WINS, "other": seeds_around(0.9), "twin": seeds_around(0.9)}
    html, markdown = write_reports(tmp_path, write_study_with(tmp_path, config, accuracies))
    for text in (Page(html).words, markdown):
        assert "Other and Twin train the same network, so no difference between them can show" in text


def test_what_was_not_measured_is_marked(reports):
    assert Page(reports[0]).words.count("Assumption, not measured by this study") >= 4
    assert "_Assumption, not measured by this study:_ Locality" in reports[1]


def test_equal_results_give_equal_bytes(tmp_path, reports):
    again = write_reports(
        tmp_path, write_study_with(tmp_path, MADE_UP_STUDY, CNN_WINS), "--config-file", "studies/made up.yaml"
    )
    assert again == reports


def test_markdown_figures_are_files_of_the_study(tmp_path):
    _, markdown = write_reports(tmp_path, write_study_with(tmp_path, MADE_UP_STUDY, CNN_WINS))
    paths = re.findall(r"!\[[^\n]*\]\(([^)]*)\)", markdown)
    assert len(paths) > 10
    for path in paths:
        assert (tmp_path / "report" / path).is_file()


# ---------------------------------------------------------------------------------------------------------------------
# The table of findings


def table_of_findings(html: str) -> list[tuple[str, str, str, list[str]]]:
    """Rows: finding, what came out, how surely, targets of all links."""
    table = re.search(r'<table class="findings-table">.*?</table>', html, re.DOTALL)[0]
    rows = []
    for row in re.findall(r"<tr>\s*<th scope=\"row\">.*?</tr>", table, re.DOTALL):
        cells = [Page(cell).words for cell in re.findall(r"<t[hd]\b.*?</t[hd]>", row, re.DOTALL)]
        rows.append((*cells[:3], re.findall(r'href="#([^"]+)"', row)))
    return rows


def test_every_finding_has_a_row_that_leads_to_its_text_and_to_its_numbers(reports):
    rows, ids = table_of_findings(reports[0]), {attributes.get("id") for _, attributes in Page(reports[0]).tags}
    articles = re.findall(r'<article class="finding" id="([^"]+)">', reports[0])
    assert [targets[0] for *_, targets in rows] == articles and len(articles) > 6
    assert all(len(targets) > 1 and set(targets) <= ids for *_, targets in rows)
    statements = re.findall(r'<p class="statement[^"]*"([^>]*)>', reports[0][reports[0].index(articles[0]) :])
    assert statements and all(re.fullmatch(r' id="finding-[^"]+-\d+"', attributes) for attributes in statements)
    interpretation = reports[1].split("\n## Interpretation\n")[1]
    assert interpretation.index("| Finding | What came out | How surely |") < interpretation.index("\n### ")


def test_a_row_says_verdict_and_interval_and_how_sure_it_is(reports):
    rows = {finding: (result, basis) for finding, result, basis, _ in table_of_findings(reports[0])}
    assert rows["Did convolution beat the dense baseline?"] == (
        "better CNN − Dense: +5.00 pp (+4.75 to +5.25)", "tested as planned",
    )  # fmt: skip
    assert rows["Does it pay to change kernel size?"] == ("inconclusive 5×5 − 3×3: 0.00 pp", "tested as planned")
    assert rows["Calibration"][1] == "measured, not tested"
    assert rows["What convolution assumes"] == ("3 assumptions are not measured by this study", "not measured here")


def test_a_dense_variant_against_a_cnn_is_told_from_the_side_of_the_cnn(tmp_path):
    config = copy.deepcopy(MADE_UP_STUDY)
    config["comparisons"] = {"turned": {"variant": "dense", "reference": "cnn"}}
    html, _ = write_reports(tmp_path, write_study_with(tmp_path, config, CNN_WINS))
    assert table_of_findings(html)[0][1].startswith("better CNN − Dense: +5.00 pp")
    accuracies = {name: values[:2] for name, values in CNN_WINS.items()}
    html, _ = write_reports(tmp_path, write_study_with(tmp_path, {**config, "seeds": 2}, accuracies))
    assert table_of_findings(html)[0][1:3] == ("smoke test CNN − Dense: +5.00 pp", "measured, not tested")


def test_a_probe_has_a_row_with_its_differences_and_their_intervals(tmp_path):
    config = {**MADE_UP_STUDY, "probes": {"translation": {"shift": 1}}}
    shared = {"dataset": "digits", "probe": "translation", "n_seeds": 3, "n_diverged": 0}
    point = {**shared, "sd": 0.01, "ci_low": None, "ci_high": None}
    curves = pd.DataFrame(
        {**point, "measure": measure, "variant": name, "level": f"{shift} px", "order": shift, "mean": 1 - shift / 10}
        for measure in ("accuracy", "consistency")
        for name in ("cnn", "dense")
        for shift in (0, 1)
    )[CURVE_COLUMNS]
    difference = {"variant": "cnn", "reference": "dense", "measure": "consistency", "difference": 0.04}
    contrasts = pd.DataFrame([{**shared, **difference, "ci_low": -0.01, "ci_high": 0.09}])[CONTRAST_COLUMNS]
    html, _ = write_reports(tmp_path, write_study_with(tmp_path, config, CNN_WINS, probed=(curves, contrasts)))
    row = next(row for row in table_of_findings(html) if row[0].startswith("Shifted images"))
    assert row[1:3] == ("CNN − Dense, consistency: +4.00 pp (−1.00 to +9.00)", "exploratory")
    assert row[3] == ["probe-digits-translation"] * 2


def test_details_begin_with_the_chosen_variant_which_is_marked_wherever_it_stands(reports):
    panels = re.findall(r'<details class="panel" data-variant="([^"]+)"[^>]*><summary>(.*?)</summary>', reports[0])
    assert panels[0][0] == "cnn" and {"dense", "cnn"} <= {name for name, _ in panels}
    assert {name for name, summary in panels if "chosen-mark" in summary} == {"cnn"}
    marked = re.findall(
        r'<tbody data-variant="([^"]+)">\s*<tr>\s*<th[^>]*>(?:(?!</th>).)*chosen-mark', reports[0], re.DOTALL
    )
    assert marked == ["cnn"]


@pytest.mark.parametrize(("panels", "across"), [
    ([2, 2, 3], [False, False, True]),
    ([2], [True]),
    ([12, 2, 2, 2, 12], [True, False, False, True, True]),
    ([], []),
])  # fmt: skip
def test_a_figure_of_many_panels_and_one_without_a_partner_take_a_row(panels, across):
    shown = [
        views.Figure("probes", f"figure-{n}", "x", "X", "Y.", "", "x.png", svg=Markup('<g id="f-axes_1"></g>' * count))
        for n, count in enumerate(panels)
    ]
    assert [is_across for _figure, is_across in views.in_rows(shown)] == across


def test_every_figure_says_how_to_read_it_and_has_its_numbers(reports):
    figures = re.findall(r"<figure\b.*?</figure>", reports[0], re.DOTALL)
    assert len(figures) > 15
    for figure in figures:
        assert "<summary>How to read this</summary>" in figure
        assert "<template>" in figure


# ---------------------------------------------------------------------------------------------------------------------
# Claims


def test_claims_have_a_scorecard_right_after_the_answer(tmp_path):
    config = {**MADE_UP_STUDY, "claims": CLAIMS_OF_EVERY_VERDICT}
    values = {"dense": [0.9, 0.9012, 0.8991], "cnn": seeds_around(0.95), CNN_5X5: [0.9513, 0.9502, 0.9493]}
    html, markdown = write_reports(tmp_path, write_study_with(tmp_path, config, values))
    section = re.search(r'</header>\s*(<section id="claims".*?</section>)', html, re.DOTALL)[1]
    words = Page(section).words
    assert "Of 4 claims, 2 are supported, 1 is contradicted and 1 is inconclusive." in words
    assert "size · a notebook parameters(cnn) == 9258 supported 9,258 9,258 parameters(cnn) is 9,258, exactly." in words
    assert re.search(r"supported \+3 pp \+4\.99 pp \+4\.[0-9]+ to \+5\.[0-9]+ test_accuracy\(cnn\) - test", words)
    assert "contradicted about 94,000 9,258 parameters(cnn) is 9,258, not less than 1,000" in words
    assert "inconclusive – +0.03 pp −0." in words
    assert [text in section for text in ("badge supported", "badge contradicted", "badge inconclusive")] == [True] * 3
    assert '<a href="#claims">Claims</a>' in html
    assert markdown.index("## Answer") < markdown.index("## Claims") < markdown.index("## All variants")
    assert "| The CNN has 9,258 parameters. | a notebook | **supported** | 9,258 | 9,258 |" in markdown
    assert "Claims Each has its rule in the config." in Page(html).words
    assert not NOT_A_NUMBER.search(words)


def test_a_study_without_claims_says_nothing_of_them(reports):
    for text in reports:
        assert "claims" not in text.lower().replace("claims tbody", "").replace(".claims", "")


def test_claims_of_several_datasets_are_told_apart(tmp_path):
    config = {
        **MADE_UP_STUDY,
        "datasets": {"digits": {}, "other": {"kind": "digits"}},
        "claims": CLAIMS_OF_EVERY_VERDICT,
    }
    html, markdown = write_reports(tmp_path, write_study_with(tmp_path, config, CNN_WINS))
    assert "Of 8 claims, each dataset counted, " in Page(html).words
    assert "size · other · a notebook" in Page(html).words
    assert "| It is small. (other) |" in markdown


def test_many_claims_are_folded_and_few_seeds_decide_only_exact_ones(tmp_path):
    many = [{**CLAIMS_OF_EVERY_VERDICT[0], "id": f"c{number}"} for number in range(30)] + CLAIMS_OF_EVERY_VERDICT[1:2]
    accuracies = {name: values[:2] for name, values in CNN_WINS.items()}
    config = {**MADE_UP_STUDY, "seeds": 2, "claims": many}
    html, _ = write_reports(tmp_path, write_study_with(tmp_path, config, accuracies))
    assert "11 more rows" in Page(html).words
    assert "Of 31 claims, 30 are supported and 1 is inconclusive." in Page(html).words
    assert "this is a smoke test" in Page(html).words


# ---------------------------------------------------------------------------------------------------------------------
# Odd studies


def test_few_seeds_are_called_a_smoke_test(tmp_path):
    accuracies = {name: values[:2] for name, values in CNN_WINS.items()}
    html, markdown = write_reports(tmp_path, write_study_with(tmp_path, {**MADE_UP_STUDY, "seeds": 2}, accuracies))
    header = Page(re.search(r"<header.*?</header>", html, re.DOTALL)[0]).words
    assert "Smoke test, nothing inferred" in header
    assert "smoke test Nothing inferred: CNN against Dense" in header
    assert "better CNN" not in header
    assert "**smoke test**" in markdown
    accuracies = {name: values[:1] for name, values in CNN_WINS.items()}
    html, _ = write_reports(
        tmp_path / "one", write_study_with(tmp_path / "one", {**MADE_UP_STUDY, "seeds": [7]}, accuracies)
    )
    assert not NOT_A_NUMBER.search(Page(html).words)
    assert "95.10 %" not in html


def test_a_study_without_questions_is_described_and_says_so(tmp_path):
    config = {**MADE_UP_STUDY, "experiments": {}, "comparisons": {}}
    html, markdown = write_reports(
        tmp_path, write_study_with(tmp_path, config, {"dense": seeds_around(0.9), "cnn": seeds_around(0.95)})
    )
    assert "nothing is tested" in Page(html).words
    assert "nothing is tested" in markdown
    assert 'id="questions"' not in html
    assert "#questions" not in html
    assert "95.00 ± 0.10 %" in html


def test_a_study_of_dense_models_has_no_filters(tmp_path):
    config = {
        **MADE_UP_STUDY,
        "models": {"dense": MADE_UP_STUDY["models"]["dense"]},
        "experiments": {},
        "comparisons": {},
    }
    html, markdown = write_reports(tmp_path, write_study_with(tmp_path, config, {"dense": seeds_around(0.9)}))
    assert "so there are no filters to show" in Page(html).words
    assert "so there are no filters to show" in markdown
    assert "No model of this study convolves" in html


def test_diverged_runs_are_named(tmp_path):
    accuracies = {**CNN_WINS, "cnn": [0.95, None, 0.951], CNN_5X5: [None, None, None]}
    html, markdown = write_reports(tmp_path, write_study_with(tmp_path, MADE_UP_STUDY, accuracies))
    words = Page(html).words
    assert "left out of all means: CNN, seed 2; CNN, kernel size 5×5, seed 1;" in words
    assert "2 (1 diverged)" in words
    assert "0 (3 diverged)" in words
    assert "diverged after epoch 0" in words
    assert "no value" in words
    assert "CNN, seed 2 (digits)" in markdown
    assert not NOT_A_NUMBER.search(words + markdown)


def test_a_study_in_which_all_diverged_still_has_a_report(tmp_path):
    nothing = {name: [None, None, None] for name in CNN_WINS}
    html, markdown = write_reports(tmp_path, write_study_with(tmp_path, MADE_UP_STUDY, nothing))
    assert "No run has finished" in Page(html).words
    assert "No run has finished" in markdown
    assert not NOT_A_NUMBER.search(Page(html).words + markdown)


def test_several_datasets_are_told_apart(tmp_path):
    config = {**MADE_UP_STUDY, "datasets": {"digits": {}, "other": {"kind": "digits"}}}
    html, markdown = write_reports(tmp_path, write_study_with(tmp_path, config, CNN_WINS))
    words = Page(html).words
    for dataset in ("digits", "other"):
        assert f"Every variant on {dataset}" in words
        assert f"{dataset} · n = 3 seeds" in words
        assert f"Dataset {dataset}" in markdown
    assert "One dataset" not in words


def test_one_convolution_is_chosen_at_a_time_without_a_script(reports):
    html, markdown = reports
    (section,) = re.findall('<div class="learned" id="features-digits-kernel">.*?</fieldset>', html, re.DOTALL)
    buttons = re.findall(r'<input type="radio" name="([^"]*)" id="([^"]*)"( checked)?>', section)
    assert [(name, bool(checked)) for name, _id, checked in buttons] == [
        ("convolutions-digits-kernel", True), ("convolutions-digits-kernel", False)
    ]  # fmt: skip
    labels = re.findall(r'<label for="([^"]*)">([^<]*)</label>\s*<div class="convolution">\s*<figure', section)
    assert labels == [(buttons[0][1], "conv_1"), (buttons[1][1], "conv_2")]
    assert ".choice input:checked + label + .convolution { display: block; }" in html
    assert re.search(r"@media print \{.*\.convolution \{ display: block; \}", html, re.DOTALL)
    assert "digits-kernel-levels-2-filters.png" in markdown


def test_figures_are_embedded_as_far_as_they_fit_the_most_important_ones_first(tmp_path, monkeypatch):
    write_study_with(tmp_path, MADE_UP_STUDY, CNN_WINS)
    monkeypatch.setattr(gallery, "MAX_EMBEDDED_CHARS", 5_000)
    html, _ = write_reports(tmp_path, MADE_UP_STUDY)
    embedded = re.findall(r'<figure\b[^>]* data-name="([^"]*)"[^>]*>\s*<div', html)
    assert "digits-accuracy" in embedded and "digits-cnn-layer-1-filters" not in embedded
    assert "page small: <code>compare/figures/digits-cnn-layer-1-filters.png</code>" in html


def test_a_large_study_stays_small_and_folds_what_is_long(tmp_path):
    widths = list(range(1, 61))
    config = {
        **MADE_UP_STUDY,
        "experiments": {"width": {"base": "cnn", "factor": "dense_units", "levels": [[n] for n in widths]}},
    }
    study = load_study(config)
    accuracies = {name: seeds_around(0.9) for name in study.plan.variants}
    shown = {"dense", "cnn"}
    write_study_with(tmp_path, config, accuracies)
    summary = json.loads((tmp_path / "compare" / "summary.json").read_text())
    summary["confusions"] = {"digits": {n: m for n, m in summary["confusions"]["digits"].items() if n in shown}}
    write_json(tmp_path / "compare" / "summary.json", summary)
    html, _ = write_reports(tmp_path, config)
    page = Page(html)
    charts = [drawing for drawing in page.all("svg") if drawing.get("class") == "chart"]
    assert len(charts) <= gallery.MAX_EMBEDDED_FIGURES
    assert "Figure left out to keep this page small:" in page.words
    assert len(html) < 2e6
    header = re.search(r"<header.*?</header>", html, re.DOTALL)[0]
    assert header.count('class="contrast') == views.MAX_CARD_CONTRASTS + 1
    assert "more comparisons" in header
    folded = re.sub(r"<details.*?</details>", "", html, flags=re.DOTALL)
    assert folded.count("dense units 37") <= 1


# ---------------------------------------------------------------------------------------------------------------------
# Model card


def test_the_model_card_is_of_the_chosen_variant_and_names_its_limits(reports):
    card = Page(re.search(r'<section id="card".*?</section>', reports[0], re.DOTALL)[0]).words
    assert "Model CNN (conv): 9,258 parameters, 87,360 multiply-accumulates for an image" in card
    assert "Input 8×8×1 pixels, raw values from 0 to 255" in card
    assert "nothing that matters to a person's health" in card
    assert "test accuracy 95.00 %" in card and "(95 % CI 94.75 to 95.25)" in card
    assert "It misses most of:" in card


def test_nothing_is_recommended_where_no_run_has_finished(tmp_path):
    html, _ = write_reports(
        tmp_path, write_study_with(tmp_path, MADE_UP_STUDY, {name: [None, None, None] for name in CNN_WINS})
    )
    assert 'id="card"' not in html and "#card" not in html


# ---------------------------------------------------------------------------------------------------------------------
# Deployment


EVIDENCE = {
    "format": 1, "study": "made_up", "target": "local", "status": "succeeded", "error": None, "wall_seconds": 1.0,
    "started": "2026-01-02T03:04:05+00:00", "finished": "2026-01-02T03:04:06+00:00",
    "model": {"dataset": "digits", "variant": "cnn", "seed": 1, "spec_hash": "", "runtime": "onnx", "files_sha256": {}},
    "images": {"count": 2, "of": 355, "seed": 0, "rule": "by seed"}, "endpoint": {},
    "answers": [
        {"index": n, "true_class": n, "predicted_class": 0, "label": "0", "probabilities": [0.75, 0.25],
         "correct": n == 0, "latency_ms": 1.5, "payload_bytes": 9, "about": {}}
        for n in (0, 1)
    ],
    "accuracy": {"value": 0.5, "ci_low": 0.1, "ci_high": 0.9, "images": 2},
    "parity": {"largest_difference": 1e-7, "mean_difference": 0, "agreement": 1.0, "differing": [], "mcnemar_p": None},
    "latency_ms": {"first": 9.5, "p50": 1.5, "p90": 1.6, "p95": None, "p99": None, "max": 1.7, "calls": 1},
    "teardown": {"remaining": [], "about": {}}, "versions": {}, "hardware": {},
}  # fmt: skip


def deployed(folder: Path, **changes) -> Page:
    """The page of a study whose model was deployed."""
    write_study_with(folder, MADE_UP_STUDY, CNN_WINS)
    images = np.zeros((2, 8, 8, 1), np.uint8)
    write_arrays(folder / "prepare" / "digits" / "data.npz", x_test=images, y_test=np.arange(2))
    arrays = {"x_test": images, "y_test": np.arange(2)}
    checked = {
        name: {"sha256": array_sha256(array), "shape": array.shape, "dtype": str(array.dtype)}
        for name, array in arrays.items()
    }
    write_json(
        folder / "prepare/digits/manifest.json",
        manifest_of("digits") | {"format": 1, "classes": ["0", "1"], "arrays": checked},
    )
    write_json(folder / "deploy" / "digits" / "endpoint.json", EVIDENCE | changes)
    return Page(write_reports(folder, MADE_UP_STUDY)[0])


def test_what_an_endpoint_answered_is_shown_and_that_nothing_is_left(tmp_path):
    words = deployed(tmp_path).words
    assert "This endpoint ran on the machine that wrote the report, not on AWS." in words
    assert "Accuracy of the answers 50.00 % (95 % CI 10.00 to 90.00)" in words
    assert "First answer 9.50 ms Later answers p50 1.50 ms, p90 1.60 ms" in words
    assert "Left behind, by looking nothing" in words
    assert words.index("1 → 0 75.0 % 1.5 ms") < words.index("0 → 0 75.0 % 1.5 ms"), "mistakes come first"


def test_a_failed_deployment_is_shown_with_its_error_and_no_account_number(tmp_path):
    error = {"type": "ClientError", "message": "arn:aws:iam::123456789012:role/x may not do this"}
    nothing = dict.fromkeys(("model", "images", "accuracy", "parity", "latency_ms", "finished"))
    on_aws = {"endpoint": {"on_aws": True}}
    words = deployed(tmp_path, target="sagemaker", status="failed", error=error, answers=[], **nothing, **on_aws).words
    assert "Status failed Error arn:aws:iam::************:role/x may not do this" in words
    assert "123456789012" not in words
    assert "not on AWS" not in words


def test_what_ran_on_a_double_of_aws_says_so_and_shows_job_endpoint_and_logs(tmp_path):
    job = {
        "name": "convlab-x-1", "status": "Completed", "instance_type": "ml.m5.large", "image": "training:2.21",
        "spot": True, "billable_seconds": 61, "test_accuracy": 0.75,
        "log": {"group": "/aws/sagemaker/TrainingJobs", "streams": {"convlab-x-1/algo-1": ["epoch <1>", "epoch 2"]}},
    }  # fmt: skip
    endpoint = {
        "on_aws": False, "name": "convlab-x", "region": "eu-west-1", "image": "inference:2.20",
        "seconds_to_service": 61.5, "variant": {"ServerlessConfig": {"MemorySizeInMB": 2048}},
        "objects": [{"key": "x", "bytes": 1_500_000}],
        "controls": {"network_isolation": True, "vpc": {"subnets": ["subnet-1"], "security_groups": ["sg-2"]},
                     "kms_key": "alias/models"},
    }  # fmt: skip
    steps = [{"resource": "endpoint", "outcome": "deleted", "at": "2026-01-02T03:04:05.678+00:00"}]
    teardown = {"remaining": [], "about": {"steps": steps}}
    words = deployed(tmp_path, target="sagemaker", training=job, endpoint=endpoint, teardown=teardown).words
    assert "A stand-in for AWS answered, not AWS: nothing of this ran there." in words
    assert "Training job convlab-x-1, Completed, ml.m5.large, training:2.21, spare capacity, 61 s" in words
    assert "Accuracy of the model that was trained there, all test images 75.00 %" in words
    assert "Endpoint convlab-x, eu-west-1, serverless, 2048 MB, inference:2.20" in words
    assert "Time until it answered 61.5 s" in words and "Objects in the bucket while it ran 1 (1.50 MB)" in words
    assert "Network and encryption kms_key (alias/models), network_isolation, vpc (sg-2, subnet-1)" in words
    assert "convlab-x-1/algo-1 epoch <1> epoch 2" in words
    assert "2026-01-02T03:04:05 endpoint: deleted" in words


def test_what_the_service_measured_stands_beside_the_clients_times_in_page_and_markdown(tmp_path):
    spread = {"mean": 2.5, "min": 1.5, "max": 9.25, "count": 5}
    server = {
        "complete": True, "waited_seconds": 60.0, "error": None, "invocations": 5, "errors_4xx": 0, "errors_5xx": 1,
        "model_latency_ms": spread, "overhead_latency_ms": spread, "model_setup_ms": None, "client_latency_ms": spread,
        "memory_percent": {**spread, "max": 12.5}, "cpu_percent": None, "outside_ms": 3.25,
    }  # fmt: skip
    cold = {"asked": 3, "milliseconds": [900, 800, 700], "median": 800, "min": 700, "max": 900, "error": None}
    words = deployed(tmp_path, server=server, cold_starts=cold).words
    markdown = next(tmp_path.rglob("report.md")).read_text()
    for sentence in (
        "Calls that CloudWatch counted{}5, of them 0 answered 4xx and 1 5xx",
        "In the container, as CloudWatch has it{}mean 2.50 ms, 1.50 ms to 9.25 ms",
        "Outside of SageMaker, on average: network and client{}3.25 ms",
        "Memory of the endpoint{}12.5 % at most",
        "Cold starts, each of an endpoint created anew{}median 800 ms, 700 ms to 900 ms (n = 3)",
    ):
        assert sentence.format(" ") in words, sentence
        assert "- " + sentence.format(": ") in markdown.replace("\N{NO-BREAK SPACE}", " ").replace("\u202f", " "), (
            sentence
        )


def test_what_the_service_did_not_count_is_not_counted_and_why_cold_starts_are_missing_is_told(tmp_path):
    names = "errors_4xx errors_5xx model_latency_ms overhead_latency_ms model_setup_ms client_latency_ms outside_ms"
    names = dict.fromkeys([*names.split(), "memory_percent", "cpu_percent"])
    server = {"complete": True, "waited_seconds": 60.0, "error": None, "invocations": 5} | names
    cold = {"asked": 5, "milliseconds": [900], "median": 900, "min": 900, "max": 900, "error": "CreateEndpoint: no"}
    words = deployed(tmp_path, server=server, cold_starts=cold).words
    assert "Calls that CloudWatch counted 5" in words and "4xx" not in words
    assert "900 ms to 900 ms (n = 1); CreateEndpoint: no" in words


@pytest.mark.parametrize(("remaining", "named"), [([], True), (["endpoint convlab-x"], False)])
def test_objects_are_named_as_kept_where_the_config_asks_for_it_and_not_beside_what_would_not_go(
    tmp_path, remaining, named
):
    teardown = {"remaining": remaining, "about": {"kept_objects": ["s3://bucket/convlab/x/model.tar.gz"]}}
    words = deployed(tmp_path, teardown=teardown).words
    assert ("Kept in the bucket, as asked s3://bucket/convlab/x/model.tar.gz" in words) == named


def test_what_was_registered_is_named_with_what_stays(tmp_path):
    registration = {
        "group": "convlab-x", "package": "arn:aws:sagemaker:eu-west-1:123456789012:model-package/convlab-x/3",
        "approval": "PendingManualApproval", "card": "convlab-x-1", "card_status": "Draft",
        "kept_objects": ["s3://bucket/convlab/registry/convlab-x-1/model.tar.gz"],
    }  # fmt: skip
    words = deployed(tmp_path, registration=registration).words
    assert "model card convlab-x/3, PendingManualApproval, convlab-x-1 (Draft)" in words
    assert "Kept in the bucket, as asked s3://bucket/convlab/registry/convlab-x-1/model.tar.gz" in words


def test_metrics_that_did_not_come_are_said_to_be_missing(tmp_path):
    names = (*("invocations", "errors_4xx", "errors_5xx", "outside_ms", "client_latency_ms", "model_latency_ms"),
             *("overhead_latency_ms", "model_setup_ms", "memory_percent", "cpu_percent"))  # fmt: skip
    server = {"complete": False, "waited_seconds": 180.0, "error": "GetMetricData: denied"} | dict.fromkeys(names)
    words = deployed(tmp_path, server=server).words
    assert "Calls that CloudWatch counted not there within 180 s: GetMetricData: denied" in words


def test_a_transform_job_is_shown_with_its_time_and_images_per_second(tmp_path):
    endpoint = {
        "on_aws": False, "region": "eu-west-1", "image": "inference:2.20", "name": "convlab-x",
        "transform": {"name": "convlab-x", "instance_type": "ml.m5.large", "seconds": 61.5, "images_per_second": 1.63},
    }  # fmt: skip
    words = deployed(tmp_path, target="sagemaker", endpoint=endpoint, latency_ms=None).words
    assert "Transform job convlab-x, eu-west-1, ml.m5.large, inference:2.20" in words
    assert "Its instance ran for 61.5 s, 1.6 images per second" in words


def test_a_study_that_deployed_nothing_says_nothing_of_it(reports):
    assert 'id="deployment"' not in reports[0]
    assert "#deployment" not in reports[0]


# ---------------------------------------------------------------------------------------------------------------------
# Text from the config is text


HOSTILE = (
    "<script>alert(1)</script><img src=x onerror=alert(1)> & ]( javascript:alert(1)) [x](javascript:alert(1)) "
    "![y](http://evil.example/z.png) `code` ``` | a | b | **bold** _it_ ~~s~~ # h $x$ <!-- c --> {{ 7*7 }} {% x %} "
    "https://evil.example \n\n# head\n- item"
)


def study_with(text: str, folder: Path) -> tuple[str, str]:
    """Both reports of a study that says ``text`` wherever a config or a dataset may say something."""
    config = copy.deepcopy(MADE_UP_STUDY) | {"question": text, "description": text, "report": {"author": text}}
    config["models"]["cnn"] |= {"label": text, "why": {"kernel_size": text}}
    config["experiments"]["kernel"]["question"] = text
    claim = {"id": "a", "text": text, "source": text, "published": text, "rule": "test_accuracy(cnn) > 0"}
    config["claims"] = [claim, {**CLAIMS_OF_EVERY_VERDICT[0], "text": text, "id": "b"}]
    classes = [f"{text} {i}" for i in range(10)]
    values = {**CNN_WINS, CNN_5X5: [0.95, None, 0.951]}
    return write_reports(
        folder, write_study_with(folder, config, values, classes=classes), "--config-file", "a b'`<i>.yaml"
    )


def test_hostile_names_show_as_text_in_the_page(tmp_path):
    page = Page(study_with(HOSTILE, tmp_path / "hostile")[0])
    plain = Page(study_with("plain", tmp_path / "plain")[0])
    assert [tag for tag, _ in page.tags] == [tag for tag, _ in plain.tags]
    assert [sorted(attributes) for _, attributes in page.tags] == [sorted(attributes) for _, attributes in plain.tags]
    assert all(a.get("href", "#").startswith(("#", "data:")) for _, a in page.tags)
    assert page.words.count(" ".join(HOSTILE.split())) > 20


def test_hostile_names_show_as_text_in_markdown(tmp_path):
    render = MarkdownIt("gfm-like", {"linkify": False, "html": True}).render
    page = Page(render(study_with(HOSTILE, tmp_path / "hostile")[1]))
    plain = Page(render(study_with("plain", tmp_path / "plain")[1]))
    assert [tag for tag, _ in page.tags] == [tag for tag, _ in plain.tags]
    assert page.all("a") == []
    assert all(image["src"].startswith("../") for image in page.all("img"))
    assert page.words.count(" ".join(HOSTILE.split())) > 20


@pytest.mark.parametrize("value, expected", [
    ("a|b", r"a\|b"),
    ("- item", r"\- item"),
    ("---", r"\---"),
    ("1. one", r"1\. one"),
    ("+1.31 pp", "+1.31 pp"),
    ("−1.31 pp", "−1.31 pp"),
    ("a\n\n# b", r"a \# b"),
    ("<b>", "&lt;b&gt;"),
    ("&lt;", "&amp;lt;"),
    ("http://x.y", r"http:\//x.y"),
    (3, "3"),
])  # fmt: skip
def test_markdown_values_are_escaped_only_where_needed(value, expected):
    assert str(templates.markdown_text(value)) == expected


def test_a_code_block_cannot_be_ended_from_inside():
    assert templates.fenced("a\n```\nb", "yaml") == "````yaml\na\n```\nb\n````"


# ---------------------------------------------------------------------------------------------------------------------
# Pieces


def test_columns_that_look_like_nothing_or_numbers_stay_text(tmp_path):
    path = tmp_path / "table.csv"
    path.write_text("class,label,recall\nNA,007,0.5\nnull,None,\n")
    table = loading.read_table(path)
    assert table["class"].tolist() == ["NA", "null"]
    assert table["label"].tolist() == ["007", "None"]
    assert table["recall"].isna().tolist() == [False, True]


def test_a_missing_table_is_named(tmp_path):
    write_study_with(tmp_path, MADE_UP_STUDY, CNN_WINS)
    (tmp_path / "compare" / "trends.csv").unlink()
    with pytest.raises(UserError, match=r"trends\.csv is missing"):
        write_reports(tmp_path, MADE_UP_STUDY)


def test_confidence_is_a_mean_over_images():
    assert loading.mean_confidence([[0.5, 0.0, 10], [1.0, 1.0, 30]]) == pytest.approx(0.875)


def test_durations_read_like_time():
    assert [format.duration(s) for s in (32.8, 250, 7500)] == ["33 s", "4 min 10 s", "2 h 5 min"]


def test_numbers_keep_their_units_on_the_line():
    assert templates.tight("n = 3 and 95 % CI, ± 0.5 pp") == "n\u00a0=\u00a03 and 95\u00a0%\u00a0CI, ±\u00a00.5\u00a0pp"


def test_the_script_runs_by_hand_without_tensorflow(tmp_path):
    config = write_study_with(tmp_path, MADE_UP_STUDY, CNN_WINS)
    code = (
        "import sys; sys.path.insert(0, sys.argv.pop(1)); import report; report.main(sys.argv[1:]); "
        "sys.exit('tensorflow' in sys.modules or 'matplotlib' in sys.modules)"
    )
    arguments = ["--config", json.dumps(config), "--results-dir", str(tmp_path)]
    scripts = Path(report.__file__).parent
    result = subprocess.run([sys.executable, "-c", code, scripts, *arguments], capture_output=True, text=True)
    assert result.returncode == 0, result.stderr


@pytest.mark.parametrize("files, values, command", [
    ([], {}, "--configfile made_up.yaml"),
    (["config.yaml"], {}, "--configfile config.yaml"),
    (["a b.yaml", "it's.yaml"], {}, "--configfile 'a b.yaml' 'it'\"'\"'s.yaml'"),
    (["a.yaml"], {"seeds": [1, 2], "question": "Why?", "study": "x"},
     "--configfile a.yaml --config 'seeds=[1, 2]' 'question=Why?' study=x"),
])  # fmt: skip
def test_the_command_to_run_again_names_all_that_decided_the_study(files, values, command):
    from types import SimpleNamespace

    from convlab.page import provenance

    shell_command = provenance.command(SimpleNamespace(study="made_up"), [{"cores": 2}, {"cores": 4}], files, values)
    assert shell_command == f"snakemake --cores 4 {command}"
