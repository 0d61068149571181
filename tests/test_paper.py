"""LaTeX output: tables that compile whatever the names, and a macro for every number."""

import re
import shutil
import subprocess
from itertools import product
from pathlib import Path

import pandas as pd
import pytest

from builders.project import CNN_5X5, TINY, tiny_with
from builders.tables import (
    CLAIMS_WITH_HOSTILE_TEXT,
    HOSTILE_LABEL,
    config_of_every_table,
    macros_of,
    study_and_tables_with,
)
from convlab.common import table_files
from convlab.language.numbers import format_p
from convlab.paper import printed as paper
from convlab.paper.macros import numbers as macro_numbers
from convlab.paper.macros import numbers_tex
from convlab.study.registration import Standing
from convlab.study.schema import Study


def numbers(study: Study, made_tables: dict) -> dict[str, str]:
    images = dict.fromkeys(study.datasets, 10_000)
    chosen = dict.fromkeys(study.datasets, next(iter(study.plan.variants)))
    return macros_of(numbers_tex(made_tables, study, images, chosen, {}))


def plain(value: str) -> str:
    """A macro's value without what is only for TeX."""
    return re.sub(r"\\ensuremath\{(.*)\}", r"\1", value).replace("{,}", ",")


def problems(tex: str) -> list[str]:
    """LaTeX errors of a text: unbalanced braces, active characters, unequal numbers of cells."""
    errors, depth, mathematics = [], 0, False
    commands = {
        "begin", "end", "centering", "caption", "label", "toprule", "midrule", "bottomrule", "endhead", "endfoot",
        "endfirsthead", "linewidth", "textbackslash", "textasciitilde", "textasciicircum", "times", "pm", "le", "ge",
        "approx", "div", "footnotesize", "begingroup", "endgroup",
        "setlength", "tabcolsep", "raggedright", "arraybackslash", "cdot", "rightarrow", "newcommand", "ensuremath",
    }  # fmt: skip
    lines = [line for line in tex.splitlines() if not line.lstrip().startswith(("%", "\\label"))]
    for token in re.findall(r"\\[A-Za-z]+|\\.|.", "\n".join(lines)):
        if token == "{":
            depth += 1
        elif token == "}":
            depth -= 1
            if depth < 0:
                errors.append("a brace too many")
        elif token == "$":
            mathematics = not mathematics
        elif (token in "^_" and not mathematics) or token in "#%~":
            errors.append(f"a bare {token}")
        elif re.fullmatch(r"\\[A-Za-z]+", token) and token[1:] not in commands and "convlab" not in token:
            errors.append(f"the command {token}")
    if depth or mathematics:
        errors.append("an open brace or formula")
    columns = re.search(r"\\begin\{(?:tabular|longtable)\}\{(.*)\}", tex)
    count = len(re.findall(r"[lrc]|p\{[^}]*\}", columns[1].replace("\\raggedright\\arraybackslash", "")))
    for row in re.findall(r"^    (?!\\)(.*) \\\\$", tex, re.MULTILINE):
        if len(re.findall(r"(?<!\\)&", row)) != count - 1:
            errors.append(f"the cells of {row!r}")
        if row.startswith(("[", "*")):
            errors.append(f"{row!r} is taken for an argument")
    return errors


@pytest.mark.parametrize("text", [
    "% ", "a_b", "x^2", "#1", "50 % & more", "\\input{x}", "{", "}", "[x]", "* x", "~", "$", "--", "''", "?`", "\n\n",
    "\x1b[31m", "\\", "a\\", "é 日本 🙂", HOSTILE_LABEL,
])  # fmt: skip
def test_any_text_is_a_cell_that_latex_prints_as_it_is(text):
    frame = pd.DataFrame({text: [text, "plain"], "accuracy": ["0.12", ""]})
    tex = table_files.latex(table_files.Printed(frame, ["l", "r"], "t"), text)
    assert problems(tex) == []
    assert "\x1b" not in tex and "--" not in tex and "\n\n" not in tex


def test_the_checker_of_latex_sees_what_is_wrong():
    frame = pd.DataFrame({"a": ["b"], "c": ["d"]})
    good = table_files.latex(table_files.Printed(frame, ["l", "l"], "t"), "")
    for bad in ("d_", "d}", "d & e", "d % e", "\\input x", "$d"):
        assert problems(good.replace("& d", f"& {bad}")), bad


def test_a_table_has_a_caption_a_label_and_rules_and_its_numbers_stand_below_each_other():
    study, tables = study_and_tables_with(config_of_every_table())
    printed = paper.printed(tables, study)
    tex = table_files.latex(printed["variants"], "Every variant.")
    assert "\\caption{Every variant.}\n  \\label{tab:tiny-variants}" in tex
    assert tex.index("\\toprule") < tex.index("\\midrule") < tex.index("\\bottomrule")
    cells = printed["variants"].cells
    assert dict(zip(cells, printed["variants"].align, strict=True)) == {
        "Variant": paper.ragged(".2"), "Parameters": "r", "MACs (M)": "r", "n": "r", "Test acc. (%)": "r",
        "95 % CI": "r", "Test loss": "r", "ECE": "r",
    }  # fmt: skip
    places = {len(text.split(" ±")[0].split(".")[1]) for text in cells["Test acc. (%)"]}
    assert places == {2}, "one number of decimals for a column"


def test_every_table_is_printed_rounded_under_readable_headings():
    study, tables = study_and_tables_with(config_of_every_table())
    printed = paper.printed(tables, study)
    assert set(printed) == set(tables)
    for name, table in printed.items():
        assert (len(table.cells) > 0) == (name != "timings"), "this study was not timed"
        assert problems(table_files.latex(table, name)) == [], name
        assert not any("_" in heading for heading in table.cells), name
        assert not re.search(r"\d\.\d{5}", table.cells.to_string()), name
    row = printed["comparisons"].cells.iloc[0]
    source = tables["comparisons"].iloc[0]
    assert row["Diff. (pp)"] == f"{100 * source['difference']:+.2f}".replace("-", "−")
    assert row["p"] == format_p(source["p_adjusted"]).removeprefix("p = ").removeprefix("p ")


def test_variants_that_only_a_probe_trains_are_left_to_the_probes_table():
    study, tables = study_and_tables_with(config_of_every_table())
    assert len(paper.printed(tables, study)["variants"].cells) == len(study.plan.compared) < len(study.plan.variants)


def test_a_study_of_two_datasets_names_them():
    single = paper.printed(*reversed(study_and_tables_with(config_of_every_table())))
    two_datasets = config_of_every_table() | {"datasets": {"digits": {}, "mnist": {}}}
    two = paper.printed(*reversed(study_and_tables_with(two_datasets)))
    assert "Dataset" not in single["variants"].cells and set(two["variants"].cells["Dataset"]) == {"digits", "mnist"}


def test_a_table_without_rows_is_a_table():
    study, tables = study_and_tables_with(TINY)
    assert tables["claims"].empty
    assert problems(table_files.latex(paper.printed(tables, study)["claims"], "Claims")) == []


def test_a_long_table_breaks_across_pages():
    frame = pd.DataFrame({"a": [str(number) for number in range(100)]})
    tex = table_files.latex(table_files.Printed(frame, ["r"], "t"), "Long.")
    assert "\\begin{longtable}{r}" in tex and "\\endhead" in tex and problems(tex) == []


def test_macros_say_what_the_tables_say():
    study, tables = study_and_tables_with(config_of_every_table())
    values = {name: plain(value) for name, value in numbers(study, tables).items()}
    names = {"dense": "Dense", "cnn": "Cnn", CNN_5X5: "CnnKernelSizeFivexFive"}
    rows = tables["variants"].set_index("variant")
    for variant, name in names.items():
        row = rows.loc[variant]
        assert values[f"convlabTestAccuracy{name}Mean"] == f"{100 * row['test_accuracy_mean']:.2f}"
        assert values[f"convlabTestAccuracy{name}Sd"] == f"{100 * row['test_accuracy_sd']:.2f}"
        assert values[f"convlabParameters{name}"] == f"{row['parameters']:,}"
        assert values[f"convlabMacs{name}"] == f"{row['macs']:,}"
        assert values[f"convlabSeeds{name}"] == "3"
    row = tables["comparisons"].set_index(["experiment", "variant"]).loc["kernel", CNN_5X5]
    stem = "convlabDifferenceKernelCnnKernelSizeFivexFive"
    for suffix, column in {"": "difference", "Low": "ci_low", "High": "ci_high"}.items():
        assert values[stem + suffix] == f"{100 * row[column]:+.2f}"
    assert values[f"{stem}P"] == format_p(row["p_value"])
    assert values[f"{stem}PAdjusted"] == format_p(row["p_adjusted"])
    assert values[f"{stem}Verdict"] == row["verdict"]
    assert values["convlabDifferenceConvolutionCnnVerdict"] == "better"
    assert values["convlabSeeds"] == "3" and values["convlabTestImages"] == "10,000"
    claims = tables["claims"].set_index("claim")
    assert values["convlabClaimWinsMeasured"] == f"{100 * claims.loc['wins', 'measured']:+.2f} pp"
    assert values["convlabClaimWinsPublished"] == "+2.78 pp"
    assert values["convlabClaimSizeMeasured"] == f"{claims.loc['size', 'measured']:,}"
    assert values["convlabClaimLevelVerdict"] == claims.loc["level", "verdict"]
    assert values["convlabTrendKernelSlope"] == f"{100 * tables['trends'].iloc[0]['slope']:+.2f}"
    assert f"{tables['factorials'].iloc[0]['f_statistic']:.2f}" == values["convlabEffectGridFiltersF"].replace(",", "")
    contrasts = tables["probe_contrasts"].set_index(["measure", "variant"])["difference"]
    lost = contrasts["accuracy lost, pixels shuffled", "dense"]
    assert values["convlabProbePixelPermutationAccuracyLostPixelsShuffledDense"] == f"{100 * lost:+.2f}"


@pytest.mark.parametrize(("standing", "remark"), [(Standing(), ""), (Standing("added", 9), ", exploratory")])
def test_a_verdict_that_was_not_registered_cannot_be_cited_without_its_remark(standing, remark):
    study, made = study_and_tables_with(tiny_with(claims=CLAIMS_WITH_HOSTILE_TEXT), standing=standing)
    assert numbers(study, made)["convlabClaimWinsVerdict"] == f"supported{remark}"
    for name in ("comparisons", "claims"):
        verdicts = set(paper.printed(made, study)[name].cells["Verdict"])
        assert {verdict.endswith(", exploratory") for verdict in verdicts} == {bool(remark)}


def test_every_number_of_every_row_has_a_macro():
    study, tables = study_and_tables_with(config_of_every_table())
    defined = numbers(study, tables)
    per_row = {"variants": 31, "comparisons": 14, "claims": 7, "trends": 4, "factorials": 7, "probe_curves": 4,
               "probe_contrasts": 3}  # fmt: skip
    rows = sum(len(tables[name]) * count for name, count in per_row.items())
    assert len(defined) == rows + 6 + 3 * len(study.datasets)


def test_hostile_texts_stay_text_in_macros():
    study, tables = study_and_tables_with(config_of_every_table())
    text = numbers_tex(tables, study, {"digits": 100}, {"digits": "cnn"}, {})
    values = "".join(f"    x & {value} \\\\\n" for value in macros_of(text).values())
    assert problems("\\begin{tabular}{ll}\n" + values) == []
    assert "\\input{/" not in text.split("\\newcommand", 1)[1]


def test_names_that_would_read_the_same_are_all_told_apart():
    config = tiny_with(experiments={}, comparisons={})
    config["models"] = {name: {"family": "dense", "units": [8 + index]}
                        for index, name in enumerate(("a-b", "a_b", "A-B", "other"))}  # fmt: skip
    study, tables = study_and_tables_with(config)
    defined = numbers(study, tables)
    assert "convlabParametersAB" not in defined, "no macro may mean another model once a model is added"
    stems = [name for name in defined if name.startswith("convlabParametersABX")]
    assert len(stems) == 3 and "convlabParametersOther" in defined
    alone = tiny_with(experiments={}, comparisons={}, models={"a-b": config["models"]["a-b"]})
    assert "convlabParametersAB" in numbers(*study_and_tables_with(alone))


def test_question_and_variant_that_run_together_are_told_apart():
    config = tiny_with(models={name: {"family": "dense", "units": [8 + index]}
                            for index, name in enumerate(("base", "c", "b-c"))}, experiments={})  # fmt: skip
    config["comparisons"] = {"a-b": {"variant": "c", "reference": "base"}, "a": {"variant": "b-c", "reference": "base"}}
    defined = numbers(*study_and_tables_with(config))
    assert "convlabDifferenceABC" not in defined
    assert len([name for name in defined if re.fullmatch(r"convlabDifferenceABCX[a-z]{5}", name)]) == 2


def test_no_kind_begins_as_another_does_but_those_told_apart_by_capitals():
    study, tables = study_and_tables_with(config_of_every_table())
    kinds = {number.kind for number in macro_numbers(tables, study, {"digits": 1}, {"digits": "cnn"}, {})}
    assert not [(a, b) for a, b in product(kinds, kinds) if a != b and b.startswith(a)]


def test_two_datasets_have_their_own_macros():
    defined = numbers(*study_and_tables_with(config_of_every_table() | {"datasets": {"digits": {}, "mnist": {}}}))
    assert "convlabTestAccuracyCnnMeanOnDigits" in defined and "convlabTestAccuracyCnnMeanOnMnist" in defined
    assert "convlabTestAccuracyCnnMean" not in defined and "convlabSeeds" in defined


def test_what_a_study_cannot_give_is_a_dash():
    study, tables = study_and_tables_with(
        tiny_with(seeds=[1, 2], claims=CLAIMS_WITH_HOSTILE_TEXT), {"dense": [None, None]}
    )
    defined = numbers(study, tables)
    assert defined["convlabTestAccuracyDenseMean"] == "–"
    assert defined["convlabDifferenceKernelCnnKernelSizeFivexFiveLow"] == "–"
    assert not re.search(r"\b(nan|None|inf)\b", "".join(defined.values()))


@pytest.mark.skipif(shutil.which("pdflatex") is None, reason="needs TeX")
def test_latex_takes_all_of_it(tmp_path):
    study, tables = study_and_tables_with(config_of_every_table())
    for name, table in paper.printed(tables, study).items():
        (tmp_path / f"{name}.tex").write_text(table_files.latex(table, f"{name} {HOSTILE_LABEL}"))
    (tmp_path / "numbers.tex").write_text(numbers_tex(tables, study, {"digits": 100}, {"digits": "cnn"}, {}))
    values = numbers(study, tables)
    used = "\n".join(f"\\{name}, ${{\\{name}}}$" if "ensure" in text else f"\\{name}" for name, text in values.items())
    document = "\\documentclass{article}\\usepackage{array,booktabs,longtable}\\input{numbers}\\begin{document}\n"
    document += "\n".join(f"\\input{{{name}}}\\clearpage" for name in tables) + used + "\\end{document}\n"
    (tmp_path / "all.tex").write_text(document)
    command = ["pdflatex", "-interaction=nonstopmode", "-halt-on-error", "all.tex"]
    result = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, errors="replace")
    assert result.returncode == 0, result.stdout[-3000:]


@pytest.mark.slow
def test_a_finished_study_has_its_numbers_and_printed_tables(finished_study):
    folder = Path(finished_study.folder / "results/tiny/compare")
    defined = macros_of((folder / "numbers.tex").read_text())
    variants = pd.read_csv(folder / "variants.csv").set_index("variant")
    mean = variants.loc[CNN_5X5, "test_accuracy_mean"]
    assert plain(defined["convlabTestAccuracyCnnKernelSizeFivexFiveMean"]) == f"{100 * mean:.2f}"
    for path in folder.glob("*.tex"):
        if path.stem != "numbers":
            assert problems(path.read_text()) == [], path.name
    assert "on digits" in (folder / "variants.tex").read_text()
