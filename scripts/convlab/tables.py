"""The one way to write a table: CSV for programs (full precision), Markdown and LaTeX for people (rounded)."""

from pathlib import Path

import pandas as pd

from convlab.files import write_text

DECIMALS = {
    "accuracy": 4,
    "mean": 4,
    "difference": 4,
    "ci": 4,
    "sd": 4,
    "loss": 4,
    "measured": 4,
    "ece": 4,
    "brier": 4,
    "p": 4,
}
"""Decimals by the word that a column's name holds; 2 for other numbers."""


def write_table(table: pd.DataFrame, stem: Path, caption: str) -> None:
    """Write ``stem``.csv, .md and .tex."""
    write_text(stem.with_suffix(".csv"), table.to_csv(index=False, lineterminator="\n"))
    rounded = table.apply(_rounded)
    write_text(stem.with_suffix(".md"), markdown(rounded))
    write_text(stem.with_suffix(".tex"), latex(rounded, caption))


def _rounded(column: pd.Series) -> pd.Series:
    """A column as text, numbers rounded by what they measure; missing values are empty."""
    decimals = next((places for word, places in DECIMALS.items() if word in column.name.split("_")), 2)

    def text(value: object) -> str:
        if value is None or pd.isna(value):
            return ""
        return f"{value:.{decimals}f}" if isinstance(value, float) and not value.is_integer() else _plain(value)

    return column.map(text)


def _plain(value: object) -> str:
    return f"{value:.0f}" if isinstance(value, float) else str(value)


def markdown(table: pd.DataFrame) -> str:
    """A GitHub Markdown table; text can neither end a cell nor start a tag."""

    def row(cells: list[str]) -> str:
        return "| " + " | ".join(_markdown_cell(cell) for cell in cells) + " |\n"

    rule = "|" + "---|" * len(table.columns) + "\n"
    return row(list(table.columns)) + rule + "".join(row(cells) for cells in table.astype(str).values.tolist())


def _markdown_cell(text: str) -> str:
    for character in "\\|<>`*_[]":
        text = text.replace(character, "\\" + character)
    return text.replace("\n", " ")


_LATEX = {"\\": r"\textbackslash{}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}", "×": r"$\times$", "−": "--"}
_LATEX |= {"±": r"$\pm$", "≤": r"$\le$", "≥": r"$\ge$", "≈": r"$\approx$", "÷": r"$\div$", "·": r"$\cdot$"}
_LATEX |= {"<": r"$<$", ">": r"$>$"}  # quotation marks from beyond, where the font encoding is LaTeX's old one
_LATEX |= {character: f"\\{character}" for character in "&%$#_{}"}


def latex(table: pd.DataFrame, caption: str) -> str:
    """A LaTeX table in booktabs style."""

    def row(cells: list[str]) -> str:
        return "  " + " & ".join("".join(_LATEX.get(c, c) for c in cell) for cell in cells) + " \\\\\n"

    body = "".join(row(cells) for cells in table.astype(str).values.tolist())
    head = row(list(table.columns))
    caption = "".join(_LATEX.get(c, c) for c in caption)
    return (
        f"\\begin{{table}}\n  \\caption{{{caption}}}\n  \\begin{{tabular}}{{{'l' * len(table.columns)}}}\n  \\toprule\n"
        f"{head}  \\midrule\n{body}  \\bottomrule\n  \\end{{tabular}}\n\\end{{table}}\n"
    )
