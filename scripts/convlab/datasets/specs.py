"""Specs of the dataset kinds: what a user writes about a dataset."""

from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field

from convlab.common.specs import Limit, Location, Name, PositiveWhole, Real, Seed, Spec, as_list, off_as_none


def _sides(value: Any) -> Any:
    """One number is the side of a square."""
    sides = as_list(value)
    if len(sides) == 1 and not isinstance(value, list | tuple):
        sides = sides * 2
    if len(sides) != 2:
        raise ValueError("should be one number of pixels or [height, width]")
    return sides


class DatasetSpec(Spec):
    """Which images: what all kinds share. Every field but ``path`` is part of a run's identity."""

    train_images: Limit = Field(None, description="Take only this many training images.")
    test_images: Limit = Field(None, description="Take only this many test images.")


class Digits(DatasetSpec):
    """scikit-learn's digits; they need no files."""

    kind: Literal["digits"]


class Published(DatasetSpec):
    """A published dataset, fetched and checked by its checksums."""

    kind: Literal["fashion_mnist", "mnist", "cifar10"]
    path: Location | None = Field(None, description="Folder that already holds the dataset's files.")


class OwnImages(DatasetSpec):
    """Images of the user's own. ``path`` is needed to prepare them; a run, which does not locate its data, has none."""

    path: Location | None = Field(None, description="Where they are; relative to the folder in which Snakemake runs.")
    test_fraction: Annotated[Real, Field(gt=0, lt=1)] = Field(
        0.2, description="Share of every class held out for testing, where the data bring no test images."
    )
    split_seed: Seed = Field(0, description="Seed of that split, the same for all runs.")


class ImageFolder(OwnImages):
    """``train/<class>/*`` and, if there, ``test/<class>/*``: PNG, JPEG, WebP, BMP, GIF and TIFF files of any size."""

    kind: Literal["image_folder"]
    image_size: Annotated[tuple[PositiveWhole, PositiveWhole], BeforeValidator(_sides)] = Field(
        description="Side of the square images in pixels, or [height, width]; other sizes are cropped and resized."
    )
    colour: Literal["rgb", "grey"] = Field("rgb", description="Three channels or one.")
    classes: Annotated[PositiveWhole | None, BeforeValidator(off_as_none)] = Field(
        None, description="How many; counted in the folder when absent."
    )
    unreadable: Literal["fail", "exclude"] = Field(
        "fail", description="Whether an image that cannot be used ends the preparation, or is left out and named."
    )

    @property
    def channels(self) -> int:
        return 3 if self.colour == "rgb" else 1


class Npz(OwnImages):
    """A NumPy file with x_train, y_train and, if there, x_test, y_test."""

    kind: Literal["npz"]
    classes: Annotated[Annotated[tuple[Name, ...], Field(min_length=2)] | None, BeforeValidator(off_as_none)] = Field(
        None, description="Names of the classes, in the order of the labels; 0, 1, ... when absent."
    )
    input_shape: Annotated[tuple[PositiveWhole, PositiveWhole, PositiveWhole] | None, BeforeValidator(off_as_none)] = (
        Field(None, description="[height, width, channels]; read from the file when absent.")
    )


Dataset = Annotated[Digits | Published | ImageFolder | Npz, Field(discriminator="kind")]
