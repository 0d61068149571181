"""Hold Dunnett's comparisons against R's multcomp, unpaired and with seeds as blocks, on tables of real runs.

``python benchmarks/multcomp.py`` prints the table of docs/calibration.md; with ``--r`` it first asks R (Debian: r-base,
r-cran-multcomp) and writes ``benchmarks/data/multcomp.csv``, which a test holds against our numbers. The runs are those
of the studies in ``benchmarks/data``.
"""

import argparse
import io
import math
import subprocess
import sys
from pathlib import Path

import pandas as pd

FOLDER = Path(__file__).resolve().parent
sys.path.insert(0, str(FOLDER.parent / "scripts"))
from convlab.statistics.comparisons import compare_to_reference
from convlab.statistics.dunnett import dunnett_critical, dunnett_p_value

TABLES = ("digits_filters", "digits_kernels", "fashion_kernels")
REFERENCE = "cnn"
BY_R = FOLDER / "data" / "multcomp.csv"
COLUMNS = ["table", "design", "variant", "difference", "ci_low", "ci_high", "p_value"]


def accuracies(table: str) -> pd.DataFrame:
    """Test accuracies of a table of runs: one row per seed, one column per variant."""
    runs = pd.read_csv(FOLDER / "data" / f"{table}.csv")
    return runs.pivot(index="seed", columns="variant", values="test_accuracy")


def unpaired(table: pd.DataFrame) -> pd.DataFrame:
    """Dunnett's test of every variant against the reference, with the variance pooled over all groups."""
    variants = [name for name in table if name != REFERENCE]
    n, df = len(table), (len(table) - 1) * len(table.columns)
    error = math.sqrt(table.var(ddof=1).mean() * 2 / n)
    n_variants = (n,) * len(variants)
    reach = dunnett_critical(n_variants, n, df) * error
    differences = {name: float(table[name].mean() - table[REFERENCE].mean()) for name in variants}
    rows = [
        ("unpaired", name, d, d - reach, d + reach, dunnett_p_value(d / error, n_variants, n, df))
        for name, d in differences.items()
    ]
    return pd.DataFrame(rows, columns=COLUMNS[1:])


def paired(table: pd.DataFrame) -> pd.DataFrame:
    """The same with seeds as blocks, as the suite compares."""
    rows = [
        ("paired", name, c.difference, c.ci_low, c.ci_high, c.p_value)
        for name, c in compare_to_reference(table, REFERENCE).items()
    ]
    return pd.DataFrame(rows, columns=COLUMNS[1:])


def ours() -> pd.DataFrame:
    """Our comparisons of all tables, with the columns ``COLUMNS``."""
    frames = [compare(accuracies(name)).assign(table=name) for name in TABLES for compare in (unpaired, paired)]
    return pd.concat(frames)[COLUMNS]


def by_r() -> pd.DataFrame:
    """The comparisons that multcomp makes, with the columns ``COLUMNS``. Takes a minute."""
    frames = []
    for name in TABLES:
        command = ["Rscript", FOLDER / "multcomp.R", FOLDER / "data" / f"{name}.csv", REFERENCE]
        printed = subprocess.run(command, check=True, capture_output=True, text=True).stdout
        frames.append(pd.read_csv(io.StringIO(printed)).assign(table=name))
    return pd.concat(frames)[COLUMNS]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--r", action="store_true", help="ask R again")
    if parser.parse_args().r:
        by_r().to_csv(BY_R, index=False, float_format="%.8g")
    merged = pd.read_csv(BY_R).merge(ours(), on=COLUMNS[:3], suffixes=("_r", ""))
    print(
        "| table | design | contrast | difference, pp | 95 % interval, pp: convlab | multcomp | p: convlab | multcomp |"
    )
    print("|---|---|---|--:|---|---|--:|--:|")
    for row in merged.itertuples():
        limits = [
            f"{100 * low:+.3f} to {100 * high:+.3f}"
            for low, high in ((row.ci_low, row.ci_high), (row.ci_low_r, row.ci_high_r))
        ]
        cells = (f"{100 * row.difference:+.3f}", *limits, f"{row.p_value:.5f}", f"{row.p_value_r:.5f}")
        print("|", row.table, "|", row.design, "|", row.variant, "−", REFERENCE, "|", " | ".join(cells), "|")


if __name__ == "__main__":
    main()
