"""Jinja environments of the page and of Markdown, which escape values for their output."""

import base64
import hashlib
import re
from functools import cache
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from convlab.common import i18n
from convlab.common.i18n import NO_BREAK_SPACE, ngettext
from convlab.common.i18n import gettext as _
from convlab.figures.palette import COLOURS, ON_DARK
from convlab.page.figures import VARIABLES, WIDTH_STEP
from convlab.page.views import in_rows

TEMPLATES = Path(__file__).resolve().parents[3] / "report"


class Verbatim(Markup):
    """Text that a template prints as it is, to the last character, such as code."""


MARKDOWN_SPECIAL = re.compile(r"[\\`*_\[\]<>|~#&$]")

MARKDOWN_ENTITIES = {"<": "&lt;", ">": "&gt;", "&": "&amp;", "\\": "&#92;"}
"""Characters that are written by their number or name. Two backslashes before a bracket begin a formula in Jupyter."""

LINE_START = re.compile(r"^(?:([-+=])(?=[\s=+-]|$)|(\d{1,9})([.)])(?=\s|$))")


@cache
def environment(kind: str) -> Environment:
    """Jinja environment for ``html`` or ``markdown``, with autoescaping for that output.

    Cached with its compiled templates: compiling takes longer than rendering a report.
    """
    made = Environment(
        loader=FileSystemLoader(TEMPLATES),
        undefined=StrictUndefined,
        autoescape=True,
        finalize=(lambda value: isolated(markdown_text(value))) if kind == "markdown" else isolated,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    made.globals |= {"_": _, "ngettext": ngettext, "pgettext": i18n.pgettext}
    # page.css is a template
    made.globals["palette"] = {"light": COLOURS, "dark": ON_DARK, "variables": VARIABLES, "step": WIDTH_STEP}
    made.filters["fenced"] = fenced
    made.filters["tight"] = tight
    made.filters["in_rows"] = in_rows
    return made


_RIGHT_TO_LEFT = r"[\u0590-\u08ff\ufb1d-\ufdff\ufe70-\ufefc\U00010800-\U00010fff\U0001e800-\U0001efff]"
_RUN = re.compile(rf"{_RIGHT_TO_LEFT}+(?:[ _.,/·-]+{_RIGHT_TO_LEFT}+)*")
_CONTROLS = dict.fromkeys([*range(0x202A, 0x202F), *range(0x2066, 0x206A)])
FIRST_STRONG_ISOLATE, POP_ISOLATE = "\u2068", "\u2069"


def isolated(value: Any) -> Any:
    """A value whose Hebrew or Arabic words are isolated, so that they do not turn round the numbers beside them.

    The characters do in attributes and in SVG what ``<bdi>`` does in HTML only. Controls of direction in names are left
    out.
    """
    if not isinstance(value, str) or value.isascii() or isinstance(value, Verbatim):
        return value
    text = _RUN.sub(lambda run: f"{FIRST_STRONG_ISOLATE}{run[0]}{POP_ISOLATE}", str.translate(value, _CONTROLS))
    return Markup(text) if isinstance(value, Markup) else text


def script_hash(script: str) -> str:
    """Hash source of a script for the page's Content-Security-Policy, which allows no other script."""
    return f"sha256-{base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()}"


def markdown_text(value: Any) -> Any:
    """Escape a value for Markdown: no markup, no HTML, no links, no line breaks.

    Markup, which templates and macros have made, is not escaped again.
    """
    if isinstance(value, Markup):
        return value
    text = re.sub(rf"[^\S{NO_BREAK_SPACE}]+", " ", str(value)).strip()
    text = MARKDOWN_SPECIAL.sub(lambda match: MARKDOWN_ENTITIES.get(match[0], "\\" + match[0]), text)
    text = LINE_START.sub(lambda m: f"\\{m[1]}" if m[1] else f"{m[2]}\\{m[3]}", text)
    return Markup(text.replace("://", ":\\//").replace("www.", "www\\.").replace("@", "&#64;"))


def tight(text: str) -> str:
    """Text with no-break spaces between numbers and units, and after "n ="."""
    text = re.sub(r"(?<=\d) (?=%|pp\b)|(?<=±) (?=\d)|(?<=%) (?=CI\b)", NO_BREAK_SPACE, text)
    return re.sub(r"\b([np]) ([=<>]) (?=[\d.])", rf"\1{NO_BREAK_SPACE}\2{NO_BREAK_SPACE}", text)


def fenced(text: str, language: str = "") -> Markup:
    """A code block whose fence is longer than any run of backticks in it, so that nothing in it can end it."""
    fence = "`" * max(3, 1 + max((len(run) for run in re.findall("`+", text)), default=0))
    return Markup(f"{fence}{language}\n{text.strip()}\n{fence}")


def tidy_markdown(text: str) -> str:
    """Collapse blank lines, and drop those at the start."""
    return re.sub(r"\n{3,}", "\n\n", text).lstrip()
