"""Fashion-MNIST: articles of clothing, from the first source that has them."""

from pathlib import Path
from typing import Literal

from convlab.datasets.fetching import Archive
from convlab.datasets.reading import Reading
from convlab.datasets.registry import Count, Counts, Form, Kind
from convlab.datasets.specs import Published

ARCHIVE = Archive(
    title="Fashion-MNIST",
    folder="fashion-mnist",
    checksums={
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

CLASSES = ("T-shirt/top", "Trouser", "Pullover", "Dress", "Coat", "Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot")


class FashionMnist(Published):
    """Fashion-MNIST, fetched and checked by its checksums."""

    kind: Literal["fashion_mnist"]


def form(name: str, spec: FashionMnist) -> Form:
    """Grey images of 28×28 pixels; ten kinds of articles."""
    return (28, 28, 1), 10


def counts(spec: FashionMnist) -> Counts:
    """60,000 training and 10,000 test images, equally many of each class."""
    return Count.of(*[6000] * 10), Count.of(*[1000] * 10)


def read(name: str, spec: FashionMnist, threads: int) -> Reading:
    """Fashion-MNIST: 60,000 + 10,000 images, 28×28×1."""
    from convlab.datasets.idx import read_idx_archive

    return Reading(read_idx_archive(ARCHIVE, CLASSES, name, spec.path))


KIND = Kind(
    spec=FashionMnist,
    form=form,
    counts=counts,
    read=read,
    source="Zalando Research",
    homepage="https://github.com/zalandoresearch/fashion-mnist",
    licence="MIT, Zalando SE",
    citation="Xiao, Rasul, Vollgraf: Fashion-MNIST: a Novel Image Dataset for Benchmarking Machine Learning "
    "Algorithms. arXiv:1708.07747, 2017.",
    order=1,
)
