"""The pages of docs/ are current and complete, and what they tell people to type is there."""

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
from convlab.study.sagemaker import SageMaker
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


# ---------------------------------------------------------------------------------------------------------------------
# What pages tell people to type

PAGES = [
    *(ROOT / name for name in ("README.md", "CONTRIBUTING.md", "CHANGELOG.md", "config.yaml", "config/README.md")),
    *sorted({*DOCS.rglob("*.md")} - {DOCS / "example/README.md"}),  # which is a report
    *sorted([*ROOT.glob("profiles/*/*"), *ROOT.glob("studies/*.yaml"), *ROOT.glob("containers/*Dockerfile")]),
]
MAKEFILE = (ROOT / "Makefile").read_text(encoding="utf-8")


def typed(program: str, page: Path) -> list[list[str]]:
    """The words after ``program`` in each command of a page: between backquotes, or a line of its own."""
    text = page.read_text(encoding="utf-8")
    fenced = re.findall(r"```\w*\n(.*?)```", text, re.DOTALL) if page.suffix == ".md" else [text]
    code = [*re.findall(r"`([^`]+)`", re.sub(r"```.*?```", "", text, flags=re.DOTALL)), *"\n".join(fenced).splitlines()]
    commands = [re.fullmatch(rf"(?:#? *)(?:\S+/)?{program} +([^#|;]*).*", line, re.DOTALL) for line in code]
    return [re.sub(r'"[^"]*"', "…", command[1]).split() for command in commands if command]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_commands_of_make_have_targets_and_variables_that_there_are(page):
    targets = {*re.findall(r"^([a-z-]+):(?!=)", MAKEFILE, re.MULTILINE)}
    for words in typed("make", page):
        for word in words:
            variable, given, _ = word.partition("=")
            if given:
                assert re.search(rf"[(,](value )?{variable}[),]", MAKEFILE), (page, words)
            else:
                assert word in targets or not word.isascii() or re.fullmatch(r"[A-Z<.].*", word), (page, words)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_programs_of_this_repository_and_their_options_are_there(page):
    text = page.read_text(encoding="utf-8")
    for program, rest in re.findall(r"(?:^|[` ])((?:scripts|benchmarks|tests)/\w+\.(?:py|sh))([^`\n]*)", text):
        if "recipes" in page.parts and not (ROOT / program).exists():
            assert f"`{program}`" in text, f"{page}: {program}"  # which the recipe has one write
            continue
        source = (ROOT / program).read_text(encoding="utf-8")
        for option in re.findall(r"(?<!\S)--[a-z-]+", rest):
            assert option in source, f"{page}: {program} {option}"


def test_environment_variables_that_pages_name_are_read_somewhere():
    named = {name for page in PAGES for name in re.findall(r"\bCONVLAB_[A-Z]+\b", page.read_text(encoding="utf-8"))}
    files = [*(ROOT / "scripts").rglob("*.py"), *(ROOT / "workflow").rglob("*.smk"), *(ROOT / "envs").iterdir()]
    read = "".join(path.read_text(encoding="utf-8") for path in files)
    assert named and {name for name in named if name not in read} == set()


def test_every_page_has_a_row_in_the_readme():
    rows = re.findall(r"^\| \[(docs/\w+\.md)\]", (ROOT / "README.md").read_text(encoding="utf-8"), re.MULTILINE)
    assert sorted(rows) == sorted(f"docs/{page.name}" for page in DOCS.glob("*.md"))


def test_the_study_of_the_readme_is_valid():
    (block,) = re.findall(r"```yaml\n(.*?)```", (ROOT / "README.md").read_text(encoding="utf-8"), re.DOTALL)
    assert len(load_study(yaml.safe_load(block)).plan.variants) == 6, "two models, two more levels, two of a probe"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_every_part_of_a_config_on_a_page_is_yaml(page):
    for block in re.findall(r"```yaml\n(.*?)```", page.read_text(encoding="utf-8"), re.DOTALL):
        assert isinstance(yaml.safe_load(block), dict), block


def test_deployments_on_the_pages_are_valid():
    account = "123456789012"
    blocks = {}
    for page in ("config.md", "serving.md"):
        for block in re.findall(r"```yaml\n(.*?)```", (DOCS / page).read_text(encoding="utf-8"), re.DOTALL):
            for name, section in yaml.safe_load(re.sub("<(12 digits|account)>", account, block)).items():
                blocks.setdefault(name, []).append(section)
    assert len(blocks["deploy"]) == 3 and len(blocks["sagemaker"]) == 1
    study = {"study": "documented", "datasets": {"digits": {}}, "models": {"dense": {"family": "dense", "units": [4]}}}
    for section in blocks["deploy"]:
        load_study(study | {"deploy": section})
    (governed,) = blocks["sagemaker"]
    governed["kms_key"] = governed["kms_key"].replace("<id>", "1234abcd-12ab-34cd-56ef-1234567890ab")
    role = f"arn:aws:iam::{account}:role/x"
    assert SageMaker(role_arn=role, scheduler_role_arn=role, bucket="b-1", region="eu-west-1", **governed).vpc
