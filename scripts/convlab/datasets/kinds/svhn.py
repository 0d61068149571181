"""SVHN: digits of house numbers in Street View photographs, cropped to one digit in the middle."""

import logging
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from pydantic import Field

from convlab.datasets.fetching import Archive, fetch_files
from convlab.datasets.reading import Reading, check_memory
from convlab.datasets.registry import Count, Counts, Form, Kind, translatable
from convlab.datasets.specs import Published
from convlab.errors import UserError

if TYPE_CHECKING:
    import numpy as np

log = logging.getLogger(__name__)

TRAIN, TEST, EXTRA = "train_32x32.mat", "test_32x32.mat", "extra_32x32.mat"

IMAGES = {TRAIN: 73_257, TEST: 26_032, EXTRA: 531_131}

CHECKSUMS = {
    TRAIN: "435e94d69a87fde4fd4d7f3dd208dfc32cb6ae8af2240d066de1df7508d083b8",
    TEST: "cdce80dfb2a2c4c6160906d0bd7c68ec5a99d7ca4831afa54f09182025b6a75b",
    EXTRA: "a133a4beb38a00fcdda90c9489e0c04f900b660ce8a316a5e854838379a71eb3",
}

ARCHIVE = Archive(
    title="SVHN",
    folder="svhn",
    checksums={name: CHECKSUMS[name] for name in (TRAIN, TEST)},
    mirrors=("http://ufldl.stanford.edu/housenumbers/",),
    packed=False,
)

WITH_EXTRA = replace(ARCHIVE, checksums=CHECKSUMS, max_bytes=1_400 * 10**6)

SHAPE = (32, 32, 3)
CLASSES = tuple("0123456789")


class Svhn(Published):
    """Street View House Numbers, cropped digits, fetched and checked by their checksums."""

    kind: Literal["svhn"]
    extra: bool = Field(
        False, description="Add the 531,131 simpler images of extra_32x32.mat (1.3 GB) to the training images."
    )


def form(name: str, spec: Svhn) -> Form:
    """Colour images of 32×32 pixels; the digits 0 to 9."""
    return SHAPE, len(CLASSES)


def counts(spec: Svhn) -> Counts:
    """73,257 training images, or 604,388 with the extra ones, and 26,032 test images."""
    train = IMAGES[TRAIN] + (IMAGES[EXTRA] if spec.extra else 0)
    return Count(train, train), Count(IMAGES[TEST], IMAGES[TEST])


def read(name: str, spec: Svhn, threads: int) -> Reading:
    """SVHN: 32×32×3. The digit 0 has the label 10 in the files and 0 here."""
    import numpy as np

    from convlab.datasets.prepared import Dataset

    key = f"datasets.{name}"
    archive = WITH_EXTRA if spec.extra else ARCHIVE
    # each file as it is read and as it is kept
    check_memory(2 * sum(IMAGES[file] for file in archive.checksums), SHAPE, f"{key}.extra", "leave extra out")
    files = fetch_files(archive, key=f"{key}.path", path=spec.path)
    x_train, y_train = _read_matlab(files[TRAIN])
    if spec.extra:
        x_extra, y_extra = _read_matlab(files[EXTRA])
        log.info("%s: %d extra training images", name, len(x_extra))
        x_train, y_train = np.concatenate([x_train, x_extra]), np.concatenate([y_train, y_extra])
    return Reading(Dataset(x_train, y_train, *_read_matlab(files[TEST]), CLASSES))


def _read_matlab(path: Path) -> "tuple[np.ndarray, np.ndarray]":
    """Images (n, 32, 32, 3) and labels 0 to 9 of one file: ``X`` (32, 32, 3, n) of bytes, ``y`` (n, 1) from 1 to 10."""
    import numpy as np
    from scipy.io import loadmat

    try:
        content = loadmat(path, variable_names=["X", "y"])
        images, labels = content["X"], content["y"].reshape(-1)
    except Exception as error:  # loadmat raises a dozen types for a damaged file
        raise UserError(f"{path} is no MATLAB file with X and y ({error}); get it again") from None
    if images.shape != (*SHAPE, len(labels)) or images.dtype != np.uint8 or not np.isin(labels, range(1, 11)).all():
        raise UserError(f"{path} does not hold images of 32×32 pixels with labels 1 to 10; get it again")
    return np.ascontiguousarray(images.transpose(3, 0, 1, 2)), labels.astype(np.int64) % 10


KIND = Kind(
    spec=Svhn,
    form=form,
    counts=counts,
    read=read,
    source="Yuval Netzer, Tao Wang, Adam Coates, Alessandro Bissacco, Bo Wu, Andrew Y. Ng",
    homepage="http://ufldl.stanford.edu/housenumbers/",
    licence=translatable("for non-commercial use only, as its homepage says"),
    citation="Netzer, Wang, Coates, Bissacco, Wu, Ng: Reading Digits in Natural Images with Unsupervised Feature "
    "Learning. NIPS Workshop on Deep Learning and Unsupervised Feature Learning, 2011.",
)
