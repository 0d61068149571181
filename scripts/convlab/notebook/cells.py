"""Cells of a notebook, and the notebook as a file: Jupyter's format, version 4.5."""

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from convlab.page.templates import tidy_markdown

FORMAT = {"nbformat": 4, "nbformat_minor": 5}

KERNEL = {
    "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
    "language_info": {"name": "python"},
}


@dataclass
class Cells:
    """Cells in the order in which templates give them, each as (``markdown`` or ``code``, its text)."""

    cells: list[tuple[str, str]] = field(default_factory=list)

    def markdown(self, caller: Callable[[], str]) -> str:
        """Add a Markdown cell with a template's block; one without text adds none."""
        return self._add("markdown", tidy_markdown(str(caller())))

    def code(self, caller: Callable[[], str]) -> str:
        """Add a code cell with a template's block."""
        return self._add("code", str(caller()))

    def _add(self, kind: str, text: str) -> str:
        if text.strip():
            self.cells.append((kind, text.strip("\n").rstrip()))
        return ""

    def as_notebook(self) -> dict[str, Any]:
        """The notebook as JSON types, its code not run."""
        return {**FORMAT, "metadata": KERNEL, "cells": [_cell(*cell, n) for n, cell in enumerate(self.cells, start=1)]}

    def as_json(self) -> str:
        """The notebook as the text of a file."""
        return json.dumps(self.as_notebook(), indent=1, ensure_ascii=False) + "\n"


def _cell(kind: str, text: str, number: int) -> dict[str, Any]:
    """A cell as JSON types; ids are of the position, so that equal studies give equal files."""
    cell = {"cell_type": kind, "id": f"cell-{number}", "metadata": {}, "source": text.splitlines(keepends=True)}
    return cell | ({"execution_count": None, "outputs": []} if kind == "code" else {})
