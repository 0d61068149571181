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
    return _dunnett("unpaired", table, table - table.mean(), (len(table) - 1) * len(table.columns))


def paired(table: pd.DataFrame) -> pd.DataFrame:
    """The same with seeds as blocks: residuals of the model with an effect of the variant and one of the seed."""
    residuals = table.sub(table.mean(axis=1), axis=0) - table.mean() + table.to_numpy().mean()
    return _dunnett("paired", table, residuals, (len(table) - 1) * (len(table.columns) - 1))


def _dunnett(design: str, table: pd.DataFrame, residuals: pd.DataFrame, df: int) -> pd.DataFrame:
    """Dunnett's test from the residuals of a model with ``df`` residual degrees of freedom."""
    variants = [name for name in table if name != REFERENCE]
    n = len(table)
    error = math.sqrt(float((residuals.to_numpy() ** 2).sum()) / df * 2 / n)
    n_variants = (n,) * len(variants)
    reach = dunnett_critical(n_variants, n, df) * error
    differences = {name: float(table[name].mean() - table[REFERENCE].mean()) for name in variants}
    rows = [
        (design, name, d, d - reach, d + reach, dunnett_p_value(d / error, n_variants, n, df))
        for name, d in differences.items()
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


def lines() -> list[str]:
    """The table of docs/calibration.md, a line for each contrast."""
    merged = pd.read_csv(BY_R).merge(ours(), on=COLUMNS[:3], suffixes=("_r", ""))
    rows = []
    for row in merged.itertuples():
        limits = [
            f"{100 * low:+.3f} to {100 * high:+.3f}"
            for low, high in ((row.ci_low, row.ci_high), (row.ci_low_r, row.ci_high_r))
        ]
        numbers = [f"{100 * row.difference:+.3f}", *limits, f"{row.p_value:.5f}", f"{row.p_value_r:.5f}"]
        cells = [row.table, row.design, f"{row.variant} − {REFERENCE}", *(text.replace("-", "−") for text in numbers)]
        rows.append(f"| {' | '.join(cells)} |")
    return [HEAD, *rows]


HEAD = """| table | design | contrast | difference, pp | 95 % interval, pp: convlab | multcomp | p: convlab | multcomp |
|---|---|---|--:|---|---|--:|--:|"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--r", action="store_true", help="ask R again")
    if parser.parse_args().r:
        by_r().to_csv(BY_R, index=False, float_format="%.8g")
    print("\n".join(lines()))


if __name__ == "__main__":
    main()
