"""Settings of the corruption probe. The Snakefile imports it: pydantic and the standard library only."""

from collections.abc import Callable, Mapping, Sequence
from typing import Annotated, Any, ClassVar, Literal

from pydantic import AfterValidator, BeforeValidator, Field

from convlab.common.i18n import N_, number
from convlab.common.i18n import gettext as _
from convlab.common.specs import PositiveWhole, Whole, as_list
from convlab.common.text import listing, nearest
from convlab.errors import UserError
from convlab.probes.specs import ProbeSettings, Variants
from convlab.training.recipe import Training

SEVERITIES = 5

KINDS = {
    "gaussian_noise": N_("Gaussian noise"),
    "shot_noise": N_("shot noise"),
    "impulse_noise": N_("impulse noise"),
    "gaussian_blur": N_("Gaussian blur"),
    "contrast": N_("contrast"),
    "brightness": N_("brightness"),
    "jpeg_compression": N_("JPEG"),
    "rotation": N_("rotation"),
    "shear": N_("shear"),
    "inversion": N_("inversion"),
    "horizontal_flip": N_("horizontal flip"),
    "vertical_flip": N_("vertical flip"),
}
"""Every kind of corruption with its label; a level's ``order`` has its position, from 1."""

WITHOUT_DEGREES = ("inversion", "horizontal_flip", "vertical_flip")
"""Kinds of one severity, 1."""

GROUPS = {"noise": ("gaussian_noise", "shot_noise", "impulse_noise")}
"""Names by which a claim asks for the mean over several kinds."""

SMALLEST_SIDE_PIXELS = 4
"""In less there is nothing to blur or to turn."""

IMAGES = 500
"""The default: 8 s of CPU for three seeds of a CNN of the default study (28×28 pixels) on one core."""

CLEAN_ORDER, ALL_ORDER = 0, -1
"""Orders of the levels that are no kind: the images as they are, and the mean over all kinds."""


def order_of(kind: str, severity: int = 0) -> int:
    """A level's position: 10 for each kind plus the severity, which is 0 for the kind as a whole."""
    return 10 * (list(KINDS).index(kind) + 1) + severity


def kind_and_severity(order: float) -> tuple[str, int]:
    """What :func:`order_of` was made from."""
    position, severity = divmod(int(order), 10)
    return list(KINDS)[position - 1], severity


def seen_in_training(training: Training) -> list[str]:
    """Kinds whose like is among the changes that augmentation makes of the training images."""
    augmentation = training.augmentation
    if augmentation is None:
        return []
    flips = {"horizontal": ["horizontal_flip"], "vertical": ["vertical_flip"]}
    flips["both"] = flips["horizontal"] + flips["vertical"]
    return [*(["rotation"] if augmentation.rotation else []), *flips.get(augmentation.flip, [])]


def _once_in_order(values: tuple) -> tuple:
    """Each value once, kinds in the order of ``KINDS`` and severities ascending, so that spellings are equal."""
    return tuple(sorted(set(values), key=lambda value: order_of(value) if value in KINDS else value))


KindName = Literal[*KINDS]
Severity = Annotated[Whole, Field(ge=1, le=SEVERITIES)]
Several = (BeforeValidator(as_list), Field(min_length=1), AfterValidator(_once_in_order))


class Corruption(ProbeSettings):
    """Corrupt the test images, without training again: noise, blur, contrast, JPEG, rotation and more, by severity."""

    order = 6
    label = N_("corruption")
    looks_inside = True  # for its example images
    compares_levels = True
    claim_measures: ClassVar[Mapping[str, str]] = {"accuracy_under": "accuracy_under(kind, severity)"}

    kinds: Annotated[tuple[KindName, ...], *Several] = Field(tuple(KINDS), description="Kinds of corruption.")
    severities: Annotated[tuple[Severity, ...], *Several] = Field(
        tuple(range(1, SEVERITIES + 1)),
        description="Severities, from 1 to 5; inversion and flips have no degrees and are measured once.",
    )
    images: PositiveWhole = Field(
        IMAGES,
        description="Test images that are corrupted, a fixed draw in the classes' proportions; with the default all, "
        "where there are fewer.",
    )
    fill: Literal["black", "edge"] = Field(
        "black", description="What rotation and shear leave empty: black, or the nearest pixel of the edge."
    )
    models: Variants = None

    @staticmethod
    def level_label(order: float) -> str:
        if order == ALL_ORDER:
            return _("all kinds")
        if order == CLEAN_ORDER:
            return _("clean")
        kind, severity = kind_and_severity(order)
        if not severity or kind in WITHOUT_DEGREES:
            return _(KINDS[kind])
        return _("{kind}, severity {severity}", kind=_(KINDS[kind]), severity=number(severity, "d"))

    @staticmethod
    def level_order(level: str) -> float:
        return order_of(level)

    def check_images(self, dataset: str, height: int, width: int) -> None:
        if min(height, width) < SMALLEST_SIDE_PIXELS:
            raise UserError(
                f"probes.corruption cannot blur or turn images of {dataset} ({height}×{width} pixels); it needs "
                f"{SMALLEST_SIDE_PIXELS} pixels along each side, so switch it off"
            )

    @property
    def test_images_needed(self) -> int | None:
        return None if self.images == IMAGES else self.images

    @property
    def passes(self) -> int:
        return 1 + sum(len(self.severities_of(kind)) for kind in self.kinds)

    def severities_of(self, kind: str) -> tuple[int, ...]:
        """The severities at which a kind is measured."""
        return (1,) if kind in WITHOUT_DEGREES else self.severities

    def measured_for_claim(self, name: str, arguments: Sequence[str]) -> dict[str, Any]:
        kind, *rest = arguments
        kinds = GROUPS.get(kind, (kind,))
        if unknown := [name for name in kinds if name not in KINDS]:
            known = (*GROUPS, *KINDS)
            raise ValueError(
                f"{unknown[0]!r} is no kind of corruption{nearest(unknown[0], known)}; there are {listing(known)}"
            )
        if off := [name for name in kinds if name not in self.kinds]:
            raise ValueError(f"probes.corruption does not measure {listing(off)}; add to probes.corruption.kinds")
        if kind in WITHOUT_DEGREES and not rest:
            rest = ["1"]
        if len(rest) != 1:
            raise ValueError(f"accuracy_under takes a kind and a severity; write accuracy_under({kind}, 3)(variant)")
        severities = self.severities_of(kind)
        if rest[0] not in map(str, severities):
            raise ValueError(
                f"probes.corruption measures {kind} at severity {listing(map(str, severities))}, not {rest[0]}"
            )
        filled = {"fill": self.fill} if {"rotation", "shear"} & set(kinds) else {}
        return {"kinds": list(kinds), "severity": int(rest[0]), "images": self.images, **filled}

    def reduced(self, orders: Sequence[float], images: int, steps: int, named: Callable[[str], bool]) -> dict[str, Any]:
        return {"images": min(self.images, IMAGES)}


SETTINGS = Corruption
