"""Copy the demo's report to docs/example/, to be read without running anything: Markdown with its pictures.

The page records a digest of what it was made from, so that a test can tell when it is out of date. `make example` runs
the demo and then this.
"""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))  # Python leaves it out with -P and PYTHONSAFEPATH
from convlab.common import environment

environment.start()

import argparse
import hashlib
import io
import re
import shutil

from PIL import Image

from convlab.common.atomic import atomic
from convlab.common.cli import run
from convlab.common.files import missing, write_text
from convlab.study import layout

ROOT = Path(__file__).resolve().parent.parent
EXAMPLE = ROOT / "docs" / "example"

INPUTS = (
    *("studies/demo.yaml", "report/report.md.j2", "report/markdown/*.j2", "report/text/*.j2"),
    *("scripts/convlab/figures/study.py", "scripts/example.py"),
)
"""What the example is made from, as far as a test compares it: study, templates and the catalogue of figures, not the
code of every number."""

COLOURS = 128
"""Colours of a picture's palette: figures have few, and take a third of the space."""

PICTURE = re.compile(r"\]\(\.\./([\w./-]+\.png)\)")

HEAD = """<!-- Written by `make example`; do not edit. Made from inputs with digest {digest}. -->

> The report of `make demo` ([studies/demo.yaml](../../studies/demo.yaml)) as Markdown. The same as a page, with
> figures that can be searched, hidden and downloaded, is `results/demo/report/index.html` after `make demo`.

"""


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--results-dir", type=Path, default=layout.study_folder("demo"), help="the demo's folder under results/"
    )
    copy_report(parser.parse_args(argv).results_dir, EXAMPLE)


def copy_report(results: Path, example: Path) -> None:
    """Write ``example/README.md`` and its pictures from a finished study; what was there before is deleted."""
    source = layout.reported(results) / "report.md"
    try:
        text = source.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise missing(source) from None
    shutil.rmtree(example, ignore_errors=True)
    for file in dict.fromkeys(PICTURE.findall(text)):
        small_picture(results / file, example / "pictures" / picture_name(file))
    linked = PICTURE.sub(lambda match: f"](pictures/{picture_name(match[1])})", text)
    write_text(example / "README.md", HEAD.format(digest=digest()) + linked)


def picture_name(file: str) -> str:
    """Name of a picture's copy: figures of the data are called the same on every dataset, whose name goes in front."""
    path = Path(file)
    return path.name if path.parent.name == "figures" else f"{path.parent.name}-{path.name}"


def small_picture(source: Path, target: Path) -> None:
    """Copy a PNG file with a palette of COLOURS."""
    with Image.open(source) as image:
        small = image.convert("RGB").quantize(COLOURS, dither=Image.Dither.NONE)
    buffer = io.BytesIO()
    small.save(buffer, "PNG", optimize=True)
    target.parent.mkdir(parents=True, exist_ok=True)
    with atomic(target) as temporary:
        temporary.write_bytes(buffer.getvalue())


def digest() -> str:
    """First 16 hexadecimal digits of the SHA-256 over the names and contents of INPUTS."""
    files = sorted(path for pattern in INPUTS for path in ROOT.glob(pattern))
    parts = hashlib.sha256()
    for path in files:
        parts.update(path.relative_to(ROOT).as_posix().encode() + b"\0" + path.read_bytes() + b"\0")
    return parts.hexdigest()[:16]


if __name__ == "__main__":
    run(main)
