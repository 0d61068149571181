"""Model archive (model.tar.gz), which a SageMaker endpoint unpacks to /opt/ml/model; byte-equal for equal files."""

import gzip
import tarfile
from pathlib import Path
from typing import Literal

from convlab.common.files import atomic
from convlab.errors import UserError

CODE = ("inference.py", "request_forms.py")
"""Modules in an archive's ``code/``: the handlers and what they load from beside them."""

DESCRIBED = ("export.json", "labels.json", *(f"code/{name}" for name in CODE))

MEMBERS = {
    "onnx": ("model.onnx", *DESCRIBED, "code/requirements.txt"),
    # No requirements: the TensorFlow Serving image would install them at every start, and needs none.
    "saved_model": ("saved_model", *DESCRIBED),
}
"""What an archive holds, by runtime: files and folders of an exported model, under the names they have there."""


def pack(model_dir: Path, archive: Path, runtime: Literal["onnx", "saved_model"]) -> None:
    """Write ``archive`` (.tar.gz), atomically, from the exported model in ``model_dir``.

    Members are in sorted order, without owners, with one time and one mode, and gzip's header has neither name nor
    time. Raises UserError where a member is missing.
    """
    with atomic(archive) as temporary, temporary.open("wb") as stream:
        compressed = gzip.GzipFile(filename="", mode="wb", fileobj=stream, mtime=0)
        with compressed, tarfile.open(fileobj=compressed, mode="w", format=tarfile.USTAR_FORMAT) as tar:
            for path in members(model_dir, runtime):
                information = tarfile.TarInfo(path.relative_to(model_dir).as_posix())
                information.size, information.mode = path.stat().st_size, 0o644
                with path.open("rb") as content:
                    tar.addfile(information, content)


def members(model_dir: Path, runtime: Literal["onnx", "saved_model"]) -> list[Path]:
    """The files of an archive, sorted; UserError for one that is missing."""
    members: list[Path] = []
    for name in MEMBERS[runtime]:
        path = model_dir / name
        files = [path]
        if path.is_dir():  # with a hidden file of Snakemake's
            files = [file for file in path.rglob("*") if file.is_file() and not file.name.startswith(".")]
        if not files or not all(file.is_file() for file in files):
            raise UserError(f"{path} is missing; run `make export` again")
        members += files
    return sorted(members, key=lambda file: file.relative_to(model_dir).as_posix())
