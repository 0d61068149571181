"""Planned looks of a study, replayed from its runs: what was settled at which look, and which runs are wanted next."""

from collections.abc import Iterator, Mapping
from typing import Any

import pandas as pd

from convlab.results.asked import ALL, Asked, family_by_registration
from convlab.results.family import Family, confirmatory_family
from convlab.results.timings import Timings
from convlab.statistics.claim_links import LEVEL
from convlab.statistics.claims import ConstantGuess, verdict_over_study
from convlab.statistics.comparisons import verdict
from convlab.statistics.sequential import Hypothesis, Look, Replay, looks_of, replay
from convlab.study.hypotheses import variants_of_claim, variants_of_question
from convlab.study.registration import Standings
from convlab.study.schema import Study
from convlab.study.seeds import extended
from convlab.study.variants import Plan


def family_over_looks(
    runs: pd.DataFrame,
    study: Study,
    guesses: Mapping[str, ConstantGuess | None] | None = None,
    standings: Standings | None = None,
    timings: Timings | None = None,
) -> Family:
    """Test every question and claim at each look that the runs have reached, and keep what was settled as it was then.

    At look j the first n_j seeds of a variant count, however many it has by now. What is exploratory is analysed beside
    the others and gets no seeds of its own, unless all is.

    Args:
        standings: what was registered before any run; None where all was.
        timings: times that were measured in rounds, which decide claims about time.
    """
    plan, families = study.plan, {}
    trained = {key: frozenset(group["seed"]) for key, group in runs.groupby(["dataset", "variant"])}

    def analyse(look: Look, settled: Mapping[Hypothesis, str]) -> dict[Hypothesis, str]:
        seen = runs[runs["seed"].isin(study.seeds[: look.n_seeds])]

        def family_of(asked: Asked) -> Family:
            rope = study.statistics.rope
            return confirmatory_family(seen, plan, rope, guesses, asked, timings, look=look, settled=settled)

        family = family_by_registration(family_of, standings) if standings else family_of(ALL)
        families[look.number] = family
        verdicts = dict(_verdicts(family, settled))
        later = {hypothesis for hypothesis in verdicts if _is_exploratory(standings, hypothesis)}
        if later == verdicts.keys():
            return verdicts
        return {key: "exploratory" if key in later and v == "inconclusive" else v for key, v in verdicts.items()}

    def has_runs(look: Look, hypothesis: Hypothesis) -> bool:
        needed = variants_of(plan, hypothesis)
        return all(trained.get(key, frozenset()) >= set(study.seeds[: look.n_seeds]) for key in needed)

    result = replay(looks_of(study.seeds.counts), analyse, has_runs)
    return _as_settled(families, result)


def _is_exploratory(standings: Standings | None, hypothesis: Hypothesis) -> bool:
    if standings is None:
        return False
    kind, *key = hypothesis[0] if hypothesis[0][0] == "claim" else ("question", *hypothesis[0])
    return getattr(standings, kind)(*key).exploratory


def _verdicts(family: Family, settled: Mapping[Hypothesis, str]) -> Iterator[tuple[Hypothesis, str]]:
    """The verdict of every hypothesis of a family. A claim that repeats a contrast is closed when that is settled."""
    reached = dict(settled)
    for question, contrasts in family.contrasts.items():
        for name, contrast in contrasts.items():
            of_contrast = verdict(contrast, family.adjusted[question][name], family.equivalence[question][name])
            reached.setdefault((question, name), of_contrast)
            yield (question, name), of_contrast
    for key, result in family.claims.items():
        of_claim = verdict_over_study(result, family.adjusted["claim", *key][""])
        same = result.repeats
        closed = same and reached[(same.dataset, same.question), same.contrast.variant] != "inconclusive"
        yield (("claim", *key), ""), "equivalent" if closed and of_claim == "inconclusive" else of_claim


def _as_settled(families: Mapping[int, Family], result: Replay) -> Family:
    """The family with each hypothesis as at the look that settled it, else as at the last one."""
    last = families[result.look.number]

    def then(question: tuple[str, ...], name: str = "") -> Family:
        settled = result.settled.get((question, name))
        return families[settled[1].number] if settled else last

    return Family(
        contrasts={
            question: {name: then(question, name).contrasts[question][name] for name in of}
            for question, of in last.contrasts.items()
        },
        claims={key: then(("claim", *key)).claims[key] for key in last.claims},
        adjusted={
            question: {name: then(question, name).adjusted[question][name] for name in of}
            for question, of in last.adjusted.items()
        },
        equivalence={
            question: {name: then(question, name).equivalence[question][name] for name in of}
            for question, of in last.equivalence.items()
        },
        looks=result,
    )


def contrast_key(row: Any) -> Hypothesis:
    """The hypothesis of a row of comparisons.csv."""
    return (row.dataset, row.experiment), row.variant


def claim_key(row: Any) -> Hypothesis:
    """The hypothesis of a row of claims.csv."""
    return ("claim", row.dataset, row.claim), ""


def variants_of(plan: Plan, hypothesis: Hypothesis) -> set[tuple[str, str]]:
    """The (dataset, variant) whose runs decide a contrast or a claim: all of a question, all that a claim measures."""
    if hypothesis[0][0] == "claim":
        return variants_of_claim(plan, *hypothesis[0][1:])
    return variants_of_question(plan, *hypothesis[0])


# ---------------------------------------------------------------------------------------------------------------------
# What comes next


def proposal(study: Study, result: Replay) -> dict[str, Any] | None:
    """What the looks so far decided, and the schedule of the next look: plain JSON types, for summary.json.

    ``next`` is None where the study stops: everything is settled, or this was the last look. Without planned looks the
    whole is None.
    """
    if study.seeds.looks is None:
        return None
    look, wanted = result.look, {key for hypothesis in result.unsettled for key in variants_of(study.plan, hypothesis)}
    goes_on = bool(wanted) and look.number < look.n_looks
    return {
        "look": look.number,
        "n_looks": look.n_looks,
        "seeds": look.n_seeds,
        "level": LEVEL * look.share,
        "settled": [
            _named(hypothesis) | {"verdict": reached, "look": when.number}
            for hypothesis, (reached, when) in result.settled.items()
            if not (hypothesis[0][0] == "claim" and reached == "equivalent")
        ],
        "unsettled": [_named(hypothesis) for hypothesis in result.unsettled],
        "schedule": study.schedule.as_json(),
        "next": extended(study.schedule, study.seeds, look.number, wanted).as_json() if goes_on else None,
    }


def _named(hypothesis: Hypothesis) -> dict[str, str]:
    """A hypothesis by the names that the config has for it."""
    question, variant = hypothesis
    if question[0] == "claim":
        return {"claim": question[2], "dataset": question[1]}
    return {"question": question[1], "dataset": question[0], "variant": variant}
