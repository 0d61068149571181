"""Settings that the kinds for a user's own tables of images share: labels, splits, sizes. Standard library only."""

from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field

from convlab.common.specs import Name, PositiveWhole, as_list, off_as_none
from convlab.datasets.folder_listing import printable_name
from convlab.datasets.specs import OwnImages
from convlab.errors import UserError

SPLITS = ("train", "validation", "test")
"""Splits of a dataset; the last two may be absent."""


def sides(value: Any) -> Any:
    """One number is the side of a square."""
    numbers = as_list(value)
    if len(numbers) == 1 and not isinstance(value, list | tuple):
        numbers = numbers * 2
    if len(numbers) != 2:
        raise ValueError("should be one number of pixels or [height, width]")
    return numbers


ClassNames = Annotated[Annotated[tuple[Name, ...], Field(min_length=2)] | None, BeforeValidator(off_as_none)]
ColumnName = Annotated[Name | None, BeforeValidator(off_as_none)]


class OwnTables(OwnImages):
    """Tables with one row for each image."""

    label: ColumnName = Field(None, description="Column of the labels; by its name (label, class) when absent.")
    classes: ClassNames = Field(None, description="Names of the classes, in the order of the labels.")
    splits: dict[Literal["train", "validation", "test"], Name] = Field(
        {}, description="Which file, pattern of files or split is to train, validate and test with; by name when empty."
    )
    channels: Literal["last", "first"] | None = Field(
        None, description="Order of the numbers of colour images that are kept as numbers."
    )


class EncodedTables(OwnTables):
    """Tables whose images are image files, or lists of pixels."""

    image: ColumnName = Field(None, description="Column of the images; found by its type when absent.")
    image_size: Annotated[
        tuple[PositiveWhole, PositiveWhole] | None, BeforeValidator(lambda value: value and sides(value))
    ] = Field(
        None, description="Side of the square images in pixels, or [height, width]; needed where they differ in size."
    )
    colour: Literal["rgb", "grey"] | None = Field(
        None, description="Three channels or one; needed where images of both kinds are mixed."
    )


def own_path(name: str, spec: OwnTables, told: bool, remedy: str) -> Path | None:
    """Path of a user's tables; None where it is not there and the config has ``told`` their form.

    Raises UserError where neither is the case; ``remedy`` lists the keys that tell the form.
    """
    path = Path(spec.path).expanduser()
    if path.exists():
        return path
    if told:
        return None
    raise UserError(
        f"datasets.{name}.path: there is no {printable_name(str(path))} here; correct it, or write {remedy} of "
        f"datasets.{name} where only other machines can see the data"
    )
