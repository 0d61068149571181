"""Whatever has a p value is in the family of the study or is called exploratory, wherever it is printed."""

import re

import pytest

from builders.results import write_reports, write_study_with
from builders.study_results import MADE_UP_STUDY, TWO_FACTORS, results_with, seeds_around
from builders.tables import config_of_every_table, macros_of, study_and_tables_with
from convlab.common import i18n
from convlab.findings.collect import interpret
from convlab.language.captions import TABLE_CAPTIONS, table_caption
from convlab.paper import printed as paper
from convlab.paper.macros import numbers_tex
from convlab.probes.all_findings import all_findings
from convlab.results import columns
from convlab.study.load import load_study
from convlab.study.metrics import ACCURACY

WORD = re.compile("exploratory|exploratori[oa]", re.IGNORECASE)
UNPAIRED_MEANS = {"variants", "probe_curves"}
"""Tables whose intervals are those of single means, which compare nothing."""

SAME_CONTRASTS = {"robustness"}
"""Tables that give the contrasts of the family again, with the verdict of another analysis."""


@pytest.fixture(scope="module")
def study_and_tables():
    return study_and_tables_with(config_of_every_table())


def described(name: str) -> dict[str, columns.Column]:
    return next(table.columns for table in columns.TABLES if table.file == f"compare/{name}.csv")


def in_family(table) -> bool:
    """Whether a table's p values are adjusted over the study."""
    return "p_adjusted" in table


def exploratory_tables(tables) -> set[str]:
    return {
        name
        for name, table in tables.items()
        if {"p_value", "ci_low"} & set(table) and not in_family(table) and name not in UNPAIRED_MEANS | SAME_CONTRASTS
    }


def test_the_tables_outside_of_the_family_are_these(study_and_tables):
    _study, tables = study_and_tables
    assert exploratory_tables(tables) == {"trends", "factorials", "probe_contrasts", "convolutions"}


@pytest.mark.parametrize("language", i18n.LANGUAGES)
def test_captions_say_so(study_and_tables, language):
    _study, tables = study_and_tables
    with i18n.in_language(language):
        for name in TABLE_CAPTIONS:
            expected = name in exploratory_tables(tables) | SAME_CONTRASTS
            assert bool(WORD.search(table_caption(name, {}, ACCURACY))) == expected, name


@pytest.mark.parametrize("language", i18n.LANGUAGES)
def test_sentences_with_a_p_value_say_so(language):
    with i18n.in_language(language):
        _study, tables = study_and_tables_with(config_of_every_table())
    for name in exploratory_tables(tables) & {"trends", "factorials"}:
        tested = tables[name][tables[name]["p_value"].notna()]
        assert len(tested)
        assert all(WORD.search(sentence) for sentence in tested["sentence"]), name


def test_descriptions_of_columns_say_so(study_and_tables):
    _study, tables = study_and_tables
    for name in exploratory_tables(tables):
        column = "p_value" if "p_value" in tables[name] else "ci_low"
        assert WORD.search(described(name)[column].meaning), name


@pytest.mark.parametrize("language", i18n.LANGUAGES)
def test_headings_for_a_paper_say_so(study_and_tables, language):
    study, tables = study_and_tables
    with i18n.in_language(language):
        for name, printed in paper.printed(tables, study).items():
            headings = [name for name in printed.cells if name == "p" or WORD.search(name)]
            if "p_value" in tables[name]:
                assert [bool(WORD.search(heading)) for heading in headings] == [name in exploratory_tables(tables)]


def test_macros_of_a_p_value_say_so(study_and_tables):
    study, tables = study_and_tables
    text = numbers_tex(tables, study, {"digits": 100}, {"digits": "cnn"}, {})
    names = [name for name, value in macros_of(text).items() if "p <" in value or "p =" in value]
    assert len(names) > 5
    for name in names:
        kind = re.match("convlab(Difference|Claim|Trend|Effect|Probe)", name)[1]
        assert ("Exploratory" in name) == (kind in ("Trend", "Effect", "Probe")), name
    for line in text.splitlines():
        source = re.search(r"% (\w+)\.csv, ", line)
        if source:
            assert line.endswith("exploratory") == (source[1] in exploratory_tables(tables)), line


THREE_LEVELS = {"experiments": {"kernel": {"base": "cnn", "factor": "kernel_size", "levels": [1, 3, 5]}}}


@pytest.mark.parametrize("config", [THREE_LEVELS, TWO_FACTORS])
def test_findings_with_numbers_of_such_a_table_are_marked(config):
    means = (0.9, 0.95, 0.92, 0.97, 0.93)
    n_variants = len(load_study(MADE_UP_STUDY | config).plan.variants)
    scatter = [
        (-0.002, 0.0, 0.003),
        (0.001, 0.002, -0.001),
        (0.0, -0.003, 0.002),
        (0.002, 0.0, -0.002),
        (0.0, 0.001, 0.0),
    ]
    values = [seeds_around(mean, offsets) for mean, offsets in zip(means, scatter, strict=True)]
    results = results_with(values[:n_variants], config=config)
    sentences = {*results.trends["sentence"], *results.factorials["sentence"]}
    findings = [finding for topic in interpret(results, "digits") for finding in topic.findings]
    quoted = [finding for finding in findings if finding.text in sentences]
    assert len(quoted) == len(sentences)
    assert {finding.kind for finding in quoted} == {"exploratory"}


def test_findings_of_probes_with_an_interval_are_marked(study_and_tables):
    study, tables = study_and_tables
    labels = {name: variant.label for name, variant in study.plan.variants.items()}
    findings = all_findings(tables["probe_curves"], tables["probe_contrasts"], labels, "digits", 0.005)
    with_interval = [
        finding for group in findings.values() for finding in group if any("ci_low" in name for name in finding.numbers)
    ]
    assert len(with_interval) > 2
    assert {finding.kind for finding in with_interval} == {"exploratory"}


@pytest.mark.parametrize("language", i18n.LANGUAGES)
def test_the_page_prints_no_unadjusted_p_value_without_the_word(tmp_path, language):
    config = config_of_every_table() | {"report": {"language": language}, "probes": []}
    config["claims"] = []
    study, _tables = study_and_tables_with(config)
    values = {
        name: [0.8 + 0.01 * i + 0.001 * seed * (i % 3) for seed in range(len(study.seeds))]
        for i, name in enumerate(study.plan.variants)
    }
    for text in write_reports(tmp_path, write_study_with(tmp_path, config, values)):
        plain = re.sub("<[^>]*>", " ", text)
        for match in re.finditer(r"F\(\d+, \d+\)|Page", plain):
            after = plain[match.start() : match.start() + 160]
            if re.search(r"\bp [=<]", after):
                assert WORD.search(after), after
