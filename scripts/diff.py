"""Tell what changed between two studies, or between two states of one: config, code, environment, data, results.

A side is a study that has been run: its name, its config file, its folder under results/, or a copy of that folder.
compare keeps a study's states: `my_study@previous` is the one before this, `my_study@3` the third that was kept. With
one side only its previous state is compared with its present one.

Prints the changes and writes them as index.html (one file, no network) and diff.md.
"""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))  # Python leaves it out with -P and PYTHONSAFEPATH
from convlab.common import environment

environment.start()

import argparse
import re
from dataclasses import fields

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from convlab.common.cli import run
from convlab.common.files import write_text
from convlab.page.templates import TEMPLATES, environment, tidy_markdown
from convlab.states import find
from convlab.states.differences import MAX_LISTED_RUNS, Differences, compare_states
from convlab.study import layout


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("before", help="one side; of one study its earlier state")
    parser.add_argument("after", nargs="?", help="the other side")
    parser.add_argument("--results", type=Path, default=layout.RESULTS, help="folder with the studies' folders")
    parser.add_argument(
        "--output-dir", type=Path, help="folder for index.html and diff.md; below results/diff if absent"
    )
    arguments = parser.parse_args(argv)
    before, after = arguments.before, arguments.after
    if after is None:
        before, after = f"{before}@{find.PREVIOUS}", before
    differences = compare_states(*(find.read(name, arguments.results) for name in (before, after)))
    output = arguments.output_dir or arguments.results / "diff" / slug(differences)
    shown = view(differences)
    write_text(output / "index.html", environment("html").get_template("diff/page.html.j2").render(shown))
    write_text(output / "diff.md", tidy_markdown(environment("markdown").get_template("diff/page.md.j2").render(shown)))
    print(terminal(shown))
    print(f"As a page: {output / 'index.html'}")


def view(differences: Differences) -> dict:
    """Context of the templates."""
    sides = (differences.before, differences.after)
    shown = {field.name: getattr(differences, field.name) for field in fields(differences)}
    return shown | {
        "title": f"{differences.before.name} → {differences.after.name}",
        "headlines": differences.headlines,
        "notices": [
            f"{state.name} has been changed since its results were made; run it to compare what it asks for now."
            for state in sides
            if state.outdated
        ],
        "several": len({*differences.before.provenance["data"], *differences.after.provenance["data"]}) > 1,
        "listed": MAX_LISTED_RUNS,
    }


def terminal(shown: dict) -> str:
    """The changes as plain text; no text of a config can move the cursor or change colours."""
    made = Environment(
        loader=FileSystemLoader(TEMPLATES),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        autoescape=False,
    )
    text = made.get_template("diff/terminal.txt.j2").render(shown)
    text = "".join(character if character.isprintable() or character == "\n" else "�" for character in text)
    return re.sub(r"\n{3,}", "\n\n", text).strip() + "\n"


def slug(differences: Differences) -> str:
    """A folder's name for what is compared."""
    names = (Path(state.name).name for state in (differences.before, differences.after))
    return "--".join(re.sub(r"[^A-Za-z0-9_.-]+", "-", name).strip("-.") or "state" for name in names)


if __name__ == "__main__":
    run(main)
