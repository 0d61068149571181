"""Data sets in IDX files, the format of MNIST: one ``Archive`` and one reader each."""

from pathlib import Path

import numpy as np

from convlab.datasets.fetching import Archive, fetch
from convlab.datasets.prepared import Dataset
from convlab.datasets.reading import Reading
from convlab.datasets.specs import Published
from convlab.errors import UserError

FASHION_MNIST = Archive(
    title="Fashion-MNIST",
    folder="fashion-mnist",
    sha256={
        "train-images-idx3-ubyte": "c59f468a2f672dc815687fe0f83887768d799fd8a3f3276145d20f83aa44d888",
        "train-labels-idx1-ubyte": "bad3541b69d912435c50bb6ba87bec294ff4f6a2e1246121d8633921760443d9",
        "t10k-images-idx3-ubyte": "5b4141f0afbad91edebe8549f8fcffe087ea10ca49f1dbef5c9a5cd8815ce37b",
        "t10k-labels-idx1-ubyte": "0402a96d92fd2663957122ceb108a494c5af83dab82d92729df917d7dec38c34",
    },
    mirrors=(
        "http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/",
        "https://github.com/zalandoresearch/fashion-mnist/raw/master/data/fashion/",
        "https://storage.googleapis.com/tensorflow/tf-keras-datasets/",
    ),
    debian_package="dataset-fashion-mnist",
    debian_folder=Path("/usr/share/datasets/fashion-mnist"),
)

FASHION_CLASSES = (
    "T-shirt/top",
    "Trouser",
    "Pullover",
    "Dress",
    "Coat",
    "Sandal",
    "Shirt",
    "Sneaker",
    "Bag",
    "Ankle boot",
)

MNIST = Archive(
    title="MNIST",
    folder="mnist",
    sha256={
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

MNIST_CLASSES = tuple("0123456789")


def read_fashion_mnist(name: str, spec: Published, threads: int = 1) -> Reading:
    """Fashion-MNIST: 60,000 + 10,000 images, 28×28×1, from the first source that has it."""
    return Reading(read_idx_archive(FASHION_MNIST, FASHION_CLASSES, name, spec.path))


def read_mnist(name: str, spec: Published, threads: int = 1) -> Reading:
    """MNIST: 60,000 + 10,000 images, 28×28×1, from the first mirror that has it."""
    return Reading(read_idx_archive(MNIST, MNIST_CLASSES, name, spec.path))


def read_idx_archive(archive: Archive, classes: tuple[str, ...], name: str, path: str | None) -> Dataset:
    """Fetch an archive of the four files that MNIST made customary, and unpack them."""
    files = fetch(archive, key=f"datasets.{name}.path", path=path)
    arrays = {file_name: parse_idx(content, file_name) for file_name, content in files.items()}
    return Dataset(
        x_train=arrays["train-images-idx3-ubyte"][..., np.newaxis],
        y_train=arrays["train-labels-idx1-ubyte"].astype(np.int64),
        x_test=arrays["t10k-images-idx3-ubyte"][..., np.newaxis],
        y_test=arrays["t10k-labels-idx1-ubyte"].astype(np.int64),
        classes=classes,
    )


def parse_idx(content: bytes, name: str) -> np.ndarray:
    """The uint8 array of an unpacked IDX file: two zero bytes, the type 8, the rank, then each dimension in 32 bits.

    Raises UserError where the header or the length is wrong.
    """
    rank = content[3] if content[:3] == b"\x00\x00\x08" and len(content) >= 4 else 0
    header = 4 + 4 * rank
    if rank and len(content) >= header:
        shape = tuple(np.frombuffer(content, ">u4", rank, 4).tolist())
        if len(content) - header == np.prod(shape, dtype=object):
            return np.frombuffer(content, np.uint8, offset=header).reshape(shape)
    raise UserError(f"{name} is not a whole IDX file of bytes; get it again")
