"""CIFAR-100: small colour photographs of a hundred kinds of things, in its publisher's binary version."""

from dataclasses import replace
from typing import Literal

from pydantic import Field

from convlab.datasets.cifar_batches import Batches, read_batches
from convlab.datasets.fetching import Archive
from convlab.datasets.reading import Reading
from convlab.datasets.registry import Count, Counts, Form, Kind, translatable
from convlab.datasets.specs import Published

FINE = Batches(
    archive=Archive(
        title="CIFAR-100",
        folder="cifar-100",
        # MD5 03b5dce01913d631647c71ecec9e9cb8, as its home page gives it
        checksums={"cifar-100-binary.tar.gz": "58a81ae192c23a4be8b1804d68e518ed807d710a4eb253b1f2a199162a40d8ec"},
        mirrors=("https://www.cs.toronto.edu/~kriz/",),
        packed=False,
    ),
    folder="cifar-100-binary",
    images={"train.bin": 50_000, "test.bin": 10_000},
    checksums={
        "train.bin": "f31298fc616915fa142368359df1c4ca2ae984d6915ca468b998a5ec6aeebf29",
        "test.bin": "d8b1e6b7b3bee4020055f0699b111f60b1af1e262aeb93a0b659061746f8224a",
    },
    names_file="fine_label_names.txt",
    classes=100,
    label_bytes=2,
    label=1,
    pickled=("train", "cifar-100-python"),
)

COARSE = replace(FINE, names_file="coarse_label_names.txt", classes=20, label=0)


class Cifar100(Published):
    """CIFAR-100, fetched and checked by its checksums."""

    kind: Literal["cifar100"]
    labels: Literal["fine", "coarse"] = Field("fine", description="The 100 classes, or the 20 groups of five of them.")


def form(name: str, spec: Cifar100) -> Form:
    """Colour images of 32×32 pixels; 100 classes or 20."""
    return (32, 32, 3), _batches(spec).classes


def counts(spec: Cifar100) -> Counts:
    """50,000 training and 10,000 test images, equally many of each class."""
    classes = _batches(spec).classes
    return Count.of(*[50_000 // classes] * classes), Count.of(*[10_000 // classes] * classes)


def read(name: str, spec: Cifar100, threads: int) -> Reading:
    """CIFAR-100: 50,000 + 10,000 images, 32×32×3."""
    return Reading(read_batches(_batches(spec), name, spec.path))


def _batches(spec: Cifar100) -> Batches:
    return FINE if spec.labels == "fine" else COARSE


KIND = Kind(
    spec=Cifar100,
    form=form,
    counts=counts,
    read=read,
    source="Alex Krizhevsky, Vinod Nair, Geoffrey Hinton (University of Toronto)",
    homepage="https://www.cs.toronto.edu/~kriz/cifar.html",
    licence=translatable("none stated by its authors, who ask for the citation"),
    citation="Krizhevsky: Learning Multiple Layers of Features from Tiny Images. Technical report, 2009.",
)
