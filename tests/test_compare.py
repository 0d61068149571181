"""Tables over all runs, from small frames whose answers are known."""

import csv
import re
import warnings

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from builders.project import CNN_5X5, TINY
from convlab.common import table_files
from convlab.common.table_files import csv_text, write_table
from convlab.page.loading import read_table
from convlab.results import tables
from convlab.results.choice import chosen_variant
from convlab.results.new_images import with_new_images
from convlab.statistics.describe import summarise
from convlab.statistics.images import crossed_difference
from convlab.study.load import load_study

PLAN = load_study(TINY).plan


def runs_frame(accuracies: dict[str, list[float]], dataset: str = "digits") -> pd.DataFrame:
    """A runs table with the given test accuracies; NaN is a diverged run."""
    rows = []
    for variant, values in accuracies.items():
        cost = PLAN.costs["digits", variant]
        for seed, accuracy in enumerate(values, start=1):
            finished = not np.isnan(accuracy)
            trained = {"epochs_run": 2 if finished else 0, "best_epoch": 2, "train_seconds": 3.0,
                       "images_per_second": 100.0,
                       "val_accuracy": accuracy, "status": "finished" if finished else "diverged", "spec_hash": "0",
                       "train_images": 270, "peak_memory_mb": 500}  # fmt: skip
            measured = {"accuracy": accuracy, "loss": 0.3, "ece": 0.02, "brier": 0.1} if finished else {}
            measured["latency_ms"] = {"p50": 1.0}
            rows.append(tables.run_row(dataset, PLAN.variants[variant], seed, cost, trained, measured))
    return tables.runs_table(rows)


CLEAR = {"dense": [0.80, 0.81, 0.80], "cnn": [0.903, 0.905, 0.902], CNN_5X5: [0.905, 0.900, 0.905]}


def test_runs_begin_with_the_agreed_columns():
    agreed = "dataset model variant seed parameters macs receptive_field epochs_run best_epoch train_seconds images_per_second val_accuracy test_accuracy test_loss ece status precision spec_hash"  # noqa: E501
    assert list(runs_frame(CLEAR).columns[:18]) == agreed.split()


def test_comparisons_begin_with_the_agreed_columns():
    agreed = "dataset experiment variant reference metric n_seeds difference ci_low ci_high p_value p_adjusted verdict"
    assert list(tables.comparisons_table(runs_frame(CLEAR), PLAN, 0.005).columns[:12]) == agreed.split()


def test_variants_give_mean_sd_and_interval_smaller_models_first():
    table = tables.variants_table(runs_frame(CLEAR), PLAN)
    assert list(table["variant"]) == ["dense", "cnn", CNN_5X5]
    cnn = table.set_index("variant").loc["cnn"]
    assert cnn["test_accuracy_mean"] == pytest.approx(np.mean(CLEAR["cnn"]))
    assert cnn["test_accuracy_sd"] == pytest.approx(np.std(CLEAR["cnn"], ddof=1))
    half = 4.302653 * cnn["test_accuracy_sd"] / np.sqrt(3)  # t(2) at 97.5 %
    assert cnn["test_accuracy_ci_high"] - cnn["test_accuracy_mean"] == pytest.approx(half, rel=1e-5)
    assert cnn["seconds_per_epoch"] == 1.5


def test_a_clear_difference_is_better_and_a_small_one_is_not():
    table = tables.comparisons_table(runs_frame(CLEAR), PLAN, 0.005).set_index("experiment")
    assert table.loc["convolution", "difference"] == pytest.approx(0.1)
    assert table.loc["convolution", "verdict"] == "better"
    assert "cnn vs dense changed test accuracy by +10.00 pp" in table.loc["convolution", "sentence"]
    assert table.loc["kernel", "verdict"] == "inconclusive"
    assert "5×5 vs 3×3" in table.loc["kernel", "sentence"]


def test_the_other_direction_is_worse():
    swapped = {"dense": CLEAR["cnn"], "cnn": CLEAR["dense"], CNN_5X5: CLEAR["dense"]}
    table = tables.comparisons_table(runs_frame(swapped), PLAN, 0.005).set_index("experiment")
    assert table.loc["convolution", "verdict"] == "worse"


def test_diverged_runs_are_counted_and_left_out():
    frame = runs_frame({**CLEAR, "cnn": [0.90, np.nan, 0.91]})
    row = tables.variants_table(frame, PLAN).set_index("variant").loc["cnn"]
    assert (row["n_seeds"], row["n_diverged"]) == (2, 1)
    assert row["test_accuracy_mean"] == pytest.approx(0.905)
    comparison = tables.comparisons_table(frame, PLAN, 0.005).set_index("experiment").loc["convolution"]
    assert comparison["n_seeds"] == 2 and comparison["verdict"] == "inconclusive"


def test_intervals_of_differences_end_where_differences_of_accuracies_do():
    frame = runs_frame({"dense": [0.1, 0.0, 0.3], "cnn": [1.0, 0.2, 0.9], CNN_5X5: [0.2, 1.0, 0.1]})
    table = tables.comparisons_table(frame, PLAN, 0.005)
    limits = table[["ci_low", "ci_high", "ci90_low", "ci90_high"]].astype(float)
    assert limits.notna().all(axis=None) and limits.abs().max(axis=None) == 1


def test_adjustment_covers_all_questions_of_all_datasets():
    single = runs_frame(CLEAR)
    two = pd.concat([single, single.assign(dataset="other")])
    alone = tables.comparisons_table(single, PLAN, 0.005)
    both = tables.comparisons_table(two, PLAN, 0.005)
    assert len(both) == 2 * len(alone)
    assert both["p_adjusted"].iloc[0] > alone["p_adjusted"].iloc[0] - 1e-12
    smallest = alone["p_value"].min()
    assert alone["p_adjusted"].min() == pytest.approx(2 * smallest)
    assert both["p_adjusted"].min() == pytest.approx(4 * smallest)


def test_an_interval_for_new_images_takes_images_and_the_seeds_that_both_variants_have():
    generator = np.random.default_rng(0)
    table = tables.comparisons_table(runs_frame(CLEAR), PLAN, 0.005)
    correct = {
        ("digits", variant, seed): generator.random(400) < share
        for variant, share in (("dense", 0.8), ("cnn", 0.9), (CNN_5X5, 0.9))
        for seed in (1, 2, 3, 4)
        if (variant, seed) != ("dense", 4)
    }
    row = with_new_images(table, correct, PLAN, 0.005).set_index("experiment").loc["convolution"]
    sides = [np.stack([correct["digits", name, seed] for seed in (1, 2, 3)]) for name in ("cnn", "dense")]
    expected = crossed_difference(*sides)
    assert (row["new_images_ci_low"], row["new_images_ci_high"]) == (expected.ci_low, expected.ci_high)
    per_seed = summarise((sides[0].mean(axis=1) - sides[1].mean(axis=1)).tolist())
    assert expected.se > per_seed.se, "images are a source of variation too"
    assert with_new_images(table, {}, PLAN, 0.005)["new_images_ci_low"].isna().all()


def test_trends_need_three_ordered_levels():
    assert tables.trends_table(runs_frame(CLEAR), PLAN).empty
    study = load_study(
        {**TINY, "experiments": {"kernel": {"base": "cnn", "factor": "kernel_size", "levels": [1, 2, 4]}}}
    )
    names = [level.variant for level in study.plan.questions["kernel"].levels]
    rows = [{"dataset": "digits", "variant": name, "seed": seed, "test_accuracy": 0.8 + 0.01 * index + 0.001 * seed}
            for index, name in enumerate(names) for seed in (1, 2, 3)]  # fmt: skip
    trend = tables.trends_table(pd.DataFrame(rows), study.plan).iloc[0]
    assert trend["slope"] == pytest.approx(0.01)
    assert "+1.00 pp per doubling of kernel size" in trend["sentence"]


def test_the_chosen_variant_is_the_best_on_validation_and_of_equals_the_cheaper():
    table = pd.DataFrame({
        "dataset": "d", "variant": ["a", "b", "c"], "val_accuracy_mean": [0.9, 0.9, 0.8],
        "macs": [20, 10, 1], "test_accuracy_mean": [0.95, 0.1, 0.99], "n_seeds": 3, "n_diverged": 0,
    })  # fmt: skip
    assert chosen_variant(table, "d") == "b"
    assert chosen_variant(table.assign(n_seeds=[2, 2, 3], n_diverged=[1, 1, 0]), "d") == "c"
    assert chosen_variant(table.assign(val_accuracy_mean=np.nan), "d") is None


def test_per_class_measures_are_means_over_finished_runs():
    def entry(recall):
        return {"per_class": {"precision": [1, 0.5], "recall": recall, "f1": [0, 0], "support": [3, 4]}}

    evaluations = {
        ("d", "v", 1): entry([0.4, 1]),
        ("d", "v", 2): entry([0.6, 1]),
        ("d", "v", 3): {"status": "diverged"},
    }
    table = tables.per_class_table(evaluations, {"d": ["cat", "dog"]}).set_index("class")
    assert table.loc["cat", "recall"] == pytest.approx(0.5)
    assert table.loc["cat", "recall_sd"] == pytest.approx(np.std([0.4, 0.6], ddof=1))
    assert table.loc["dog", "support"] == 4


def test_per_class_means_leave_out_what_is_not_defined_and_count_it():
    """One class without test images, one that a run never predicts, one that none predicts."""
    measures = {"recall": [None, 0.5, 0.0], "f1": [None, 0.5, 0.0], "support": [0, 4, 4]}
    evaluations = {
        ("d", "v", 1): {"per_class": {"precision": [0.0, None, None], **measures}},
        ("d", "v", 2): {"per_class": {"precision": [0.0, 0.8, None], **measures}},
    }
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        table = tables.per_class_table(evaluations, {"d": ["a", "b", "c"]}).set_index("class")
    assert table["recall"].tolist()[1:] == [0.5, 0.0] and np.isnan(table.loc["a", "recall"])
    assert table.loc["b", "precision"] == 0.8 and np.isnan(table.loc["c", "precision"])
    assert table["precision_seeds"].tolist() == [2, 1, 0] and table["n_seeds"].tolist() == [0, 2, 2]
    assert pd.isna(table.loc["a", "recall_sd"])


def test_tables_keep_hostile_text_as_text(tmp_path):
    frame = pd.DataFrame({"name": ["a|b <script>", "50 % & $x_1$"], "accuracy": [0.123456, np.nan]})
    table_files.write_table(frame, tmp_path / "t", "A & B")
    assert pd.read_csv(tmp_path / "t.csv")["accuracy"][0] == 0.123456
    markdown = (tmp_path / "t.md").read_text()
    assert "a\\|b \\<script\\>" in markdown and "0.1235" in markdown
    latex = (tmp_path / "t.tex").read_text()
    assert r"50 \% \& \$x\_1\$" in latex and r"\caption{A \& B}" in latex


@pytest.mark.slow
def test_a_finished_study_has_its_tables_and_figures(finished_study):
    folder = finished_study.folder / "results/tiny/compare"
    runs = pd.read_csv(folder / "runs.csv")
    assert len(runs) == 9 and set(runs["variant"]) == {"dense", "cnn", CNN_5X5}
    assert runs["test_accuracy"].between(0, 1).all()
    names = {path.stem for path in (folder / "figures").glob("*.svg")}
    assert {"digits-accuracy", "digits-curves", "digits-costs", "digits-kernel-seeds"} <= names
    assert {"digits-convolution-differences", "digits-cnn-layer-1-filters", "digits-cnn-layer-1-maps"} <= names
    assert {"digits-kernel-levels-1-filters", "digits-kernel-levels-1-maps"} <= names
    assert {"digits-cnn-disputed", "digits-cnn-mistakes", "digits-dense-confusion", "digits-calibration"} <= names
    grids = {path.name.removesuffix(".tiles.png") for path in (folder / "figures").glob("*.tiles.png")}
    assert "digits-kernel-levels-1-maps" in grids and grids < names
    assert names == {path.stem for path in (folder / "figures").glob("*.png") if not path.stem.endswith(".tiles")}


@settings(max_examples=40)
@given(st.lists(st.one_of(st.none(), st.text(alphabet="=+-@\t\r'a1.,\n\"e", max_size=6)), min_size=1, max_size=4))
def test_a_text_is_no_formula_in_a_csv_file_and_is_read_back_as_it_was(tmp_path_factory, names):
    folder = tmp_path_factory.mktemp("csv")
    table = pd.DataFrame({"label": pd.Series(names, dtype=object), "difference": [-0.5, *[1.0] * (len(names) - 1)]})
    write_table(table, folder / "t", "caption")
    with (folder / "t.csv").open(newline="", encoding="utf-8") as file:
        cells = [row[0] for row in csv.reader(file)][1:]
    numbers = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d+)?", re.IGNORECASE)
    assert not [cell for cell in cells if cell[:1] in tuple("=+-@\t\r") and not numbers.fullmatch(cell)]
    back = read_table(folder / "t.csv")
    assert back["difference"].tolist() == table["difference"].tolist()
    expected = [
        (name and name.replace("\r\n", "\n").replace("\r", "\n")) or None for name in names
    ]  # an empty cell is a missing one
    assert [None if pd.isna(name) else name for name in back["label"]] == expected


def test_names_of_classes_that_are_columns_are_no_formulas_either():
    table = pd.DataFrame([[1, 2.5]], columns=["=HYPERLINK(1)", "-1"])
    assert csv_text(table) == "'=HYPERLINK(1),-1\n1,2.5\n"


def test_whole_numbers_beside_nothing_stay_whole_in_a_csv_file():
    assert (
        csv_text(pd.DataFrame({"measured": pd.Series([9258, None, 0.5], dtype=object)})) == 'measured\n9258\n""\n0.5\n'
    )
