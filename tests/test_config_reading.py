"""A config file is read as people mean it, as Snakemake reads it, or refused in one sentence with file and line."""

import subprocess
from pathlib import Path

import pytest
import yaml
from hypothesis import example, given
from hypothesis import strategies as st
from snakemake.common.configfile import load_configfile
from snakemake.io import PeriodicityDetector

from builders.project import ROOT, TINY
from convlab.common import cli
from convlab.errors import UserError
from convlab.study.load import load_study, read_yaml, schema, to_yaml


def written(folder: Path, content: str | bytes) -> Path:
    path = folder / "config.yaml"
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


@pytest.mark.parametrize(
    ("line", "sentence"),
    [
        ("training: {batch_size: 032}", "line 1: training.batch_size is 032, which YAML reads as 26 (an octal number); write 32"),
        ("training:\n  epochs: 010", "line 2: training.epochs is 010, which YAML reads as 8 (an octal number); write 10"),
        ("seeds: [1, 0144]", "line 1: seeds[1] is 0144, which YAML reads as 100 (an octal number); write 144"),
        ("seeds: -07", "seeds is -07, which YAML reads as -7 (an octal number); write -7"),
        ("sizes: [1,080, 2]", "sizes[1] is 080, which YAML reads as text; write 80, or '080' for a name"),
        ("seeds: 1:30", "seeds is 1:30, which YAML reads as 90 (in sixties); write 90, or '1:30' for a name"),
        ("x: 190:20:30.15", "in sixties"),
        ("epochs: 0b11", "which YAML reads as 3; write 3"),
        ("label: 2024-05-01", "label is 2024-05-01, which YAML reads as a date; put it in quotation marks: '2024-05-01'"),
        ("label: =", "label is =, which YAML reads as a sign of its own; put it in quotation marks: '='"),
        ("comparisons: {a: {variant: 007, reference: b}}", "comparisons.a.variant is 007, which YAML reads as 7 (an octal number)"),
        ("models:\n  on: {family: dense}", "line 2: the name on in models is true or false to YAML; put it in quotation marks: 'on'"),
        ("models: {No: {}}", "the name No in models is true or false"),
        ("models: {null: {}}", "the name null in models is nothing to YAML"),
        ("models: {~: {}}", "the name ~ in models is nothing to YAML"),
        ("models: {2024-01-01: {}}", "the name 2024-01-01 in models is a date to YAML"),
        ("models: {05: {}}", "the name 05 in models is a number to YAML"),
        ("models: {0x1f: {}}", "the name 0x1f in models is a number to YAML"),
        ("models: {1_000: {}}", "the name 1_000 in models is a number to YAML"),
        ("models: {1.0: {}}", "the name 1.0 in models is a number to YAML"),
        ("models: {[1]: 2}", "a name in models should be text, not a list or mapping"),
        ("training: {learning_rate: 0,001}", "line 1: 0,001 in training ends at its comma, between braces; write 0.001"),
        ("training: {batch_size: 1,024}", "1,024 in training ends at its comma, between braces; write 1024 or 1.024"),
        ("sizes: [1,000, 3,000]", "sizes[1] is 000, which YAML reads as 0"),
        ("a: 1\nb: 2\na: 3", "line 3 names 'a' a second time; rename or remove one"),
        ("models: {5: {}, '5': {}}", "names '5' a second time"),
        ("a: &a {x: 1}\nb:\n  <<: *a\n  <<: *a", "line 4 names '<<' a second time; write one line, <<: [*first, *second]"),
        ("a: &a [*a]", "holds itself by an anchor"),
        ("a: &a {b: *a}", "holds itself by an anchor"),
        ("a: *b", "line 1 is not valid YAML: found undefined alias 'b'; an anchor (&name) has to stand before it"),
        ("a: !include b", "line 1 is not valid YAML: it has the tag '!include'; remove it"),
        ("a: !!python/object:os.system b", "remove it"),
        ("a:\n\tb: 1", "line 2 is not valid YAML: it is indented with a tab; use spaces"),
        ("question: what: this", "line 1 is not valid YAML: mapping values are not allowed here; a text with a colon needs quotation marks"),
        ("a: 1\n---\nb: 2", "line 2 is not valid YAML: a line --- begins a second config; a file holds one"),
        ("a: [1, 2", "line 1 is not valid YAML"),
        ("a: 'b", "is not valid YAML"),
        ("a: b\x07", "line 1 is not valid YAML: it has a character that cannot be seen (0x0007)"),
        ("<<: 3", "is not valid YAML"),
        ("__use_yte__: true\na: ?1+1", "is a template (__use_yte__)"),
        ("", "holds no settings"), ("- a", "holds no settings"), ("5", "holds no settings"), ("# only this", "holds no settings"),
        ("[" * 3000, "is nested too deeply"),
        ('{"a": 1, "a": 2}', "which is JSON, names 'a' a second time"),
        (b"\xff\xfe" + "a: 1".encode("utf-16-le"), "is in UTF-16; save it as UTF-8"),
        ("a: 1".encode("utf-16-be"), "is no text in UTF-8 (it has zero bytes); save it as UTF-8"),
        ("a: 1\nb: caf\xe9".encode("latin-1"), "line 2 has a character that is not UTF-8; save the file as UTF-8"),
    ],
)  # fmt: skip
def test_what_yaml_reads_otherwise_than_people_is_refused_with_file_and_line(tmp_path, line, sentence):
    path = written(tmp_path, line)
    with pytest.raises(UserError) as caught:
        read_yaml(path)
    told = str(caught.value)
    assert told.startswith(str(path)) and sentence in told and "\n" not in told


SAFE = [
    "a: 1", "a: -3", "a: +3", "a: 0", "a: 1_000", "a: 0x1F", "a: 1e-3", "a: 1.5e+3", "a: .5", "a: 5.", "a: 1E5", "a: 0o10",
    "a: '032'", 'a: "010"', "a: 'on'", "a: yes", "a: off", "a: ~", "a:", "a: null", "a: none", "a: NA", "a: .inf", "5: x",
    "'on': x", "'05': x", "a: '='", "a: x=y", "a: '2024-01-01'", "a: 12-12", "a: v1.2", "a: 1.2.3", "a: 0.10", "a: 00.5",
    "{a: [1, 'b', {c: d}]}", '{"a": 1e-3, "b": [true, null]}', '{\t"a": 1}', "a: |\n  x: 010\n  y", "a: >-\n  b\n  c",
    "a: &x [1, 2]\nb: *x", "a: &x {k: 1, l: 2}\nb: {<<: *x, l: 3}", "a: &x {k: 1}\nb: &y {l: 2}\nc: {<<: [*x, *y], m: 3}",
    "a: {d: &y {<<: &x {k: 1}, k: 2}}\nc: {<<: *y}", "# é\na: 'café ☕'", "%YAML 1.1\n---\na: 1\n...", "a: !!str 010",
    "a: 08", "08: x", "a: 'x: y'\r\nb: 2\r\n", "\ufeffa: 1",
]  # fmt: skip


@pytest.mark.parametrize("text", SAFE)
def test_what_is_accepted_is_what_snakemake_reads(tmp_path, text):
    path = written(tmp_path, text)
    assert read_yaml(path) == load_configfile(path)


@given(
    st.dictionaries(
        st.text(max_size=5),
        st.one_of(
            st.text(max_size=8), st.from_regex(r"[-+]?[0-9._:xeoE]{1,6}", fullmatch=True), st.integers(), st.booleans()
        ),
        min_size=1,
        max_size=4,
    )
)
@example({"\x85": "a\x85b", "08": "010"})
def test_any_text_that_is_written_as_yaml_comes_back(tmp_path_factory, values):
    path = tmp_path_factory.getbasetemp() / "written.yaml"
    path.write_text(to_yaml(values), encoding="utf-8", newline="\n")
    assert read_yaml(path) == values


@given(st.from_regex(r"[-+]?[0-9_:.xobeE]{1,7}", fullmatch=True))
def test_a_number_in_a_file_is_what_it_looks_like_or_refused(tmp_path_factory, number):
    path = tmp_path_factory.getbasetemp() / "number.yaml"
    path.write_text(f"epochs: {number}\n")
    try:
        value = read_yaml(path)["epochs"]
    except UserError as error:
        assert "line 1" in str(error)
        return
    digits = number.lstrip("+-").replace("_", "")
    if isinstance(value, int) and not digits.startswith("0x"):
        assert value == int(digits) * (-1 if number.startswith("-") else 1)


def test_files_that_cannot_be_read_are_told_in_one_sentence(tmp_path):
    with pytest.raises(UserError, match=f"{tmp_path} is a folder; name the config file in it"):
        read_yaml(tmp_path)
    with pytest.raises(UserError, match=r"nowhere.yaml does not exist"):
        read_yaml(tmp_path / "nowhere.yaml")
    with pytest.raises(UserError, match="cannot be read"):
        read_yaml(tmp_path / ("x" * 300))
    link = tmp_path / "link.yaml"
    link.symlink_to(link)
    with pytest.raises(UserError, match="cannot be read"):
        read_yaml(link)


def test_anchors_stand_under_keys_that_begin_with_x(tmp_path):
    text = yaml.safe_dump({key: value for key, value in TINY.items() if key != "models"}, sort_keys=False)
    text += """
x-small: &small {family: conv, filters: [4], dense_units: []}
x-note: anything, [even, this]
models:
  cnn: {<<: *small, kernel_size: 3}
  dense: {family: dense, units: [8]}
"""
    study = load_study(read_yaml(written(tmp_path, text)))
    assert study.settings == load_study(TINY).settings
    with pytest.raises(UserError, match=r"unknown key .defaults. in the config.*goes under a key that begins with x-"):
        load_study({**TINY, "defaults": {"a": 1}})
    assert schema()["patternProperties"] == {"^x-": True}


# ---------------------------------------------------------------------------------------------------------------------
# Values


@pytest.mark.parametrize(
    ("section", "values", "expected"),
    [
        ("train_size", [None, "all", "none", "off", False, "ALL"], None),
        ("train_size", [50, "50", 50.0, "5e1", "0x32", "0o62", "+50", " 50 ", "5_0", "50.0"], 50),
        ("early_stopping", [None, "off", "none", False, "null", "no"], None),
        ("augmentation", [None, "none", "off", False], None),
        ("steps", [None, "none", "off"], None),
        ("pixel_permutation", [None, "none", False], None),
        ("learning_rate", [0.001, "1e-3", "0.001", ".001", "1E-03"], 0.001),
        ("jit_compile", [True, "yes", "on", "true", 1], True),
    ],
)
def test_a_value_may_be_written_in_any_way(section, values, expected):
    studies = [load_study({**TINY, "training": {section: value}}) for value in values]
    assert {getattr(study.training, section) for study in studies} == {expected}
    assert all(study.settings == studies[0].settings for study in studies)


@pytest.mark.parametrize(
    ("seeds", "expected"),
    [("3", (1, 2, 3)), ("1e1", tuple(range(1, 11))), (1e1, tuple(range(1, 11))), (["0o10"], (8,)), (["3", 1.0, "2e0"], (1, 2, 3)),
     (None, (1, 2, 3)), ([20251125], (20251125,)), ([2**63 - 1, 0], (0, 2**63 - 1)), ("1000", tuple(range(1, 1001))),
     (["9007199254740993"], (9007199254740993,))],
)  # fmt: skip
def test_seeds_may_be_written_in_any_way(seeds, expected):
    assert load_study({**TINY, "seeds": seeds}).seeds == expected


@pytest.mark.parametrize(
    ("seeds", "message"),
    [
        (20251125, "seeds asks for 20,251,125 seeds; write [20251125] for the one seed 20251125, or a list for more than 1,000"),
        (202511251200, "seeds asks for 202,511,251,200 seeds"), ("1001", "seeds asks for 1,001 seeds"),
        ([2**63], "seeds[0] should be less than or equal to 9223372036854775807"), ([-1], "seeds[0] should be greater than or equal to 0"),
        ([1, "1"], "seeds names seed 1 twice"), ([8, "0o10", 2], "seeds names seed 8 twice"), (-3, "asks for -3 seeds"), ("1-5", "seeds should be a list"),
        (True, "seeds should be a number, not true or false"), ([1.5], "seeds[0] should be a whole number"), (1e300, "asks for"), (float("inf"), "seeds should be a list"),
    ],
)  # fmt: skip
def test_seeds_that_cannot_be_are_told(seeds, message):
    with pytest.raises(UserError) as caught:
        load_study({**TINY, "seeds": seeds})
    assert message in str(caught.value)


@pytest.mark.parametrize(
    "section",
    [
        "training",
        "experiments",
        "comparisons",
        "claims",
        "probes",
        "statistics",
        "report",
        "deploy",
        "question",
        "description",
    ],
)
def test_an_empty_section_is_as_if_it_were_not_there(section):
    without = {key: value for key, value in TINY.items() if key != section}
    assert load_study({**without, section: None}).settings == load_study(without).settings


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"training": {"early_stopping": True}}, "training.early_stopping should be a mapping (name: value) (it is True); write a mapping such as {patience: 3}, or none"),
        ({"training": {"early_stopping": 3}}, "such as {patience: 3}, or none"),
        ({"training": {"augmentation": "flip"}}, "such as {flip: horizontal, shift: 2}, or none"),
        ({"training": {"epochs": None}}, "training.epochs should be a whole number (it is None); remove the line for the default, 5"),
        ({"training": {"epochs": "all"}}, "remove the line for the default, 5"),
        ({"training": {"optimizer": "default"}}, "remove the line for the default, adam"),
        ({"training": {"jit_compile": "none"}}, "should be true or false (it is 'none'); remove the line for the default, false"),
        ({"training": {"learning_rate": "0,001"}}, "training.learning_rate should be written without a comma: 0.001"),
        ({"training": {"batch_size": "1,024"}}, "should be written without a comma: 1024 or 1.024"),
        ({"training": {"validation_fraction": "10 %"}}, "should be written without a percent sign: 0.1"),
        ({"training": {"epochs": 10**30}}, "training.epochs should be less than or equal to 2147483647"),
        ({"training": {"epochs": "9" * 5000}}, "training.epochs has too many digits"),
        ({"report": {"title": True}}, "report.title should be text (it is True); put it in quotation marks"),
        ({"comparisons": {"a": {"variant": True, "reference": "dense"}}}, "comparisons.a.variant should be text (it is True); put it in quotation marks"),
        ({"probes": "all"}, "probes should be a list of names"),
        ({"probes": [3]}, "probes should be a list of names"),
        ({"probes": [["translation"]]}, "probes should be a list of names"),
        ({"models": {5: TINY["models"]["cnn"], "5": TINY["models"]["dense"]}}, "models has two entries called 5"),
        ({"models": {"cnn": {"family": "conv", "filters": 4, "depth": 10**9}}}, "models.cnn.depth should be less than or equal to 1000"),
        ({"models": {"a" * 101: TINY["models"]["cnn"]}}, "has 101 characters; choose a name of at most 100"),
        ({"question": "\ud800"}, "question has half of a character"),
    ],
)  # fmt: skip
def test_what_stands_for_no_value_is_told_what_to_write(config, message):
    with pytest.raises(UserError) as caught:
        load_study({**TINY, "experiments": {}, "comparisons": {}, **config})
    assert message in str(caught.value) and len(str(caught.value)) < 400


# ---------------------------------------------------------------------------------------------------------------------
# Names

detector = PeriodicityDetector()


@given(
    st.integers(1, 45),
    st.lists(st.sampled_from([1, 3, 5, 11]), min_size=1, max_size=3),
    st.lists(st.integers(1, 5), max_size=3),
)
def test_no_list_of_layers_gives_a_name_that_snakemake_takes_for_endless(repeats, unit, before):
    layers = before + unit * repeats
    others = [layer + 2 for layer in layers]
    config = {
        "study": "names", "datasets": {"mnist": {}}, "models": {"cnn": {"family": "conv", "filters": [1] * len(layers), "pooling": "none"}},
        "experiments": {"e": {"base": "cnn", "factors": {"kernel_size": [layers, others], "filters": [layers, others]}}},
    }  # fmt: skip
    names = load_study(config).plan.variants
    assert not any(map(detector.is_periodic, names))
    assert max(map(len, names)) < 200


@given(
    st.from_regex(r"[a-zA-Z0-9][a-zA-Z0-9_-]{0,3}", fullmatch=True),
    st.integers(1, 30),
    st.from_regex(r"[a-z0-9_-]{0,3}", fullmatch=True),
)
def test_a_name_that_snakemake_takes_for_endless_is_refused(unit, repeats, end):
    name = unit * repeats + end
    config = {**TINY, "experiments": {}, "comparisons": {}, "models": {name: TINY["models"]["cnn"]}}
    try:
        load_study(config)
    except UserError as error:
        assert len(name) > 100 or detector.is_periodic(name), error
    else:
        assert not detector.is_periodic(name)


def test_a_long_level_reads_and_is_named_briefly():
    model = {"family": "conv", "filters": [4] * 21, "pooling": "none"}
    levels = [[3] * 21, [5] + [3] * 20]
    config = {**TINY, "comparisons": {}, "models": {"cnn": model}, "experiments": {"e": {"base": "cnn", "factor": "kernel_size", "levels": levels}}}  # fmt: skip
    plan = load_study(config).plan
    assert list(plan.variants) == ["cnn", "cnn-kernel_size-5x5-3x3-x20"]
    assert [level.label for level in plan.questions["e"].levels] == ["3×3 (×21)", "5×5/3×3 (×20)"]


def test_levels_that_differ_little_have_different_names():
    levels = [0.001, 0.0010000001, 0.1 + 0.2, 0.3]
    experiments = {"e": {"base": "cnn", "factor": "learning_rate", "levels": levels}}
    plan = load_study({**TINY, "comparisons": {}, "experiments": experiments}).plan
    assert len({level.label for level in plan.questions["e"].levels}) == 4


def test_a_large_number_is_not_named_like_a_small_one():
    experiments = {"e": {"base": "cnn", "factor": "learning_rate", "levels": [1e-6, 1e6, 2.5e-7, 2.5e7]}}
    plan = load_study({**TINY, "comparisons": {}, "experiments": experiments}).plan
    named = [level.variant.partition("learning_rate-")[2] for level in plan.questions["e"].levels]
    assert named == ["1e-06", "1e6", "2.5e-07", "2.5e7"]


def test_names_of_two_factors_do_not_depend_on_the_order_of_keys():
    factors = {"kernel_size": [3, 5], "norm": ["none", "batch"]}
    first, second = (
        load_study({**TINY, "comparisons": {}, "experiments": {"e": {"base": "cnn", "factors": dict(order)}}})
        for order in (factors.items(), reversed(factors.items()))
    )
    assert set(first.plan.variants) == set(second.plan.variants)
    assert first.settings == second.settings


# ---------------------------------------------------------------------------------------------------------------------
# Command lines


@pytest.mark.parametrize("script", ["plan", "quick", "diff", "show_export", "deploy_plan", "resource_usage"])
@pytest.mark.parametrize("kind", ["folder", "latin", "missing", "octal"])
def test_every_script_tells_a_bad_config_in_one_sentence(tmp_path, script, kind, capsys, monkeypatch):
    module = __import__(script)
    path = tmp_path / "a.yaml"
    {"folder": path.mkdir, "latin": lambda: path.write_bytes(b"a: \xe9"), "missing": lambda: None,
     "octal": lambda: path.write_text("seeds: 010")}[kind]()  # fmt: skip
    arguments = [str(path), *(["--output", str(tmp_path / "o.yaml")] if script == "quick" else [])]
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit) as ended:
        cli.run(lambda: module.main(arguments))
    assert str(ended.value).startswith(f"error: {path}") and "\n" not in str(ended.value)


@pytest.mark.slow
def test_snakemake_tells_the_line_of_the_default_config_that_yaml_cannot_read(project):
    (project.folder / "config.yaml").write_text("study: a\nmodels: [\n")
    result = project.snakemake("-n")
    told = result.stdout + result.stderr
    assert result.returncode != 0 and "Traceback" not in told
    assert "config.yaml, line 3 is not valid YAML" in told
    (project.folder / "config.yaml").write_text("study: tiny\ntraining: {epochs: 010}\n")
    result = project.snakemake("-n")
    assert "config.yaml, line 2: training.epochs is 010" in result.stdout + result.stderr


@pytest.mark.slow
def test_snakemake_reads_numbers_on_the_command_line_as_they_look(project):
    project.configure(TINY)
    result = project.snakemake(
        "-n", "--config", "seeds=[010]", "training={epochs: 010, early_stopping: null, train_size: all}"
    )
    assert result.returncode == 0, result.stdout + result.stderr
    assert "seed 10" in result.stdout + result.stderr


@pytest.mark.parametrize(
    ("text", "on_aws"),
    [
        ("deploy: {target: sagemaker}", True), ("deploy:\n  target:\n    'sagemaker'", True), ('{"deploy": {"target": "sagemaker"}}', True),
        ("deploy: {'target': 'sagemaker'}", True), ("deploy: {target: local, sagemaker: {bucket: b}}", False), ("a: 1", False),
    ],
)  # fmt: skip
def test_make_knows_a_study_that_goes_to_aws_however_it_is_written(tmp_path, text, on_aws):
    path = written(tmp_path, text)
    command = ["make", "--no-print-directory", "--eval", "answer: ; @echo [$(ON_AWS)]", "answer", f"STUDY={path}"]
    answer = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout.strip()
    assert answer == ("[yes]" if on_aws else "[]")
