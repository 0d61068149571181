"""EMNIST: handwritten digits and letters in the form of MNIST, in six ways of splitting them into classes."""

import string
import zipfile
import zlib
from dataclasses import replace
from pathlib import Path
from typing import Literal

from pydantic import Field

from convlab.datasets.fetching import Archive, fetch_files
from convlab.datasets.reading import Reading
from convlab.datasets.registry import Count, Counts, Form, Kind, translatable
from convlab.datasets.specs import Published
from convlab.errors import UserError

ZIP = "gzip.zip"
"""The publisher's file with all splits; the folder ``gzip`` in it holds their packed IDX files."""

ARCHIVE = Archive(
    title="EMNIST",
    folder="emnist",
    # MD5 58c8d27c78d21e728a6bc7b3cc06412e, as torchvision has it
    checksums={ZIP: "fb9bb67e33772a9cc0b895e4ecf36d2cf35be8b709693c3564cea2a019fcda8e"},
    mirrors=("https://biometrics.nist.gov/cs_links/EMNIST/", "https://www.itl.nist.gov/iaui/vip/cs_links/EMNIST/"),
    packed=False,
    max_bytes=600 * 10**6,
)

MERGED = string.digits + string.ascii_uppercase + "abdefghnqrt"
"""Capital and small letters are one class where they look alike."""

CLASSES = {
    "byclass": tuple(string.digits + string.ascii_uppercase + string.ascii_lowercase),
    "bymerge": tuple(MERGED),
    "balanced": tuple(MERGED),
    "letters": tuple(string.ascii_uppercase),
    "digits": tuple(string.digits),
    "mnist": tuple(string.digits),
}

IMAGES = {
    "byclass": (697_932, 116_323),
    "bymerge": (697_932, 116_323),
    "balanced": (112_800, 18_800),
    "letters": (124_800, 20_800),
    "digits": (240_000, 40_000),
    "mnist": (60_000, 10_000),
}
"""Numbers of training and test images."""

MD5 = {
    "byclass": (
        "712dda0bd6f00690f32236ae4325c377",
        "ee299a3ee5faf5c31e9406763eae7e43",
        "1435209e34070a9002867a9ab50160d7",
        "7a0f934bd176c798ecba96b36fda6657",
    ),
    "bymerge": (
        "4a792d4df261d7e1ba27979573bf53f3",
        "491be69ef99e1ab1f5b7f9ccc908bb26",
        "8eb5d34c91f1759a55831c37ec2a283f",
        "c13f4cd5211cdba1b8fa992dae2be992",
    ),
    "balanced": (
        "4041b0d6f15785d3fa35263901b5496b",
        "7a35cc7b2b7ee7671eddf028570fbd20",
        "6818d20fe2ce1880476f747bbc80b22b",
        "acd3694070dcbf620e36670519d4b32f",
    ),
    "letters": (
        "8795078f199c478165fe18db82625747",
        "c16de4f1848ddcdddd39ab65d2a7be52",
        "382093a19703f68edac6d01b8dfdfcad",
        "d4108920cd86601ec7689a97f2de7f59",
    ),
    "digits": (
        "d2662ecdc47895a6bbfce25de9e9a677",
        "2223fcfee618ac9c89ef20b6e48bcf9e",
        "a159b8b3bd6ab4ed4793c1cb71a2f5cc",
        "8afde66ea51d865689083ba6bb779fac",
    ),
    "mnist": (
        "3663598a39195d030895b6304abb5065",
        "6c092f03c9bb63e678f80f8bc605fe37",
        "fb51b6430fc4dd67deaada1bf25d4524",
        "ae7f6be798a9a5d5f2bd32e078a402dd",
    ),
}
"""MD5 sums of the files in the zip, in the order of ``split_files``, as Deeplearning4j has them."""


class Emnist(Published):
    """EMNIST, fetched and checked by its checksums; images are put upright."""

    kind: Literal["emnist"]
    split: Literal["byclass", "bymerge", "balanced", "letters", "digits", "mnist"] = Field(
        "balanced",
        description="byclass: 62 digits, capital and small letters; bymerge: 47, letters that look alike merged; "
        "balanced: these 47, equally many of each; letters: 26; digits, mnist: 10.",
    )


def form(name: str, spec: Emnist) -> Form:
    """Grey images of 28×28 pixels; 10 to 62 classes."""
    return (28, 28, 1), len(CLASSES[spec.split])


def counts(spec: Emnist) -> Counts:
    """Numbers of images of the split; of balanced ones for each class."""
    train, test = IMAGES[spec.split]
    classes = len(CLASSES[spec.split])
    if spec.split in ("balanced", "letters", "digits"):
        return Count.of(*[train // classes] * classes), Count.of(*[test // classes] * classes)
    return Count(train, train), Count(test, test)


def read(name: str, spec: Emnist, threads: int) -> Reading:
    """One split of EMNIST: 28×28×1. The files hold images with rows and columns swapped; they are swapped back."""
    import numpy as np

    from convlab.datasets.idx import read_packed_idx
    from convlab.datasets.prepared import Dataset

    names = split_files(spec.split)
    dataset = read_packed_idx(_packed(f"datasets.{name}.path", spec, names), names, CLASSES[spec.split])
    first = 1 if spec.split == "letters" else 0  # labels of letters begin at 1
    return Reading(
        Dataset(
            np.ascontiguousarray(dataset.x_train.transpose(0, 2, 1, 3)),
            dataset.y_train - first,
            np.ascontiguousarray(dataset.x_test.transpose(0, 2, 1, 3)),
            dataset.y_test - first,
            dataset.classes,
        )
    )


def split_files(split: str) -> list[str]:
    """Names of a split's files: images and labels for training, then for testing."""
    return [
        f"emnist-{split}-{part}-{content}-ubyte.gz"
        for part in ("train", "test")
        for content in ("images-idx3", "labels-idx1")
    ]


def _packed(key: str, spec: Emnist, names: list[str]) -> list[Path | bytes]:
    """The split's checked files, from a folder into which the zip was unpacked, or else from the zip."""
    from convlab.datasets.idx import refuse_unpacked

    location = None if spec.path is None else Path(spec.path).expanduser()
    for folder in () if location is None else (location, location / "gzip"):
        if any((folder / file).exists() for file in names):
            unzipped = replace(ARCHIVE, checksums=dict(zip(names, MD5[spec.split], strict=True)))
            files = fetch_files(unzipped, key=key, path=folder)
            return [files[file] for file in names]
    refuse_unpacked(location, names, key)
    archive = fetch_files(ARCHIVE, key=key, path=location)[ZIP]
    try:
        with zipfile.ZipFile(archive) as opened:
            return [opened.read(f"gzip/{file}") for file in names]
    except KeyError as error:
        raise UserError(f"{archive} lacks {error.args[0]}; get it again") from None
    except (OSError, EOFError, zlib.error, zipfile.BadZipFile) as error:
        raise UserError(f"{archive} cannot be unpacked ({error}); get it again") from None


KIND = Kind(
    spec=Emnist,
    form=form,
    counts=counts,
    read=read,
    source="Gregory Cohen, Saeed Afshar, Jonathan Tapson, André van Schaik (from NIST special database 19)",
    homepage="https://www.nist.gov/itl/products-and-services/emnist-dataset",
    licence=translatable("none stated by its authors, who ask for the citation"),
    citation="Cohen, Afshar, Tapson, van Schaik: EMNIST: an extension of MNIST to handwritten letters. "
    "arXiv:1702.05373, 2017.",
)
