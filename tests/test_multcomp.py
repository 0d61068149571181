"""Dunnett's comparisons agree with R's multcomp on tables of real runs, unpaired and with seeds as blocks."""

import multcomp
import pandas as pd
import pytest

from builders.project import ROOT

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


def test_the_documentation_shows_these_numbers():
    page = (ROOT / "docs/calibration.md").read_text(encoding="utf-8")
    assert "\n".join(multcomp.lines()) in page
