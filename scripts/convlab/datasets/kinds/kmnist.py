"""Kuzushiji-MNIST: cursive Japanese characters of old books, in the four files of MNIST's form."""

from pathlib import Path
from typing import Literal

from convlab.datasets.fetching import Archive, fetch_files
from convlab.datasets.reading import Reading
from convlab.datasets.registry import Count, Counts, Form, Kind
from convlab.datasets.specs import Published

ARCHIVE = Archive(
    title="Kuzushiji-MNIST",
    folder="kmnist",
    # of the packed files: TensorFlow Datasets and torchvision give such sums, nobody those of the unpacked files
    checksums={
        "train-images-idx3-ubyte.gz": "51467d22d8cc72929e2a028a0428f2086b092bb31cfb79c69cc0a90ce135fde4",
        "train-labels-idx1-ubyte.gz": "e38f9ebcd0f3ebcdec7fc8eabdcdaef93bb0df8ea12bee65224341c8183d8e17",
        "t10k-images-idx3-ubyte.gz": "edd7a857845ad6bb1d0ba43fe7e794d164fe2dce499a1694695a792adfac43c5",
        "t10k-labels-idx1-ubyte.gz": "20bb9a0ef54c7db3efc55a92eef5582c109615df22683c380526788f98e42a1c",
    },
    mirrors=("https://codh.rois.ac.jp/kmnist/dataset/kmnist/", "http://codh.rois.ac.jp/kmnist/dataset/kmnist/"),
    packed=False,
)

CLASSES = ("o", "ki", "su", "tsu", "na", "ha", "ma", "ya", "re", "wo")
"""The characters' readings; fonts without Japanese could not show the characters."""


class Kmnist(Published):
    """Kuzushiji-MNIST, fetched and checked by the checksums of its packed files."""

    kind: Literal["kmnist"]


def form(name: str, spec: Kmnist) -> Form:
    """Grey images of 28×28 pixels; ten characters."""
    return (28, 28, 1), 10


def counts(spec: Kmnist) -> Counts:
    """60,000 training and 10,000 test images, equally many of each class."""
    return Count.of(*[6000] * 10), Count.of(*[1000] * 10)


def read(name: str, spec: Kmnist, threads: int) -> Reading:
    """Kuzushiji-MNIST: 60,000 + 10,000 images, 28×28×1."""
    from convlab.datasets.idx import read_packed_idx, refuse_unpacked

    key, names = f"datasets.{name}.path", tuple(ARCHIVE.checksums)
    refuse_unpacked(None if spec.path is None else Path(spec.path).expanduser(), names, key)
    files = fetch_files(ARCHIVE, key=key, path=spec.path)
    return Reading(read_packed_idx([files[file] for file in names], names, CLASSES))


KIND = Kind(
    spec=Kmnist,
    form=form,
    counts=counts,
    read=read,
    source="Center for Open Data in the Humanities (ROIS-DS), from the Kuzushiji dataset",
    homepage="https://codh.rois.ac.jp/kmnist/index.html.en",
    licence="CC BY-SA 4.0",
    citation="Clanuwat, Bober-Irizar, Kitamoto, Lamb, Yamamoto, Ha: Deep Learning for Classical Japanese Literature. "
    "arXiv:1812.01718, 2018.",
)
