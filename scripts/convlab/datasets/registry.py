"""Registry of dataset kinds, and the contract of a kind's module.

A kind of dataset is one module in ``convlab/datasets/kinds``. Its name is the kind's name in the config, and it ends in
``KIND = Kind(...)``. To add one, copy ``kinds/digits.py`` under the new name and change it (leave
``order`` out); nothing else lists the kinds. The module has

- a spec, a pydantic model with ``kind: Literal["<module's name>"]`` and a field for each other setting.
  It derives from ``DatasetSpec``, from ``Published`` where files are fetched and checked by their checksums, or from
  ``OwnImages`` where they are the user's own. Its fields are checked while the config is parsed and are part of the
  identity of every run on the data.
- functions for what is known before any job runs: the images' shape and the classes, how many images there are, and
  what of the user's files would not be used. They may look at names and headers, no further.
- a reader, which ``prepare`` calls.

The config is parsed wherever Snakemake runs, so the module imports the standard library, pydantic and convlab's modules
of these two only; NumPy, and whatever needs it, is imported inside the reader. Code that kinds share is in
``convlab/datasets``: fetching, IDX files, folders of images, headers of ``.npz`` files, splitting.

`prepare` depends on the module of its kind and on what that imports, training on no kind. Then run ``make schema``,
``make messages`` where a text is marked ``translatable``, and write a test ``tests/test_<kind>.py``.
"""

import functools
import operator
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

from pydantic import Field

from convlab.common import registry
from convlab.datasets.reading import Reading
from convlab.datasets.specs import KINDS, DatasetSpec

Form = tuple[tuple[int, int, int], int]
"""Shape of an image (height, width, channels) and number of classes."""


@dataclass(frozen=True)
class Count:
    """Number of images of one part: bounds, and the number of each class if it is known."""

    least: int
    most: int
    by_class: tuple[int, ...] | None = None

    @classmethod
    def of(cls, *by_class: int) -> "Count":
        """The exact number of images of each class, in the order of the labels."""
        return cls(sum(by_class), sum(by_class), by_class)


Counts = tuple[Count, Count | None] | tuple[Count, Count | None, Count | None]
"""Numbers of training and test images, and of a validation split where the data bring one, before any limit. That of
test images is None for a user's own data without them: the ``test_fraction`` of every class is held out."""


def nothing_unused(name: str, spec: Any) -> Sequence[str]:
    """Nothing: all of a published dataset is used."""
    return ()


def no_details(spec: Any) -> Mapping[str, str]:
    """None: all that is said of the images holds for every spec of the kind."""
    return {}


@dataclass(frozen=True)
class Kind:
    """A kind of dataset. Functions get the dataset's name in the config, for messages, and its validated spec.

    Args:
        spec: the pydantic model of the dataset's entry in the config.
        form: shape of the images and number of classes, before any job runs. It raises UserError, which names the key
            (``datasets.<name>.path``), for files that are not what they should be.
        counts: training and test images, and those of a given validation split, before any limit of the config, exactly
            or as bounds, from the spec alone; None where that cannot be seen from here. UserError or OSError, for files
            that cannot be read, counts as None.
        read: the data themselves, from name, spec and a number of threads, which must not change the result; a
            validation split as ``x_validation`` and ``y_validation``. It raises UserError for data that cannot be used.
        source: who published the images, or what they are. Texts of ours are marked ``translatable``, here and in
            ``licence``.
        licence: under what licence.
        homepage: address of a page on the images.
        citation: how their authors ask to be cited.
        details: those of ``source``, ``licence``, ``homepage`` and ``citation`` that depend on the spec, by name.
        unused: what of the files would not be used, a few words for each; called for the user's own files only.
        files: of the user's own data, the files below a folder that are read, each with its name relative to the folder
            and a path or directory entry; their content is part of a run's identity. None for those of an image
            folder.
        threads: largest useful number of threads of ``read``.
        order: position in lists of kinds; those without one follow, by name.
    """

    spec: type[DatasetSpec]
    form: Callable[[str, Any], Form]
    counts: Callable[[Any], Counts | None]
    read: Callable[[str, Any, int], Reading]
    source: str
    licence: str
    homepage: str | None = None
    citation: str | None = None
    details: Callable[[Any], Mapping[str, str]] = no_details
    unused: Callable[[str, Any], Sequence[str]] = nothing_unused
    files: Callable[[Path], Iterable[tuple[str, Any]]] | None = None
    threads: int = 1
    order: int = 100


def translatable(text: str) -> str:
    """Mark a text of ours for ``make messages``; names of people and of licences stay as they are.

    Not ``i18n.N_``, since `prepare` depends on no translations.
    """
    return text


def kind_of(spec: DatasetSpec) -> Kind:
    """The kind of a dataset, by its spec."""
    return registry.load(KINDS, spec.kind).KIND


def kinds() -> dict[str, Kind]:
    """All kinds by name, in the order of lists in texts."""
    by_name = {name: registry.load(KINDS, name).KIND for name in registry.names(KINDS)}
    return dict(sorted(by_name.items(), key=lambda item: (item[1].order, item[0])))


def any_dataset() -> Any:
    """Union of all kinds' specs, discriminated by ``kind``; imports all kinds."""
    specs = (kind.spec for kind in kinds().values())
    return Annotated[functools.reduce(operator.or_, specs), Field(discriminator="kind")]
