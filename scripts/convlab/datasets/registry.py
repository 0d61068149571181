"""Where images come from: the registry of kinds of data sets. A new kind is a reader, one entry here and its spec."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from convlab.datasets.cifar_batches import read_cifar10
from convlab.datasets.folder_reading import read_image_folder
from convlab.datasets.idx import read_fashion_mnist, read_mnist
from convlab.datasets.kinds.digits import read_digits
from convlab.datasets.kinds.npz import read_npz
from convlab.datasets.reading import Reading


@dataclass(frozen=True)
class Kind:
    """How a kind of data set is read, and what the manifest says about it.

    ``read`` takes the data set's name in the config, its spec and a number of threads, and gives the data, what it left
    out, by class and reason, and where the test images come from.
    """

    read: Callable[[str, Any, int], Reading]
    source: str | None = None
    homepage: str | None = None
    licence: str | None = None
    citation: str | None = None


KINDS: dict[str, Kind] = {
    "fashion_mnist": Kind(
        read=read_fashion_mnist,
        source="Zalando Research",
        homepage="https://github.com/zalandoresearch/fashion-mnist",
        licence="MIT, Zalando SE",
        citation="Xiao, Rasul, Vollgraf: Fashion-MNIST: a Novel Image Dataset for Benchmarking Machine Learning "
        "Algorithms. arXiv:1708.07747, 2017.",
    ),
    "mnist": Kind(
        read=read_mnist,
        source="Yann LeCun, Corinna Cortes, Christopher J. C. Burges (NIST special databases 1 and 3)",
        homepage="http://yann.lecun.com/exdb/mnist/",
        licence="CC BY-SA 3.0",
        citation="LeCun, Bottou, Bengio, Haffner: Gradient-Based Learning Applied to Document Recognition. "
        "Proceedings of the IEEE 86(11), 1998.",
    ),
    "cifar10": Kind(
        read=read_cifar10,
        source="Alex Krizhevsky, Vinod Nair, Geoffrey Hinton (University of Toronto)",
        homepage="https://www.cs.toronto.edu/~kriz/cifar.html",
        licence="none stated by its authors, who ask for the citation",
        citation="Krizhevsky: Learning Multiple Layers of Features from Tiny Images. Technical report, 2009.",
    ),
    "digits": Kind(
        read=read_digits,
        source="scikit-learn (UCI: Optical Recognition of Handwritten Digits)",
        homepage="https://archive.ics.uci.edu/dataset/80/optical+recognition+of+handwritten+digits",
        licence="CC BY 4.0",
        citation="Alpaydin, Kaynak: Optical Recognition of Handwritten Digits. UCI Machine Learning Repository, 1998.",
    ),
    "image_folder": Kind(read=read_image_folder, source="a folder of images", licence="as of the images"),
    "npz": Kind(read=read_npz, source="a NumPy file", licence="as of the images"),
}
