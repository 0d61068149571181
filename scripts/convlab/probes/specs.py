"""Base class of the probes' settings. The Snakefile imports it: pydantic and the standard library only."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar

from pydantic import AfterValidator, Field

from convlab.common.specs import Name, Spec
from convlab.models.specs import BaseModelSpec

Names = Annotated[tuple[Name, ...], Field(min_length=1), AfterValidator(lambda names: tuple(dict.fromkeys(names)))]
"""Names of models or variants, each once: what is measured twice would count twice."""

Models = Annotated[Names | None, Field(description="Models to probe; those of the comparisons when absent.")]
"""Type of the field ``models``, for probes that are about some models only."""

Variants = Annotated[
    Names | None,
    Field(description="Variants to probe, levels of experiments too; all that the study compares when absent."),
]
"""Type of the field ``models``, for probes that compare levels."""


@dataclass(frozen=True)
class TrainedLevel:
    """A level at which a probe trains each of its models again.

    Attributes:
        slug: end of the variant's name, which is a folder's: ``shuffled-2`` makes ``cnn-shuffled-2``.
        order: where the level stands on an axis: block side, number of images; infinite for what is left whole.
        training: the fields of ``training`` that are other than in the model's own runs.
    """

    slug: str
    order: float
    training: dict[str, Any]


class ProbeSettings(Spec):
    """What a user sets of a probe in ``config.yaml``, and what has to be known of it before any job runs.

    Subclasses declare the config keys as fields, and replace what differs of the methods.
    """

    order: ClassVar[int] = 100
    """Position among the probes, in tables and in the report; those without one follow, by name."""
    label: ClassVar[str]
    """How the probe's name reads in printed tables, before translation."""
    looks_inside: ClassVar[bool] = False
    """Whether its ``measure.py`` defines ``inspect``, which is given the networks of a variant, and not ``measure``."""
    compares_levels: ClassVar[bool] = False
    """Whether it is about every variant that the study compares, levels of experiments too, and not about models."""

    claim_measures: ClassVar[Mapping[str, str]] = {}
    """Quantities that rules of claims may ask for, by name, and how each is written before its variant:
    ``{"accuracy_under": "accuracy_under(kind, severity)"}``. Each has arguments and is a share of the test images of
    which more is better; ``table.claim_values`` gives its value of every run."""

    @staticmethod
    def level_label(order: float) -> str:
        """How a level of the curves reads, in the language in use."""
        return f"{order:g} px"

    @staticmethod
    def level_order(level: str) -> float | None:
        """The order of a level by its name in contrasts, for a probe that does not train; None for one that is printed
        by its name, such as a layer."""
        return None

    def levels(self, images_to_train_on: Callable[[], int | None]) -> list[TrainedLevel]:
        """The levels at which models are trained, in the order of the tables; none for a probe that does not train.

        Args:
            images_to_train_on: the most images that every dataset of the study leaves to train on; None where that is
                not known. Counting a user's own images takes time, so it is called where it matters only.

        Raises:
            UserError: these settings are not possible.
        """
        return []

    def check_models(self, models: Mapping[str, BaseModelSpec]) -> None:
        """Raise UserError where none of the models that are probed, by variant, can be measured."""

    def check_images(self, dataset: str, height: int, width: int) -> None:
        """Raise UserError where a dataset's images, of that many pixels, do not allow these settings."""

    @property
    def test_images_needed(self) -> int | None:
        """The number of test images that ``images`` asks for; None where any number will do."""
        return None

    def measured_for_claim(self, name: str, arguments: Sequence[str]) -> dict[str, Any]:
        """What of these settings a quantity of a claim depends on, plain JSON types; it is registered with the claim.

        Args:
            name: a key of ``claim_measures``; ``arguments`` are as the rule has them.

        Raises:
            ValueError: these settings do not measure it; the message completes "character 7 of its rule: ...".
        """
        raise NotImplementedError

    def train_size_advice(self, most: int) -> str:
        """What to write where a level asks for more than the ``most`` images that there are; empty for the usual."""
        return ""

    @property
    def passes(self) -> int:
        """How often ``measure`` sends the test images through a model, about: a scheduler's time limit follows."""
        return 1

    def reduced(self, orders: Sequence[float], images: int, steps: int, named: Callable[[str], bool]) -> dict[str, Any]:
        """Settings that take less time, for ``make quick``; those that stay as they are may be left out.

        Args:
            orders: of this probe's levels.
            images: how many there are to train on in the reduced study.
            steps: the most optimizer steps of a run.
            named: whether claims, comparisons or ``deploy`` name a variant of the level with this slug.
        """
        return {}


class NoSettings(ProbeSettings):
    """A probe without settings."""
