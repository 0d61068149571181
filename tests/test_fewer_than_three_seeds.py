"""Nothing is inferred from one or two seeds: no p value, interval or verdict in any table, number, sentence or page."""

import re

import matplotlib.pyplot as plt
import pytest

from builders.project import CNN_5X5
from builders.results import write_reports, write_study_with
from builders.study_results import MADE_UP_STUDY
from builders.tables import config_of_every_table, macros_of, study_and_tables_with
from convlab.figures.study import DatasetResults, every_seed, question_figures
from convlab.language.numbers import MISSING
from convlab.paper import printed as paper
from convlab.paper.macros import numbers_tex
from convlab.probes.lines import with_intervals
from convlab.statistics.describe import MIN_SEEDS

INFERRED = ("p_value", "p_adjusted", "p_equivalence", "p_equivalence_adjusted", "ci_low", "ci_high", "ci90_low",
            "ci90_high", "detectable", "seeds_to_settle", "f_statistic", "new_images_ci_low",
            "new_images_ci_high", "new_images_p", "new_images_p_adjusted", "new_images_p_equivalence_adjusted",
            "new_images_half_width_seeds", "new_images_half_width_images", "sd_seeds",
            "test_accuracy_ci_low", "test_accuracy_ci_high")  # fmt: skip

TIMED = [{"id": "timed", "text": "It is fast.", "rule": "latency_ms(cnn) < 100"},
         {"id": "better", "text": "It is better.", "rule": "test_accuracy(cnn) > test_accuracy(dense)"},
         {"id": "high", "text": "It is good.", "rule": "test_accuracy(cnn) > 0.1"}]  # fmt: skip

A_P_VALUE = re.compile(r"\bp [=<>] ?[.,\d]")
AN_INTERVAL = re.compile(r"(CI|IC)(\s|%|95)*[+−\d][\d.,]+ (to|a) ")


def few(seeds: int, **changes) -> dict:
    return config_of_every_table() | {"seeds": seeds, "claims": TIMED} | changes


@pytest.mark.parametrize("seeds", [1, 2])
def test_no_table_number_or_sentence_infers_anything(seeds):
    study, tables = study_and_tables_with(few(seeds))
    assert [name for name, table in tables.items() if not len(table)] == ["robustness", "timings"]
    for name, table in tables.items():
        for column in set(INFERRED) & set(table):
            assert table[column].isna().all(), (name, column)
        for column in set(table) & {"verdict", "finished_verdict", "new_images_verdict"}:
            assert set(table[column]) <= {"inconclusive", "described"}, name
        for column in set(table) & {"new_images_sentence", "new_images_narrowing", "new_images_scatter"}:
            assert set(table[column]) == {""}, column
        for column in set(table) & {"sentence", "reason"}:
            for text in table[column]:
                assert not A_P_VALUE.search(text) and not AN_INTERVAL.search(text), text
    for name, printed in paper.printed(tables, study).items():
        for column in set(printed.cells) & {"p", "Exploratory p", "95 % CI"}:
            assert set(printed.cells[column]) <= {"", MISSING}, name
    text = numbers_tex(tables, study, {"digits": 100}, {"digits": "cnn"}, {})
    for name, value in macros_of(text).items():
        if re.search(r"(Low|High|P|ExploratoryP|PAdjusted|PEquivalence|Detectable|SeedsToSettle|F)$", name):
            assert value == MISSING, name
        if name.endswith("Verdict"):
            assert value in ("inconclusive", "described")


@pytest.mark.parametrize("seeds", [1, 2])
@pytest.mark.parametrize("language", ["en", "es"])
def test_no_page_infers_anything(tmp_path, seeds, language):
    config = MADE_UP_STUDY | {"seeds": seeds, "claims": TIMED, "report": {"language": language}}
    accuracies = {"dense": [0.80, 0.81], "cnn": [0.90, 0.91], CNN_5X5: [0.95, 0.96]}
    page, text = write_reports(
        tmp_path, write_study_with(tmp_path, config, {name: values[:seeds] for name, values in accuracies.items()})
    )
    for shown in (page, text):
        assert not A_P_VALUE.search(shown)
        assert not AN_INTERVAL.search(re.sub("<[^>]*>", " ", shown))


@pytest.mark.parametrize(
    ("seeds", "told"), [(1, "Single runs"), (2, "without intervals"), (3, "95 %")], ids=["one", "two", "three"]
)
def test_captions_of_figures_speak_of_intervals_and_means_only_where_there_are_any(seeds, told, tmp_path):
    study, tables = study_and_tables_with(few(seeds))
    results = DatasetResults(study, "digits", tables, None, tmp_path, [], "cnn")
    every_run = every_seed(results, list(results.series.values()))
    plt.close(every_run["figure"])
    captions = {"every seed": every_run["caption"]}
    for file in (file for question in study.plan.questions.values() for file in question_figures(results, question)):
        captions[file.name] = file.caption
        plt.close(file.figure)
    curves = tables["probe_curves"]
    captions["probe"] = with_intervals("A curve.", curves)
    assert any(name.endswith("-combinations") for name in captions), captions
    assert told in captions["every seed"] and told in captions["probe"]
    for name, caption in captions.items():
        assert ("95 %" in caption) == (seeds == 3 and not name.endswith(("-costs", "-combinations"))), (name, caption)
        assert ("Single runs" in caption) <= (seeds == 1), (name, caption)
        assert ("SD over seeds" in caption) <= (seeds > 1), (name, caption)


def test_from_three_seeds_on_there_is_something_to_infer():
    _study, tables = study_and_tables_with(few(3))
    for name in ("variants", "comparisons", "trends", "factorials", "claims"):
        column = "test_accuracy_ci_low" if name == "variants" else "p_value"
        assert tables[name][column].notna().any(), name
    assert "exploratory p" in tables["trends"]["sentence"].iloc[0]
    assert "exploratory p" in tables["factorials"]["sentence"].iloc[0]
    assert MIN_SEEDS == 3
