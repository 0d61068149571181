"""Registration: what is confirmatory in a study, fixed before its first run, in a form that renaming does not change.

Entries are claims (a rule on its datasets), questions (a reference and its variants, on a dataset), seeds, statistics
(ROPE, metric), the rule by which the exported model is chosen, and the search of tuning. Variants and datasets stand in
them as digests of what they train and of which images they take, so that names, labels, texts and the order of keys
change nothing, while another number of epochs changes every entry that it affects. The Snakefile imports it: standard
library only.
"""

import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Literal

from convlab.common.specs import canonical_json, normalised
from convlab.study.experiments import variant_identity
from convlab.study.rules import FLIPPED, TIMES, Link, Negative, Number, Quantity, Rule, Tree
from convlab.study.schema import Study

FORMAT = 1
"""Version of the canonical form; a registration of another one cannot be compared with a study."""

Kind = Literal["claim", "question", "seeds", "statistics", "choice", "tuning"]
Status = Literal["registered", "changed", "added"]

OF_ALL_VERDICTS = ("seeds", "statistics")
"""Kinds of entries that every verdict of a study depends on."""

DIGEST_CHARS = 16


@dataclass(frozen=True)
class Entry:
    """One thing that is registered.

    Attributes:
        name, dataset: what the config calls it, for people; empty where a study has only one. No part of ``digest``.
        content: plain JSON types, without names.
        decided_by: (dataset, variant) of the runs that decide it; empty where no single runs do.
        tested: whether it counts in the confirmatory family: it has a p value if enough runs finish.
    """

    kind: Kind
    name: str
    dataset: str
    content: Any
    decided_by: tuple[tuple[str, str], ...] = ()
    tested: bool = False

    @cached_property
    def digest(self) -> str:
        """First hexadecimal digits of the SHA-256 of kind and content."""
        return _digest([self.kind, self.content])

    @property
    def label(self) -> dict[str, Any]:
        """What a registration keeps of an entry beside its content."""
        return {"kind": self.kind, "name": self.name, "dataset": self.dataset, "tested": self.tested}


@dataclass(frozen=True)
class Registration:
    """What a study has fixed at one time: before its runs, or by an amendment after some.

    Attributes:
        content: canonical content of all entries, see :func:`content`.
        labels: what the entries are called, by digest.
        time: UTC, ISO 8601.
        commit: of convlab's checkout, as ``common.provenance.commit`` gives it.
        looks: analyses that had seen test results by then.
        runs_known: finished runs that were known by then, by digest of the entry; entries without any are left out.
    """

    content: Mapping[str, Any]
    labels: Mapping[str, Mapping[str, Any]]
    time: str
    commit: Mapping[str, Any] | None = None
    looks: int = 0
    runs_known: Mapping[str, int] = field(default_factory=dict)

    @cached_property
    def sha256(self) -> str:
        """SHA-256 of the canonical JSON of ``content``: what a preregistration cites."""
        return sha256(self.content)


def sha256(value: Any) -> str:
    """SHA-256 of a value's canonical JSON, 64 hexadecimal digits."""
    return hashlib.sha256(canonical_json(value).encode()).hexdigest()


def _digest(value: Any) -> str:
    return sha256(value)[:DIGEST_CHARS]


# ---------------------------------------------------------------------------------------------------------------------
# Entries of a study


def entries(study: Study) -> list[Entry]:
    """Everything of a study that is registered, in the order of the config."""
    names = _Names(study)
    return [*_claims(study, names), *_questions(study, names), *_settings(study, names)]


def content(study: Study) -> dict[str, Any]:
    """All that is registered of a study: the entries' content, sorted, and what their digests of variants and datasets
    stand for. Plain JSON types in canonical form: any JSON writer with sorted keys gives the registered text."""
    names, listed = _Names(study), entries(study)

    def of_kind(kind: Kind) -> list[Any]:
        return [entry.content for entry in sorted(listed, key=lambda entry: entry.digest) if entry.kind == kind]

    used = {variant for entry in listed for _, variant in entry.decided_by} | set(study.plan.candidates)
    return normalised(
        {
            "format": FORMAT,
            "claims": of_kind("claim"),
            "questions": of_kind("question"),
            **{kind: of_kind(kind)[0] for kind in ("seeds", "statistics", "choice")},
            **({"tuning": of_kind("tuning")[0]} if study.tuning else {}),
            "datasets": {names.datasets[name]: names.dataset_content[name] for name in sorted(study.datasets)},
            "variants": {names.variants[name]: names.variant_content(name) for name in sorted(used)},
        }
    )


class _Names:
    """Digests of a study's variants and datasets, by name."""

    def __init__(self, study: Study) -> None:
        self.study = study
        self.variants = {
            name: hashlib.sha256(variant_identity(variant.model, variant.training).encode()).hexdigest()[:DIGEST_CHARS]
            for name, variant in study.plan.variants.items()
        }
        # As in a run's identity a path only locates, unless it is all that tells two datasets apart.
        alike: dict[str, list[str]] = {}
        specs = {name: spec.identity for name, spec in study.datasets.items()}
        for name, spec in specs.items():
            alike.setdefault(canonical_json(spec), []).append(name)
        self.dataset_content = {
            name: spec
            | ({"path": getattr(study.datasets[name], "path", None)} if len(alike[canonical_json(spec)]) > 1 else {})
            for name, spec in specs.items()
        }
        self.datasets = {name: _digest(spec) for name, spec in self.dataset_content.items()}

    def variant_content(self, name: str) -> dict[str, Any]:
        variant = self.study.plan.variants[name]
        return {"model": variant.model.identity, "training": variant.training.model_dump(mode="json")}


def _claims(study: Study, names: _Names) -> Iterator[Entry]:
    for claim in study.plan.claims.values():
        measured = {quantity.name for quantity in claim.rule.quantities if quantity.measured}
        for dataset in claim.datasets:
            # A claim whose quantities all name their dataset is decided once, and none of them needs this one.
            own = study.datasets.keys() & {dataset}
            decided_by = {(quantity.dataset or dataset, quantity.variant) for quantity in claim.rule.quantities}
            yield Entry(
                "claim",
                claim.id,
                dataset,
                {
                    "dataset": names.datasets[dataset] if own else None,
                    "published": _one_line(claim.published),
                    "rule": _rule_content(claim.rule, names),
                },
                tuple(sorted(decided_by)),
                tested=bool(measured) and measured.isdisjoint(TIMES),
            )


def _questions(study: Study, names: _Names) -> Iterator[Entry]:
    for question in study.plan.questions.values():
        for dataset in study.datasets:
            yield Entry(
                "question",
                question.name,
                dataset,
                {
                    "dataset": names.datasets[dataset],
                    "reference": names.variants[question.reference],
                    "variants": sorted(names.variants[name] for name in question.variants),
                },
                tuple(sorted((dataset, name) for name in (question.reference, *question.variants))),
                tested=True,
            )


def _settings(study: Study, names: _Names) -> Iterator[Entry]:
    """Seeds, statistics, the rule of choice and, if there is any, the search of tuning: one entry each."""
    candidates = sorted(names.variants[name] for name in study.plan.candidates)
    choice = {"named": candidates[0]} if study.deploy.variant else {"best_validation_accuracy_of": candidates}
    yield Entry("seeds", "", "", _seeds_content(study))
    yield Entry("statistics", "", "", study.statistics.model_dump(mode="json"))
    yield Entry("choice", "", "", choice)
    if study.tuning:  # no verdict of a question or claim depends on it
        yield Entry("tuning", "", "", study.tuning.model_dump(mode="json"))


def _seeds_content(study: Study) -> Any:
    """The seeds as the config has them, with the plan by which more may come; when a run pauses decides nothing."""
    written = study.model_dump(mode="json", include={"seeds"})["seeds"]
    return {key: value for key, value in written.items() if key != "pause"} if isinstance(written, dict) else written


def _one_line(published: Any) -> Any:
    return " ".join(published.split()) if isinstance(published, str) else published


def _rule_content(rule: Rule, names: _Names) -> list[Any]:
    """A rule without names and spellings; ``a < b`` and ``b > a`` are equal."""

    def tree(node: Tree) -> Any:
        if isinstance(node, Number):
            return str(node.value)
        if isinstance(node, Quantity):
            dataset = None if node.dataset is None else names.datasets[node.dataset]
            quantity = {"quantity": node.name, "variant": names.variants[node.variant], "dataset": dataset}
            if not node.probe:
                return quantity
            return quantity | {"probe": node.probe, "measured_with": json.loads(node.measured_with)}
        if isinstance(node, Negative):
            return {"negative": tree(node.operand)}
        return {"operator": node.operator, "left": tree(node.left), "right": tree(node.right)}

    def link(entry: Link) -> dict[str, Any]:
        sides, relation = [tree(entry.left), tree(entry.right)], entry.relation
        if relation.startswith("<"):
            sides, relation = sides[::-1], FLIPPED[relation]
        tolerance = None if entry.tolerance is None else str(entry.tolerance)
        return {"left": sides[0], "relation": relation, "right": sides[1], "tolerance": tolerance}

    return sorted((link(entry) for entry in rule.links), key=canonical_json)


def register(study: Study, time: str, commit: Mapping[str, Any] | None, looks: int, runs: "KnownRuns") -> Registration:
    """The registration of a study as it is now."""
    listed = entries(study)
    known = {entry.digest: runs.of(study, entry) for entry in listed}
    return Registration(
        content(study),
        {entry.digest: entry.label for entry in listed},
        time,
        commit,
        looks,
        {digest: n for digest, n in known.items() if n},
    )


@dataclass(frozen=True)
class KnownRuns:
    """Finished runs that exist when something is registered.

    Attributes:
        own: number of the study's own, as the last look saw them or as they lie on the disk.
        elsewhere: spec hashes of finished runs of other studies in the folder, and of kept runs.
    """

    own: int = 0
    elsewhere: frozenset[str] = frozenset()

    def of(self, study: Study, entry: Entry) -> int:
        """Known runs that could have told how an entry is decided.

        All of the study's own; without any, those elsewhere that this study will take, if every variant that decides
        the entry has one.
        """
        if self.own or not self.elsewhere:
            return self.own
        counts = [
            sum(study.run(dataset, variant, seed).spec_hash in self.elsewhere for seed in study.seeds)
            for dataset, variant in entry.decided_by
        ]
        return sum(counts) if counts and all(counts) else 0


# ---------------------------------------------------------------------------------------------------------------------
# A study against its registrations


@dataclass(frozen=True)
class Standing:
    """When something was registered: before any run, or changed or added when ``n_runs_known`` runs were known."""

    status: Status = "registered"
    n_runs_known: int = 0

    @property
    def exploratory(self) -> bool:
        return self.status != "registered"


class Standings:
    """Standing of every entry of a study.

    Args:
        registrations: the first one, then its amendments by time; empty where nothing was registered.
        runs_known: runs that are known now, for entries that nothing has registered.
        other_data: dataset -> runs that an earlier look saw with other images; datasets without such are left out.
    """

    def __init__(
        self,
        study: Study,
        registrations: Sequence[Registration],
        runs_known: int,
        other_data: Mapping[str, int] | None = None,
    ) -> None:
        self.entries = entries(study)
        self._registrations, self._runs_known = registrations, runs_known
        self._other_data = other_data or {}
        self._by_name = {(entry.kind, entry.dataset, entry.name): self.standing(entry) for entry in self.entries}

    def standing(self, entry: Entry) -> Standing:
        """Standing of one entry by itself, whatever became of those that all verdicts depend on."""
        for number, registration in enumerate(self._registrations):
            if entry.digest in registration.labels:
                known = registration.runs_known.get(entry.digest, 0)
                if number == 0:
                    return Standing("added", known) if known else Standing()
                return Standing(self._new_or_changed(entry, self._registrations[:number]), known)
        return Standing(self._new_or_changed(entry, self._registrations), self._runs_known)

    @staticmethod
    def _new_or_changed(entry: Entry, earlier: Iterable[Registration]) -> Status:
        labels = [label for registration in earlier for label in registration.labels.values()]
        key = (entry.kind, entry.name, entry.dataset)
        return "changed" if any((at["kind"], at["name"], at["dataset"]) == key for at in labels) else "added"

    def setting(self, kind: Kind) -> Standing:
        """Standing of the seeds, the statistics or the choice."""
        return self._by_name[kind, "", ""]

    def claim(self, dataset: str, name: str) -> Standing:
        """Standing of a claim's verdict, with what it depends on."""
        return self._of_verdict(self._by_name["claim", dataset, name], dataset)

    def question(self, dataset: str, name: str) -> Standing:
        """Standing of a question's verdicts on a dataset, with what they depend on."""
        return self._of_verdict(self._by_name["question", dataset, name], dataset)

    def _of_verdict(self, own: Standing, dataset: str) -> Standing:
        shared = [self.setting(kind) for kind in OF_ALL_VERDICTS]
        shared += [
            Standing("changed", self._other_data[name]) for name in dataset.split(", ") if name in self._other_data
        ]
        later = [standing for standing in (own, *shared) if standing.exploratory]
        if not later:
            return own
        status = own.status if own.exploratory else "changed"
        if not own.exploratory and all(standing.status == "added" for standing in later):
            status = "added"
        return Standing(status, max(standing.n_runs_known for standing in later))

    @property
    def dropped(self) -> list[Mapping[str, Any]]:
        """Labels of what was registered before any run and is no more in the config as it was."""
        if not self._registrations:
            return []
        first, present = self._registrations[0], {entry.digest for entry in self.entries}
        return [
            label
            for digest, label in first.labels.items()
            if digest not in present and not first.runs_known.get(digest) and label["kind"] in ("claim", "question")
        ]

    @property
    def removed(self) -> list[Mapping[str, Any]]:
        """Labels of those dropped entries that no changed one of the same name has taken the place of."""
        changed = {key for key, standing in self._by_name.items() if standing.status == "changed"}
        return [label for label in self.dropped if (label["kind"], label["dataset"], label["name"]) not in changed]


def differences(study: Study, registration: Registration) -> dict[Literal["changed", "added", "removed"], list[str]]:
    """Entries by which a study differs from a registration, as ``kind name``; empty lists where it does not."""
    present = {entry.digest: entry.label for entry in entries(study)}
    new = [label for digest, label in present.items() if digest not in registration.labels]
    old = [label for digest, label in registration.labels.items() if digest not in present]
    both = {shown(label) for label in new} & {shown(label) for label in old}
    return {
        "changed": sorted(both),
        "added": sorted({shown(label) for label in new} - both),
        "removed": sorted({shown(label) for label in old} - both),
    }


def shown(label: Mapping[str, Any]) -> str:
    """An entry in a line of text: ``claim wins on digits``."""
    dataset = f" on {label['dataset']}" if label["dataset"] else ""
    return f"{label['kind']} {label['name']}".strip() + dataset
