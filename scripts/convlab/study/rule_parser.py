"""Grammar and parser of claims' rules. Nothing of a config is ever executed as code.

::

    rule       =  sum relation sum {relation sum}   |   sum "~" sum "±" sum
    relation   =  "<"  |  "<="  |  "=="  |  ">="  |  ">"            also written ≤ and ≥
    sum        =  product {("+" | "-") product}                     also −
    product    =  factor {("*" | "/") factor}                       also × · ÷
    factor     =  "-" factor  |  number ["%" | "pp"]  |  quantity  |  "(" sum ")"
    quantity   =  name ["(" argument {"," argument} ")"] "(" variant ["," dataset] ")"

``~`` is also written ≈, and ``±`` also ``+-`` or ``+/-``. Names of variants hold ``-``, ``.`` and digits, so that
between a quantity's parentheses everything up to a comma or the end is a name. Quantities with arguments are what
probes measure, such as ``accuracy_under(noise, 3)(cnn)``; all of them are shares of the test images. ``90 %`` is 0.9,
``0.5 pp`` is 0.005. Numbers are fractions: nothing is rounded before a comparison.

Imported by the config, and so by the Snakefile: standard library only.
"""

import re
from fractions import Fraction
from typing import Literal, NamedTuple

from convlab.study.rules import Link, Negative, Number, Operation, Quantity, Rule, Tree, evaluate, quantities

MAX_LENGTH = 500  # characters of a rule
MAX_DEPTH = 20  # parentheses and signs within each other
MAX_OPERATIONS = 60  # of a whole rule, which bounds the depth of its tree
MAX_DIGITS = 20  # of a number
MAX_EXPONENT = 30  # of a number: 10 to the power of a hostile exponent would fill the memory


class RuleError(ValueError):
    """Invalid rule; ``position`` counts characters from 1. The message completes "character 7: ..."."""

    def __init__(self, position: int, message: str) -> None:
        super().__init__(message)
        self.position = position


class _Token(NamedTuple):
    kind: Literal["number", "quantity", "word", "symbol", "end"]
    text: str
    start: int
    end: int


_TOKEN = re.compile(
    r"""(?P<number> (?: [0-9]+ \.? [0-9]* | \.[0-9]+ ) (?: [eE] [+-]? [0-9]+ )? )
      | (?P<quantity> [A-Za-z_] [A-Za-z0-9_]* (?: \s* \( [^()]* \) ){1,2} )
      | (?P<word> [A-Za-z_] [A-Za-z0-9_]* )
      | (?P<symbol> <= | >= | == | \+/- | \+- | [-+*/()<>~%±×·÷−≤≥≈] )""",
    re.VERBOSE,
)
_SPELLINGS = {"−": "-", "×": "*", "·": "*", "÷": "/", "≤": "<=", "≥": ">=", "≈": "~", "+-": "±", "+/-": "±"}
_RELATIONS = ("<", "<=", "==", ">=", ">")
_HINTS = {
    "=": "; equality is written ==",
    "!": "; a rule says what holds: use <, <=, ==, >=, > or ~",
    "≠": "; a rule says what holds: use <, <=, ==, >=, > or ~",
    ",": "; numbers are written without separators: 220234",
    "^": "; there are no powers",
}


def parse(text: str) -> Rule:
    """A rule as a tree. Names of quantities, variants and datasets are left to the caller, who knows them.

    Raises:
        RuleError: invalid rule, with the position and what was expected.
    """
    if len(text) > MAX_LENGTH:
        raise RuleError(MAX_LENGTH + 1, f"a rule has {MAX_LENGTH} characters at most, this one has {len(text)}")
    return _Parser(text).rule()


def _tokens(text: str) -> list[_Token]:
    tokens, position = [], 0
    while True:
        while position < len(text) and text[position].isspace():
            position += 1
        if position == len(text):
            return [*tokens, _Token("end", "", position, position)]
        match = _TOKEN.match(text, position)
        if not match:
            character = text[position]
            raise RuleError(position + 1, f"{character!r} has no meaning in a rule{_HINTS.get(character, '')}")
        tokens.append(_Token(match.lastgroup, match[0], match.start(), match.end()))
        position = match.end()


class _Parser:
    """Recursive descent: one method for each line of the grammar."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.tokens = _tokens(text)
        self.index = 0
        self.depth = 0
        self.operations = 0

    @property
    def next(self) -> _Token:
        return self.tokens[self.index]

    def symbol(self) -> str | None:
        """The next symbol in its plain spelling, or None."""
        token = self.next
        return _SPELLINGS.get(token.text, token.text) if token.kind == "symbol" else None

    def take(self) -> _Token:
        self.index += 1
        return self.tokens[self.index - 1]

    def fail(self, expected: str) -> RuleError:
        token = self.next
        actual = "the rule ends" if token.kind == "end" else f"found {_shortened(token.text)}"
        hint = "; with a space, + -, it adds a negative number" if token.text == "+-" else ""
        return RuleError(token.start + 1, f"expected {expected}, but {actual}{hint}")

    def count(self) -> None:
        self.operations += 1
        if self.operations > MAX_OPERATIONS:
            raise RuleError(self.next.start + 1, f"a rule has {MAX_OPERATIONS} operations and comparisons at most")

    def rule(self) -> Rule:
        left, left_text = self.side()
        position = self.next.start + 1
        if self.symbol() == "~":
            self.take()
            right, right_text = self.side()
            limited = [*quantities(left), *quantities(right)]
            links = [Link("~", left, right, self.tolerance(limited), left_text, right_text, position)]
            if self.symbol() in (*_RELATIONS, "~"):
                raise RuleError(self.next.start + 1, "an approximate value (~) stands alone; make a second claim")
        else:
            links = []
            while self.symbol() in _RELATIONS:
                position, relation = self.next.start + 1, self.symbol()
                self.count()
                self.take()
                right, right_text = self.side()
                links.append(Link(relation, left, right, None, left_text, right_text, position))
                left, left_text = right, right_text
            if self.symbol() == "~":
                raise RuleError(self.next.start + 1, "an approximate value (~) stands alone; make a second claim")
            if not links:
                raise self.fail("a comparison (<, <=, ==, >=, > or ~) or an operation")
        if self.next.kind != "end":
            raise self.fail("an operation or the end of the rule")
        return Rule(" ".join(self.text.split()), tuple(links))

    def tolerance(self, limited: list[Quantity]) -> Fraction:
        """The tolerance after ``±``; ``limited`` are the quantities that it applies to."""
        if self.symbol() != "±":
            raise self.fail("± and a tolerance")
        self.take()
        first, position = self.index, self.next.start + 1
        tree, _ = self.side()
        if any(quantities(tree)):
            raise RuleError(position, "the tolerance should be a number, without quantities")
        value = evaluate(tree, Fraction)
        if value <= 0:
            raise RuleError(position, "the tolerance should be more than 0")
        # "94000 ± 5 %" would mean ± 0.05 parameters, which nobody means.
        in_percent = any(token.text in ("%", "pp") for token in self.tokens[first : self.index])
        for quantity in limited:
            if in_percent and not quantity.is_share:
                raise RuleError(position, f"a tolerance of {quantity.name} cannot be in %; write the number itself")
        return value

    def side(self) -> tuple[Tree, str]:
        """A sum, and its text."""
        start = self.next.start
        tree = self.sum()
        return tree, " ".join(self.text[start : self.tokens[self.index - 1].end].split())

    def sum(self) -> Tree:
        tree = self.product()
        while self.symbol() in ("+", "-"):
            operator = self.symbol()
            self.count()
            self.take()
            tree = Operation(operator, tree, self.product())
        return tree

    def product(self) -> Tree:
        tree = self.factor()
        while self.symbol() in ("*", "/"):
            operator, position = self.symbol(), self.next.start + 1
            self.count()
            self.take()
            right = self.factor()
            if operator == "/" and not any(quantities(right)) and evaluate(right, Fraction) == 0:
                raise RuleError(position, "divides by zero")
            tree = Operation(operator, tree, right)
        return tree

    def factor(self) -> Tree:
        token = self.next
        if token.kind == "number":
            return self.number()
        if token.kind == "quantity":
            return self.quantity()
        if token.kind == "word":
            if self.tokens[self.index + 1].text == "(":
                raise RuleError(token.start + 1, f"expected ')' after {_shortened(token.text)} and its variant")
            raise self.fail("a number or a quantity of a variant such as test_accuracy(cnn)")
        if self.symbol() not in ("-", "("):
            raise self.fail("a number, a quantity such as test_accuracy(cnn), or '('")
        self.depth += 1
        if self.depth > MAX_DEPTH:
            raise RuleError(token.start + 1, f"parentheses and signs are nested {MAX_DEPTH} deep at most")
        if self.symbol() == "-":
            self.take()
            tree = Negative(self.factor())
        else:
            self.take()
            tree = self.sum()
            if self.symbol() != ")":
                raise self.fail("')' or an operation")
            self.take()
        self.depth -= 1
        return tree

    def number(self) -> Number:
        token = self.take()
        digits, _, exponent = token.text.lower().partition("e")
        if len(digits) > MAX_DIGITS or (exponent and (len(exponent) > 4 or abs(int(exponent)) > MAX_EXPONENT)):
            raise RuleError(
                token.start + 1,
                f"a number has {MAX_DIGITS} digits and an exponent within ±{MAX_EXPONENT} at most",
            )
        value = Fraction(token.text)
        if self.next.text in ("%", "pp"):
            self.take()
            return Number(value / 100)
        return Number(value)

    def quantity(self) -> Quantity:
        token = self.take()
        name, *groups = (part.strip().rstrip(")").rstrip() for part in token.text.split("("))
        *arguments, names = ([part.strip() for part in group.split(",")] for group in groups)
        shown = f"{name}({', '.join(arguments[0])})" if arguments else name
        if not all(part for group in arguments for part in group):
            raise RuleError(token.start + 1, f"an argument of {name} is empty; write it, such as (noise, 3)")
        if not names[0]:
            raise RuleError(token.start + 1, f"{shown} of what? Write a variant between the parentheses")
        if len(names) > 2 or not names[-1]:
            raise RuleError(token.start + 1, f"expected {shown}(variant) or {shown}(variant, dataset)")
        dataset = names[1] if len(names) == 2 else None
        return Quantity(name, names[0], dataset, token.start + 1, tuple(arguments[0]) if arguments else ())


def _shortened(text: str) -> str:
    return repr(text if len(text) <= 60 else f"{text[:57]}...")
