"""The generated pages of docs/ are current and complete: every table with its columns, every key of the config."""

import re
from pathlib import Path

import pytest
import yaml

import deploy
import docs
from builders.project import ROOT
from convlab.common import registry
from convlab.common.table_files import read_table
from convlab.datasets.registry import kinds
from convlab.datasets.specs import as_dataset
from convlab.models.registry import families
from convlab.probes.registry import PACKAGE, has, names, part
from convlab.results import columns
from convlab.study.load import load_study, schema
from convlab.training.history import HISTORY_COLUMNS

DOCS = ROOT / "docs"
MEASURES = {name: registry.load(PACKAGE, f"{name}.measure") for name in names() if has(name, "measure")}


@pytest.mark.parametrize("name", docs.pages())
def test_a_generated_page_is_current(name):
    assert (DOCS / name).read_text(encoding="utf-8") == docs.pages()[name], "run: make docs"


def test_every_section_and_key_of_the_config_is_in_its_page():
    page = (DOCS / "config.md").read_text(encoding="utf-8")
    generated = "".join(match[0] for match in docs.SECTION.finditer(page))
    last_parts = {key.split(".")[-1] for key in re.findall(r"^\| `([\w.]+)` \|", generated, re.MULTILINE)}
    last_parts |= set(re.findall(r"^`(kind|family):", generated, re.MULTILINE))
    defined = [schema(), *schema()["$defs"].values()]
    assert {key for spec in defined for key in spec.get("properties", {})} == last_parts


def test_every_key_of_the_config_has_a_type_and_a_meaning():
    page = docs.config_page((DOCS / "config.md").read_text(encoding="utf-8"))
    rows = re.findall(r"^\| `[\w.]+` \| (.*) \| .* \| (.*) \|$", page, re.MULTILINE)
    assert len(rows) > 80 and all(kind.strip() and meaning.strip() for kind, meaning in rows)


def test_what_stands_around_the_generated_sections_is_left_as_it_is():
    text = "a\n<!-- keys: statistics -->\nold\n<!-- end -->\nb\n"
    before, generated, after = re.split(r"<!-- .*? -->\n", docs.config_page(text))
    assert (before, after) == ("a\n", "b\n")
    assert "`rope`" in generated and "old" not in generated


@pytest.mark.parametrize(
    ("described", "written"),
    [
        (columns.HISTORY, HISTORY_COLUMNS),
        (columns.ANSWERS, deploy.ANSWER_COLUMNS),
        *((part(name, "table").MEASURED, MEASURES[name].COLUMNS) for name in MEASURES),
    ],
)
def test_columns_of_stages_that_name_their_own_are_described_in_their_order(described, written):
    assert list(described) == list(written)


def documented(path: Path) -> list[str] | None:
    """The columns that the pages name for a file below results/<study>/; of several files that fit, the most exact."""
    fitting = [table for table in (*docs.tables(), *columns.FIGURES) if pattern(table.file).fullmatch(path.as_posix())]
    return list(min(fitting, key=lambda table: table.file.count("<")).columns) if fitting else None


def pattern(file: str) -> re.Pattern:
    return re.compile(
        "".join(r"[^/]+" if part.startswith("<") else re.escape(part) for part in re.split(r"(<\w+>)", file))
    )


@pytest.mark.slow
def test_every_csv_file_of_a_finished_study_has_the_columns_that_are_documented(finished_study):
    results = finished_study.folder / "results/tiny"
    files = [path for path in results.rglob("*.csv") if "history" not in path.parent.parts[-2:]]
    assert len(files) > 25
    for path in files:
        names, expected = list(read_table(path).columns), documented(path.relative_to(results))
        assert expected is not None, path
        if expected[-1].startswith("<"):
            assert names[: len(expected) - 1] == expected[:-1], path
        else:
            assert names == expected, path


def test_links_between_pages_lead_to_files_and_headings():
    for page in [ROOT / "README.md", ROOT / "CONTRIBUTING.md", ROOT / "config/README.md", *DOCS.rglob("*.md")]:
        for target in re.findall(r"\]\((?!https?:)([^)]+)\)", page.read_text(encoding="utf-8")):
            file, _, heading = target.partition("#")
            linked = page.parent / file if file else page
            assert linked.exists(), f"{page}: {target}"
            if heading:
                headings = re.findall(r"^#+ (.*)$", linked.read_text(encoding="utf-8"), re.MULTILINE)
                slugs = {re.sub(r"[^\w -]", "", text).strip().lower().replace(" ", "-") for text in headings}
                assert heading in slugs, f"{page}: {target}"


@pytest.mark.parametrize(
    "block", re.findall(r"```yaml\n(.*?)```", (DOCS / "data.md").read_text(encoding="utf-8"), re.DOTALL)
)
def test_datasets_on_the_page_about_data_are_valid(block):
    for name, spec in yaml.safe_load(block)["datasets"].items():
        assert as_dataset({"kind": name, **spec}).kind  # raises ValidationError; files need not be there


def test_every_kind_has_a_row_on_the_page_about_data():
    table = (DOCS / "data.md").read_text(encoding="utf-8").split("## Kinds")[1].split("##")[0]
    rows = {kind for row in re.findall(r"^\| (`.*?`) \|", table, re.MULTILINE) for kind in row.strip("`").split("`, `")}
    assert rows == set(kinds())


@pytest.mark.parametrize(
    "block", re.findall(r"```yaml\n(.*?)```", (DOCS / "models.md").read_text(encoding="utf-8"), re.DOTALL)
)
def test_models_on_the_page_about_models_are_valid(block, monkeypatch):
    monkeypatch.chdir(ROOT)  # files of one's own code are relative to the folder in which Snakemake runs
    study = load_study({"study": "documented", "datasets": {"fashion_mnist": {}}, **yaml.safe_load(block)})
    assert study.plan.variants


def test_every_family_has_a_row_and_a_section_with_a_config_on_the_page_about_models():
    page = (DOCS / "models.md").read_text(encoding="utf-8")
    assert re.findall(r"^\| \[`(\w+)`\]", page, re.MULTILINE) == list(families())
    assert {*re.findall(r"family: (\w+)", page)} == {*families()}


def paragraphs(page: str) -> list[str]:
    """What a page promises: its paragraphs, tables and points of lists below the first heading of the second level."""
    blocks = re.split(r"\n\n|\n(?=- )", page[page.index("\n## ") :])
    return [block.strip() for block in blocks if block.strip() and not block.strip().startswith("#")]


def test_every_paragraph_about_verdicts_names_tests_that_exist():
    *promises, last = paragraphs((DOCS / "verdicts.md").read_text(encoding="utf-8"))
    assert last.startswith("How often all this errs") and len(promises) > 12
    for text in promises:
        names = re.findall(r"(tests/\w+\.py)::(\w+)", text)
        assert names, text
        for file, name in names:
            assert f"def {name}(" in (ROOT / file).read_text(encoding="utf-8"), (file, name)
