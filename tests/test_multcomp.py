"""Dunnett's comparisons agree with R's multcomp on tables of real runs, unpaired and with seeds as blocks."""

import multcomp
import pandas as pd
import pytest

from builders.project import ROOT
from convlab.statistics.comparisons import compare_to_reference

KEYS = ["table", "design", "variant"]


@pytest.fixture(scope="module")
def both() -> pd.DataFrame:
    return pd.read_csv(multcomp.BY_R).merge(multcomp.ours(), on=KEYS, suffixes=("_r", ""), validate="one_to_one")


def test_every_contrast_is_held_against_r(both):
    assert len(both) == 16
    assert set(both["design"]) == {"unpaired", "paired"} and set(both["table"]) == set(multcomp.TABLES)


@pytest.mark.parametrize("design", ["unpaired", "paired"])
@pytest.mark.parametrize("column", ["difference", "ci_low", "ci_high", "p_value"])
def test_p_values_and_intervals_are_those_of_multcomp(both, design, column):
    rows = both[both["design"] == design]
    difference = (rows[column] - rows[f"{column}_r"]).abs().max()
    assert difference < (1e-3 if column == "p_value" else 1e-5), rows


@pytest.mark.parametrize("table", ["digits_filters", "fashion_kernels"])
def test_a_study_compares_like_this_where_it_pools_the_variance(table):
    accuracies = multcomp.accuracies(table)
    expected = multcomp.paired(accuracies).set_index("variant")
    for variant, contrast in compare_to_reference(accuracies, multcomp.REFERENCE).items():
        assert contrast.method == "Dunnett, seeds as blocks"
        numbers = (contrast.difference, contrast.ci_low, contrast.ci_high, contrast.p_value)
        assert numbers == pytest.approx(expected.loc[variant, ["difference", "ci_low", "ci_high", "p_value"]].tolist())


def test_the_documentation_shows_these_numbers():
    page = (ROOT / "docs/calibration.md").read_text(encoding="utf-8")
    assert "\n".join(multcomp.lines()) in page
