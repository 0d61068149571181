"""`snakemake --report report.zip` carries the study: its page, and every figure with caption, category and label."""

import json
import re
import zipfile

import pytest

from builders.project import TINY, Project

pytestmark = pytest.mark.slow

HOSTILE = "</script><script>alert(1)</script> {x} *a* `b`_ | <b>"


def results_of(archive: zipfile.ZipFile) -> dict:
    """What the page of Snakemake's report knows of its files."""
    page = archive.read("report/report.html").decode()
    return json.loads(re.search(r"^ *var results = (\{.*\});$", page, re.MULTILINE)[1])


def categories_of(archive: zipfile.ZipFile) -> dict:
    page = archive.read("report/report.html").decode()
    return json.loads(re.search(r"^ *var categories = (.*);$", page, re.MULTILINE)[1])


@pytest.fixture(scope="module")
def reported(finished_study, tmp_path_factory) -> Project:
    """A copy of the finished study with Snakemake's report of it. Never change it."""
    project = finished_study.copy(tmp_path_factory.mktemp("reported") / "project")
    result = project.snakemake("--report", "report.zip")
    assert result.returncode == 0, result.stdout + result.stderr
    assert "Missing metadata" not in result.stdout + result.stderr
    return project


@pytest.fixture(scope="module")
def archive(reported):
    with zipfile.ZipFile(reported.folder / "report.zip") as archive:
        yield archive


def test_it_carries_every_figure_of_compare_with_caption_and_label(archive, finished_study):
    folder = finished_study.folder / "results/tiny/compare"
    summary = json.loads((folder / "summary.json").read_text())
    results = results_of(archive)
    for entry in summary["figures"]:
        shown = results[f"results/tiny/compare/figures/{entry['file']}.svg"]
        assert shown["labels"] == {"Figure": entry["title"]}
        caption_shown = re.sub(r"<[^>]+>", "", shown["caption"])
        assert entry["title"] in caption_shown and entry["caption"].split(";")[0][:20] in caption_shown
        content = archive.read(f"report/{shown['data_uri']}")
        assert content == (folder / "figures" / f"{entry['file']}.svg").read_bytes()


def test_it_carries_the_data_figures_and_the_page(archive, finished_study):
    results = results_of(archive)
    assert results["results/tiny/explore/digits/samples.svg"]["labels"] == {"Figure": "Images of every class"}
    assert "dataset digits" in results["results/tiny/explore/digits/samples.svg"]["caption"]
    page = results["results/tiny/report/index.html"]
    assert (
        archive.read(f"report/{page['data_uri']}")
        == (finished_study.folder / "results/tiny/report/index.html").read_bytes()
    )


def test_categories_say_what_the_figures_are_about(archive):
    names = set(json.dumps(categories_of(archive)).split('"'))
    assert {
        "Accuracy",
        "Questions",
        "Curves and costs",
        "Errors",
        "What was learned",
        "Calibration",
        "Data",
        "Report",
    } <= names


def test_the_workflow_is_described_with_the_question(archive):
    page = archive.read("report/report.html").decode()
    description = json.loads(re.search(r"^ *var workflow_desc = (.*);$", page, re.MULTILINE)[1])
    assert "Is the machinery exact?" in description and "system-message" not in description


def test_it_makes_nothing_run_again(reported):
    assert reported.planned() == set()


def test_no_text_of_a_config_acts_in_it(finished, tmp_path):
    config = json.loads(json.dumps(TINY)) | {"question": HOSTILE}
    config["models"]["cnn"]["label"] = HOSTILE
    finished.configure(config)
    result = finished.snakemake()
    assert result.returncode == 0, result.stdout + result.stderr
    result = finished.snakemake("--report", "report.zip")
    assert result.returncode == 0, result.stdout + result.stderr
    with zipfile.ZipFile(finished.folder / "report.zip") as archive:
        page = archive.read("report/report.html").decode()
        captions = [entry["caption"] for entry in results_of(archive).values()]
    assert "<script>alert" not in page and "</script><script>alert" not in page
    assert not [caption for caption in captions if "system-message" in caption or "<b>" in caption]
    assert any("&lt;b&gt;" in caption for caption in captions)
