"""CIFAR-10: small colour photographs of ten kinds of things, in its publisher's binary version."""

from typing import Literal

from convlab.datasets.cifar_batches import Batches, read_batches
from convlab.datasets.fetching import Archive
from convlab.datasets.reading import Reading
from convlab.datasets.registry import Count, Counts, Form, Kind, translatable
from convlab.datasets.specs import Published

FILES = (*(f"data_batch_{number}.bin" for number in range(1, 6)), "test_batch.bin")

BATCHES = Batches(
    archive=Archive(
        title="CIFAR-10",
        folder="cifar-10",
        # MD5 c32a1d4ab5d03f1284b67883e8d87530, as its home page gives it
        checksums={"cifar-10-binary.tar.gz": "c4a38c50a1bc5f3a1c5537f2155ab9d68f9f25eb1ed8d9ddda3db29a59bca1dd"},
        mirrors=("https://www.cs.toronto.edu/~kriz/",),
        packed=False,
    ),
    folder="cifar-10-batches-bin",
    images=dict.fromkeys(FILES, 10_000),
    checksums={
        "data_batch_1.bin": "5dd7e06a14cb22eb9f671a540d1b7c25",
        "data_batch_2.bin": "5ea93a67294ea407fff1d09f752e9692",
        "data_batch_3.bin": "942cd6a4bcdd0dd3c604fbe906cb4421",
        "data_batch_4.bin": "ae636b3ba5c66a11e91e8cb52e771fcb",
        "data_batch_5.bin": "53f37980c15c3d472c316c40844f3f0d",
        "test_batch.bin": "803d5f7f4d78ea53de84dbe85f74fb6d",
    },
    names_file="batches.meta.txt",
    classes=10,
    pickled=("data_batch_1", "cifar-10-batches-py"),
)


class Cifar10(Published):
    """CIFAR-10, fetched and checked by its checksums."""

    kind: Literal["cifar10"]


def form(name: str, spec: Cifar10) -> Form:
    """Colour images of 32×32 pixels; ten classes."""
    return (32, 32, 3), 10


def counts(spec: Cifar10) -> Counts:
    """50,000 training and 10,000 test images, equally many of each class."""
    return Count.of(*[5000] * 10), Count.of(*[1000] * 10)


def read(name: str, spec: Cifar10, threads: int) -> Reading:
    """CIFAR-10: 50,000 + 10,000 images, 32×32×3."""
    return Reading(read_batches(BATCHES, name, spec.path))


KIND = Kind(
    spec=Cifar10,
    form=form,
    counts=counts,
    read=read,
    source="Alex Krizhevsky, Vinod Nair, Geoffrey Hinton (University of Toronto)",
    homepage="https://www.cs.toronto.edu/~kriz/cifar.html",
    licence=translatable("none stated by its authors, who ask for the citation"),
    citation="Krizhevsky: Learning Multiple Layers of Features from Tiny Images. Technical report, 2009.",
    order=3,
)
