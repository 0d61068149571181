"""Checklists of grading rubrics: what is there, what is missing, and which key of the config adds it."""

import copy
import re
from pathlib import Path

import pytest

import plan
from builders.project import ROOT
from builders.results import CNN_WINS, write_reports, write_study_with
from builders.study_results import MADE_UP_STUDY
from convlab.common import i18n, registry
from convlab.common.table_files import read_table
from convlab.errors import UserError
from convlab.study import checklist, layout
from convlab.study.checklist import Checklist, Finished, Requirement, Rubric
from convlab.study.load import load_study, read_yaml
from convlab.study.schema import RUBRICS

GRADED = {**MADE_UP_STUDY, "report": {"rubric": "course"}}


def missing(checked: Checklist) -> dict[str, str]:
    """What is missing, by the text of its requirement."""
    checks = [check for entry in checked.criteria for check in entry.checks]
    return {check.requirement.text: check.missing for check in checks if check.state == "missing"}


def missing_in(**changes) -> dict[str, str]:
    return missing(checklist.checklist(load_study({**GRADED, **changes})))


def test_the_study_that_goes_with_the_rubric_has_all_that_a_program_can_check():
    checked = checklist.checklist(load_study(read_yaml(ROOT / "studies/cifar10_factors.yaml")))
    assert missing(checked) == {}
    assert checked.counts["unchecked"] > 0, "a program cannot check whether reasons convince"


def test_the_points_are_those_of_the_course():
    criteria = checklist.rubric("course").criteria
    assert [criterion.points for criterion in criteria] == [15, 15, 25, 25, 20, None]


@pytest.mark.parametrize(
    ("changes", "key"),
    [
        ({"datasets": {"digits": {}}}, "datasets.digits.why"),
        ({"models": {"cnn": MADE_UP_STUDY["models"]["cnn"]}, "comparisons": {}, "claims": []}, "models: family dense"),
        ({"comparisons": {}}, "comparisons: variant and reference"),
        ({"comparisons": {}, "experiments": {}}, "experiments or comparisons"),
        ({"experiments": {}}, "experiments"),
        ({"seeds": 2}, "seeds: 3"),
        ({"question": ""}, "question"),
        ({"claims": []}, "claims"),
        ({"probes": ["translation"]}, "probes: [pixel_permutation]"),
        ({"probes": ["pixel_permutation"]}, "probes: [translation]"),
    ],
)
def test_what_a_config_lacks_is_named_by_the_key_that_adds_it(changes, key):
    assert any(text.startswith(f"add {key}") for text in missing_in(**changes).values()), missing_in(**changes)


def test_what_is_about_both_models_is_missing_without_either():
    models = MADE_UP_STUDY["models"]
    for name, key in (("dense", "models: family conv"), ("cnn", "models: family dense")):
        texts = missing_in(models={name: models[name]}, experiments={}, comparisons={}, claims=[])
        assert texts["Learning curves of both"] == f"add {key}"


def test_every_choice_without_a_reason_is_missing_unless_it_has_no_effect():
    models = copy.deepcopy(MADE_UP_STUDY["models"])
    models["dense"]["why"] = {"units": "a", "activation": "b", "dropout": "c"}
    texts = missing_in(models={"dense": models["dense"]}, experiments={}, comparisons={})
    assert texts["A reason for every choice of every model"] == "add models.dense.why.kernel_initializer"
    models["cnn"]["norm"] = "none"
    assert "norm_groups" not in missing_in(models=models)["A reason for every choice of every model"]


def test_a_long_list_of_keys_ends_in_their_number():
    text = missing_in()["A reason for every choice of every model"]
    assert text.count(";") == checklist.MAX_LACKING - 1
    assert re.search(r"; \d+ more$", text)


def test_a_study_without_a_rubric_has_no_checklist():
    study = load_study(MADE_UP_STUDY)
    assert checklist.checklist(study) is None
    assert checklist.modules(study) == ()


def test_an_unknown_rubric_is_refused_with_those_that_there_are():
    with pytest.raises(UserError, match=r"report\.rubric.*course"):
        load_study({**MADE_UP_STUDY, "report": {"rubric": "curse"}})


def test_a_rubric_reruns_nothing_but_the_report():
    assert load_study(GRADED).settings == load_study(MADE_UP_STUDY).settings


@pytest.mark.parametrize("name", registry.names(RUBRICS))
def test_every_rubric_names_sections_of_the_report_and_is_translated(name):
    sections = re.search(r"set sections = \{(.*?)\} %\}", (ROOT / "report/text/en.j2").read_text(), re.DOTALL)[1]
    rubric = checklist.rubric(name)
    assert isinstance(rubric, Rubric)
    requirements = [item for criterion in rubric.criteria for item in criterion.requirements]
    assert {item.section for item in requirements} <= set(re.findall(r'"(\w+)":', sections))
    i18n.set_language("es")
    for text in (rubric.title, *(entry.title for entry in rubric.criteria), *(item.text for item in requirements)):
        assert i18n.gettext(text) != text


# ---------------------------------------------------------------------------------------------------------------------
# Where it is shown


def test_make_plan_prints_the_checklist_before_anything_runs(tmp_path, capsys):
    config = tmp_path / "study.yaml"
    config.write_text((ROOT / "studies/demo.yaml").read_text() + "\nreport: {rubric: course}\n")
    plan.main([str(config), "--results", str(tmp_path)])
    printed = capsys.readouterr().out
    assert "Exploratory data analysis (15 points)" in printed
    assert "missing: Why these data: add datasets.digits.why" in printed
    assert "cannot be checked by a program: Whether the reasons convince" in printed
    assert "Points are the grader's." in printed
    plan.main([str(config), "--results", str(tmp_path), "--brief"])
    assert "Exploratory" not in capsys.readouterr().out


@pytest.fixture(scope="module")
def graded(tmp_path_factory) -> tuple[str, str]:
    """Both reports of a study in which one seed of the CNN diverged, with the rubric."""
    folder = tmp_path_factory.mktemp("graded")
    runs = {**CNN_WINS, "cnn": [*CNN_WINS["cnn"][:2], None]}
    return write_reports(folder, write_study_with(folder, GRADED, runs))


def test_both_reports_show_the_checklist_with_links_to_their_sections(graded):
    page, text = graded
    assert '<h2 id="rubric-title">Rubric</h2>' in page and "\n## Rubric\n" in text
    assert '<a href="#figure-data-digits-class_distribution">Images per class</a>' in page
    assert "**there** Images per class (Data)" in text
    ids, links = set(re.findall(r'\bid="([^"]+)"', page)), set(re.findall(r'href="#([^"]+)"', page))
    assert links <= ids


def test_the_report_misses_what_its_runs_did_not_give(graded):
    text = graded[1]
    assert "cnn on digits has 2 finished runs" in text.replace("\\", "")
    assert "not in this report: figure features/\\*maps\\* of digits" in text, "made-up results have no feature maps"


def test_a_report_without_a_rubric_does_not_speak_of_one(tmp_path):
    page, text = write_reports(tmp_path, write_study_with(tmp_path, MADE_UP_STUDY, CNN_WINS))
    assert "Rubric" not in page + text


def test_claims_that_were_added_when_runs_were_known_are_no_expectations(tmp_path):
    claim = {"id": "cnn_wins", "text": "It wins.", "rule": "test_accuracy(cnn) > test_accuracy(dense)"}
    study = write_study_with(tmp_path, {**GRADED, "claims": [claim]}, CNN_WINS)
    expected = "**there** Expectations written down before the runs"
    assert expected in write_reports(tmp_path, study)[1]
    claims = layout.compared(tmp_path) / "claims.csv"
    table = read_table(claims)
    table["registration"], table["n_runs_known"] = "added", 9
    claims.write_text(table.to_csv(index=False))
    text = write_reports(tmp_path, study)[1]
    assert expected not in text and "claim cnn\\_wins: added after 9 runs were known" in text


def test_a_comparison_with_the_baseline_without_a_verdict_answers_nothing():
    study = load_study(GRADED)
    (question,) = [q for q in study.plan.questions.values() if q.reference == "dense"]
    finished = Finished(verdicts={("digits", question.name, question.variants[0]): "diverged"})
    texts = missing(checklist.checklist(study, finished))
    asked = next(text for requirement, text in texts.items() if requirement.startswith("Did convolution"))
    assert asked == f"not in this report: a verdict about {question.variants[0]} in {question.name} on digits"


def test_figures_are_asked_for_on_every_dataset():
    item = Requirement("x", "data", lambda study: (), ("data/*samples",))
    study = load_study(MADE_UP_STUDY)
    both = Finished({"a": {"data/a-samples": "x"}, "b": {"data/b-curves": "y"}})
    assert checklist._missing_figures(item, both) == ["figure data/*samples of b"]
    checked = checklist._checked(item, study, Finished({"a": {"data/a-samples": "x"}}))
    assert (checked.state, checked.anchor) == ("there", "x")


def test_a_rubric_is_a_file(tmp_path, monkeypatch):
    """A module beside ``course`` is a rubric; nothing names it."""
    (tmp_path / "thesis.py").write_text(
        "from convlab.study.checklist import Criterion, Requirement, Rubric\n"
        "RUBRIC = Rubric('Thesis', (Criterion('Data', 5, (Requirement('A reason', 'data'),)),))\n"
    )
    package = __import__(RUBRICS, fromlist=["__path__"])
    monkeypatch.setattr(package, "__path__", [*package.__path__, str(tmp_path)])
    registry.names.cache_clear()
    assert checklist.rubric("thesis").criteria[0].points == 5
    registry.names.cache_clear()
    assert Path(package.__path__[0]).name == "rubrics"
