"""MNIST: handwritten digits, from the first mirror that has them."""

from typing import Literal

from convlab.datasets.fetching import Archive
from convlab.datasets.reading import Reading
from convlab.datasets.registry import Count, Counts, Form, Kind
from convlab.datasets.specs import Published

ARCHIVE = Archive(
    title="MNIST",
    folder="mnist",
    checksums={
        "train-images-idx3-ubyte": "ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db",
        "train-labels-idx1-ubyte": "65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5",
        "t10k-images-idx3-ubyte": "0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7",
        "t10k-labels-idx1-ubyte": "ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2",
    },
    mirrors=(
        "https://ossci-datasets.s3.amazonaws.com/mnist/",
        "https://storage.googleapis.com/cvdf-datasets/mnist/",
        "http://yann.lecun.com/exdb/mnist/",
    ),
)

CLASSES = tuple("0123456789")


class Mnist(Published):
    """MNIST, fetched and checked by its checksums."""

    kind: Literal["mnist"]


def form(name: str, spec: Mnist) -> Form:
    """Grey images of 28×28 pixels; the digits 0 to 9."""
    return (28, 28, 1), 10


def counts(spec: Mnist) -> Counts:
    """60,000 training and 10,000 test images, for each digit."""
    return (
        Count.of(5923, 6742, 5958, 6131, 5842, 5421, 5918, 6265, 5851, 5949),
        Count.of(980, 1135, 1032, 1010, 982, 892, 958, 1028, 974, 1009),
    )


def read(name: str, spec: Mnist, threads: int) -> Reading:
    """MNIST: 60,000 + 10,000 images, 28×28×1."""
    from convlab.datasets.idx import read_idx_archive

    return Reading(read_idx_archive(ARCHIVE, CLASSES, name, spec.path))


KIND = Kind(
    spec=Mnist,
    form=form,
    counts=counts,
    read=read,
    source="Yann LeCun, Corinna Cortes, Christopher J. C. Burges (NIST special databases 1 and 3)",
    homepage="http://yann.lecun.com/exdb/mnist/",
    licence="CC BY-SA 3.0",
    citation="LeCun, Bottou, Bengio, Haffner: Gradient-Based Learning Applied to Document Recognition. "
    "Proceedings of the IEEE 86(11), 1998.",
    order=2,
)
