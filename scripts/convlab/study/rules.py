"""Claims' rules as trees: quantities, what is exact and what is measured, units, values.

Numbers are fractions: nothing is rounded before a comparison. ``study.rule_parser`` reads a rule. Imported by the
config, and so by the Snakefile: standard library only. ``convlab.language.claims`` decides claims.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from fractions import Fraction
from typing import Any, Literal

EXACT = ("parameters", "macs", "receptive_field")
"""Quantities that follow from the architecture: whole numbers, known before anything is trained."""

MEASURED = (
    "test_accuracy", "test_loss", "val_accuracy", "ece", "brier", "train_seconds", "seconds_per_epoch", "latency_ms",
    "best_epoch", "balanced_accuracy", "macro_f1", "auroc",
)  # fmt: skip
"""Quantities that every run measures."""

TIMES = ("train_seconds", "seconds_per_epoch", "latency_ms")
"""Measured quantities of which runs decide no claim, since another seed does not repeat the state of the machine; times
that `make timing` measures side by side do."""

UNITS = {
    "test_accuracy": "%",
    "val_accuracy": "%",
    "balanced_accuracy": "%",
    "macro_f1": "%",
    "auroc": "%",
    "train_seconds": "s",
    "seconds_per_epoch": "s",
    "latency_ms": "ms",
}
SHARES = ("test_accuracy", "val_accuracy", "ece", "balanced_accuracy", "macro_f1", "auroc")
"""Quantities of every run that a tolerance in percent can belong to; those of probes are shares too."""

Relation = Literal["<", "<=", "==", ">=", ">", "~"]
FLIPPED: dict[str, Relation] = {"<": ">", "<=": ">=", "==": "==", ">=": "<=", ">": "<", "~": "~"}
"""``a < b`` is ``b > a``."""


# Positions and spellings are no part of what a rule means, so they do not count when trees are compared.


@dataclass(frozen=True)
class Number:
    """A constant."""

    value: Fraction


@dataclass(frozen=True)
class Quantity:
    """A property or metric of a variant.

    Attributes:
        dataset: None for the claim's own dataset.
        arguments: of what a probe measures, as they are written; empty for what every run has.
        probe: the probe that measures it, and ``measured_with`` what of its settings it depends on, as canonical JSON;
            both are empty until ``study.expand`` has looked them up.
    """

    name: str
    variant: str
    dataset: str | None = None
    position: int = field(default=0, compare=False)
    arguments: tuple[str, ...] = ()
    probe: str = ""
    measured_with: str = ""

    @property
    def spelling(self) -> str:
        """Name and arguments, without the variant: ``accuracy_under(noise, 3)``."""
        return f"{self.name}({', '.join(self.arguments)})" if self.arguments else self.name

    @property
    def measured(self) -> bool:
        """Whether it is measured, not exact."""
        return self.name not in EXACT

    @property
    def unit(self) -> str:
        """Unit of its values, empty for a number without one; ``%`` for a share."""
        return "%" if self.arguments else UNITS.get(self.name, "")

    @property
    def is_share(self) -> bool:
        """Whether its values are fractions between 0 and 1."""
        return bool(self.arguments) or self.name in SHARES


@dataclass(frozen=True)
class Negative:
    operand: "Tree"


@dataclass(frozen=True)
class Operation:
    operator: Literal["+", "-", "*", "/"]
    left: "Tree"
    right: "Tree"


Tree = Number | Quantity | Negative | Operation


@dataclass(frozen=True)
class Link:
    """One comparison; ``tolerance`` belongs to ``~`` only. The texts are the two sides as they were written."""

    relation: Relation
    left: Tree
    right: Tree
    tolerance: Fraction | None = None
    left_text: str = field(default="", compare=False)
    right_text: str = field(default="", compare=False)
    position: int = field(default=1, compare=False)

    @property
    def quantities(self) -> list["Quantity"]:
        return [*quantities(self.left), *quantities(self.right)]

    @property
    def exact(self) -> bool:
        """Whether it can be decided without training."""
        return is_exact(self.left) and is_exact(self.right)


@dataclass(frozen=True)
class Rule:
    """A rule holds if all its links hold; ``a < b < c`` has two."""

    text: str = field(compare=False)
    links: tuple[Link, ...]

    @property
    def quantities(self) -> list[Quantity]:
        return [quantity for link in self.links for quantity in link.quantities]

    @property
    def exact(self) -> bool:
        return all(link.exact for link in self.links)


def quantities(tree: Tree) -> Iterator[Quantity]:
    """Every quantity of a tree, from left to right."""
    if isinstance(tree, Quantity):
        yield tree
    elif isinstance(tree, Negative):
        yield from quantities(tree.operand)
    elif isinstance(tree, Operation):
        yield from quantities(tree.left)
        yield from quantities(tree.right)


def measures_only_times(rule: Rule) -> bool:
    """Whether all that a rule measures are times, which `make timing` can measure side by side."""
    measured = [quantity.name for quantity in rule.quantities if quantity.measured]
    return bool(measured) and set(measured) <= set(TIMES)


def is_exact(tree: Tree) -> bool:
    """Whether a tree has no measured quantities."""
    return not any(quantity.measured for quantity in quantities(tree))


def evaluate(tree: Tree, value_of: Callable[[Quantity], Any], number: Callable[[Fraction], Any] = Fraction) -> Any:
    """The value of a tree.

    Args:
        value_of: value of a quantity: a whole number or Fraction for exact results, or an array over seeds.
        number: what a constant becomes; a Fraction keeps it exact.

    Raises:
        ZeroDivisionError: a denominator is zero, if the types of ``value_of`` and ``number`` raise it.
    """
    if isinstance(tree, Number):
        return number(tree.value)
    if isinstance(tree, Quantity):
        return value_of(tree)
    if isinstance(tree, Negative):
        return -evaluate(tree.operand, value_of, number)
    left, right = evaluate(tree.left, value_of, number), evaluate(tree.right, value_of, number)
    if tree.operator == "+":
        return left + right
    if tree.operator == "-":
        return left - right
    return left * right if tree.operator == "*" else left / right


def replaced(rule: Rule, replacement: Callable[[Quantity], Quantity]) -> Rule:
    """The rule with every quantity replaced."""

    def change(tree: Tree) -> Tree:
        if isinstance(tree, Quantity):
            return replacement(tree)
        if isinstance(tree, Negative):
            return Negative(change(tree.operand))
        if isinstance(tree, Operation):
            return Operation(tree.operator, change(tree.left), change(tree.right))
        return tree

    return replace(
        rule, links=tuple(replace(link, left=change(link.left), right=change(link.right)) for link in rule.links)
    )


def unit(tree: Tree) -> str:
    """Unit of a tree's value: ``%`` for an accuracy, ``pp`` for a difference of accuracies, ``s``, ``ms``, or empty."""
    unit = _unit(tree)
    return unit or ""


def _unit(tree: Tree) -> str | None:
    """As :func:`unit`; None for a constant, which takes the unit of what it is added to."""
    if isinstance(tree, Number):
        return None
    if isinstance(tree, Quantity):
        return tree.unit
    if isinstance(tree, Negative):
        return difference(_unit(tree.operand))
    left, right = _unit(tree.left), _unit(tree.right)
    if tree.operator in ("+", "-"):
        units = {left, right} - {None}
        if len(units) != 1:
            return None if not units else "pp" if units == {"%", "pp"} else ""
        return difference(*units) if tree.operator == "-" else units.pop()
    if right is None:
        return left
    return right if left is None and tree.operator == "*" else ""


def difference(unit: str | None) -> str | None:
    """The unit of a difference of two values."""
    return "pp" if unit == "%" else unit
