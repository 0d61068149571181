"""Tables as CSV (full precision), Markdown and LaTeX, and reading them back."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from convlab.common import checksums
from convlab.common.files import missing, write_text

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
    "rate": 6,
    "decay": 6,
}
"""Decimals by the word that a column's name holds; 2 for other numbers."""

TEXT_COLUMNS = (
    "dataset", "model", "variant", "label", "class", "experiment", "reference", "verdict", "method", "status", "axis",
    "precision_type", "spec_hash", "sentence", "smallest", "metric", "source", "licence", "claim", "text", "published",
    "rule", "reason", "quantity", "unit", "probe", "level", "measure", "predictions_sha256", "factor", "effect",
    "finished_verdict", "registration", "new_images_verdict", "new_images_sentence", "new_images_narrowing",
    "new_images_scatter", "analysis", "replicates", "conditions", "excluded", "chosen",
)  # fmt: skip
"""Columns that hold text, whatever it looks like: a name may be ``32``, ``NA``, ``null``, ``True`` or ``1e5``."""

MAX_FLOATING_ROWS = 40
"""Rows of a LaTeX table that floats on one page; a longer one breaks across pages."""


@dataclass(frozen=True)
class Printed:
    """A table as a paper prints it.

    Attributes:
        cells: text, already rounded; column names are the headings.
        align: LaTeX column type of each column: l, r, c, or a ragged p{width}.
        label: for ``\\ref``, without its ``tab:``.
    """

    cells: pd.DataFrame
    align: Sequence[str]
    label: str


def write_table(table: pd.DataFrame, stem: Path, caption: str, printed: Printed | None = None) -> None:
    """Write ``stem``.csv, .md and .tex; LaTeX shows ``printed``, or all columns if that is not given."""
    write_text(stem.with_suffix(".csv"), csv_text(table))
    rounded = table.apply(_rounded)
    write_text(stem.with_suffix(".md"), markdown(rounded), durable=False)
    if printed is None:
        align = ["r" if pd.api.types.is_numeric_dtype(table[name]) else "l" for name in table]
        printed = Printed(rounded, align, stem.name)
    write_text(stem.with_suffix(".tex"), latex(printed, caption), durable=False)


def read_table(path: Path) -> pd.DataFrame:
    """Read a CSV file that a stage wrote: names stay text, whatever they look like; only an empty cell is missing.

    A file that is missing, damaged, or not what the job that wrote it recorded, is a UserError that names it.
    """
    checksums.verify(path)
    try:
        table = pd.read_csv(path, dtype=dict.fromkeys(TEXT_COLUMNS, str), keep_default_na=False, na_values=[""])
    except FileNotFoundError:
        raise missing(path) from None
    except IsADirectoryError:
        raise checksums.damaged(path, "it is a folder") from None
    except ValueError as error:  # pandas' own errors are ValueErrors, too
        raise checksums.damaged(path, str(error).strip()) from None
    return table.apply(lambda column: column.map(as_written) if column.name in TEXT_COLUMNS else column)


_FORMULA = re.compile(r"'*\s*[=+\-@\t]")
_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d+)?", re.IGNORECASE)


def csv_text(table: pd.DataFrame) -> str:
    """A table as CSV, safe from formula injection: an apostrophe precedes text that a spreadsheet would evaluate.

    Class names may come from anybody's folders. Numbers stay as they are; :func:`as_written` removes the apostrophe
    """
    cells = {
        name: column if pd.api.types.is_numeric_dtype(column) else pd.Series(map(inert, column), column.index, object)
        for name, column in table.items()  # dtype object, so that whole numbers beside missing values stay whole
    }
    return pd.DataFrame(cells, columns=table.columns).rename(columns=inert).to_csv(index=False, lineterminator="\n")


def inert(value: object) -> object:
    """Text that begins like a formula, preceded by an apostrophe; anything else unchanged.

    Carriage returns become line feeds, since CSV's writers do not quote them.
    """
    if not isinstance(value, str):
        return value
    text = value.replace("\r\n", "\n").replace("\r", "\n")
    return f"'{text}" if _FORMULA.match(text) and not _NUMBER.fullmatch(text) else text


def as_written(value: object) -> object:
    """Inverse of :func:`inert`."""
    return value[1:] if isinstance(value, str) and value.startswith("'") and _FORMULA.match(value) else value


def _rounded(column: pd.Series) -> pd.Series:
    """A column as text, numbers rounded by what they measure; missing values are empty."""
    decimals = next((places for word, places in DECIMALS.items() if word in column.name.split("_")), 2)

    def text(value: object) -> str:
        if value is None or pd.isna(value):
            return ""
        return f"{value:.{decimals}f}" if isinstance(value, float) and not value.is_integer() else to_text(value)

    return column.map(text)


def to_text(value: object) -> str:
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


_LATEX = {"\\": r"\textbackslash{}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}"}
_LATEX |= {"×": r"$\times$", "−": "$-$", "±": r"$\pm$", "≤": r"$\le$", "≥": r"$\ge$", "≈": r"$\approx$", "÷": r"$\div$"}
_LATEX |= {"·": r"$\cdot$", "→": r"$\rightarrow$", "\N{NO-BREAK SPACE}": "~"}
_LATEX |= {"<": r"$<$", ">": r"$>$"}  # in the OT1 font encoding, < and > print as ¡ and ¿
_LATEX |= {"[": "{[}", "]": "{]}", "*": "{*}"}  # after \\ or \item they would be taken for an argument
_LATEX |= {character: f"\\{character}" for character in "&%$#_{}"}


_LIGATURE = re.compile(r"([-`',])(?=\1)|([?!])(?=`)")
"""Pairs of characters that TeX would join to a ligature."""


def escaped(text: str) -> str:
    """Text that LaTeX prints as it is. Scripts beyond Latin, and emoji, need XeLaTeX or LuaLaTeX and a font."""
    text = re.sub(r"[^\S\N{NO-BREAK SPACE}]", " ", text)
    text = "".join(_LATEX.get(c, c) for c in text if c.isprintable() or c in _LATEX)
    return _LIGATURE.sub(lambda match: match[0] + "{}", text)


def latex(table: Printed, caption: str) -> str:
    """A LaTeX table in booktabs style, which floats, or breaks across pages if it is long."""

    def row(cells: Sequence[str]) -> str:
        return "    " + " & ".join(escaped(cell) for cell in cells) + " \\\\\n"

    body = "".join(row(cells) for cells in table.cells.astype(str).values.tolist())
    head = row(list(table.cells.columns))
    align, title = "".join(table.align), f"\\caption{{{escaped(caption)}}}"
    label = f"\\label{{tab:{table.label}}}"
    if len(table.cells) <= MAX_FLOATING_ROWS:
        return (
            "% \\usepackage{array,booktabs}\n"
            "\\begin{table}[htbp]\n  \\centering\n  \\footnotesize\n  \\setlength{\\tabcolsep}{4pt}\n"
            f"  {title}\n  {label}\n  \\begin{{tabular}}{{{align}}}\n"
            f"    \\toprule\n{head}    \\midrule\n{body}    \\bottomrule\n  \\end{{tabular}}\n\\end{{table}}\n"
        )
    return (
        "% \\usepackage{array,booktabs,longtable}\n"
        "\\begingroup\\footnotesize\\setlength{\\tabcolsep}{4pt}\n"
        f"\\begin{{longtable}}{{{align}}}\n    {title}\n    {label} \\\\\n    \\toprule\n{head}    \\midrule\n"
        f"    \\endfirsthead\n    \\toprule\n{head}    \\midrule\n    \\endhead\n    \\bottomrule\n    \\endfoot\n"
        f"{body}\\end{{longtable}}\n\\endgroup\n"
    )
