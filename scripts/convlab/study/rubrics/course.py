"""Rubric of the course whose notebooks are the ready-made studies: EDA, baseline, architecture, rigour, interpretation.

The points are those of the course: 15, 15, 25, 25, 20, and a bonus for filters and feature maps.
"""

from collections.abc import Callable, Iterator
from dataclasses import replace

from convlab.common.i18n import N_
from convlab.common.i18n import gettext as _
from convlab.models.registry import family_of
from convlab.study.checklist import Criterion, Finished, Requirement, Rubric
from convlab.study.idle_values import without_effect
from convlab.study.schema import Study

MIN_SEEDS = 3
"""Fewest runs of a variant that say how much chance there is in it."""

SETTLED = frozenset({"better", "worse", "equivalent", "inconclusive"})
"""Verdicts: all that is said of a contrast whose runs have finished, with three seeds or more."""


def always(study: Study) -> tuple[str, ...]:
    """No key: every study has it."""
    return ()


def reasons_for_data(study: Study) -> list[str]:
    """Keys of the datasets without a reason for choosing them."""
    return [f"datasets.{name}.why" for name, spec in study.datasets.items() if not spec.why]


def dense_model(study: Study) -> tuple[str, ...]:
    """A key for a model without convolution; nothing where there is one."""
    return () if any(variant.side == "dense" for variant in study.plan.compared.values()) else ("models: family dense",)


def convolutional_model(study: Study) -> tuple[str, ...]:
    """A key for a convolutional network; nothing where there is one."""
    return () if any(variant.side == "conv" for variant in study.plan.compared.values()) else ("models: family conv",)


def dense_and_convolutional_model(study: Study) -> tuple[str, ...]:
    """Keys for a dense model and for a convolutional network, those of them that a study lacks."""
    return (*dense_model(study), *convolutional_model(study))


def comparison_with_baseline(study: Study) -> tuple[str, ...]:
    """A key for a comparison of both; nothing where the study asks one."""
    variants = study.plan.variants
    sides = [
        {variants[name].side, variants[question.reference].side}
        for question in study.plan.questions.values()
        for name in question.variants
    ]
    return () if {"conv", "dense"} in sides else ("comparisons: variant and reference, a CNN and a dense model",)


def reasons_for_models(study: Study) -> Iterator[str]:
    """Keys of all choices without a reason; what has no effect in a model needs none."""
    for name, model in study.models.items():
        idle = without_effect(model, study.plan.variants[study.plan.aliases[name]].training)
        yield from (
            f"models.{name}.why.{field}"
            for field in model.explained_fields
            if not (field in model.why or field in idle)
        )


def experiment(study: Study) -> tuple[str, ...]:
    """A key for an experiment; nothing where there is one. An experiment varies its factor and nothing else."""
    return () if study.experiments else ("experiments",)


def enough_seeds(study: Study) -> tuple[str, ...]:
    """The key of the seeds where there are fewer than three at the first look."""
    return () if study.seeds.counts[0] >= MIN_SEEDS else (f"seeds: {MIN_SEEDS}",)


def question_with_seeds(study: Study) -> Iterator[str]:
    """Keys for something that is compared, and for the seeds that a verdict needs."""
    if not study.plan.questions:
        yield "experiments or comparisons"
    yield from enough_seeds(study)


def reason_for_question(study: Study) -> tuple[str, ...]:
    """The key of the study's question, where it has none."""
    return () if study.question else ("question",)


def probe(name: str) -> Callable[[Study], tuple[str, ...]]:
    """A function of a study that gives the key of a probe that is off."""
    return lambda study: () if name in study.plan.probes else (f"probes: [{name}]",)


def claims(study: Study) -> tuple[str, ...]:
    """The key of the claims, where there is none."""
    return () if study.claims else ("claims",)


def convolution_to_show(study: Study) -> tuple[str, ...]:
    """A key for a base model with filters to show."""
    shows = any(family_of(model).convolutional for model in study.models.values())
    return () if shows else ("models: family conv",)


def undecided(study: Study, finished: Finished) -> Iterator[str]:
    """Contrasts without a verdict."""
    for (dataset, question, variant), verdict in finished.verdicts.items():
        if verdict not in SETTLED:
            yield _(
                "a verdict about {variant} in {question} on {dataset}",
                variant=variant,
                question=question,
                dataset=dataset,
            )


def undecided_with_baseline(study: Study, finished: Finished) -> Iterator[str]:
    """Contrasts of a convolutional network with a dense model that have no verdict."""
    variants, questions = study.plan.variants, study.plan.questions
    verdicts = {
        (dataset, question, variant): verdict
        for (dataset, question, variant), verdict in finished.verdicts.items()
        if {variants[variant].side, variants[questions[question].reference].side} == {"conv", "dense"}
    }
    return undecided(study, replace(finished, verdicts=verdicts))


def late_claims(study: Study, finished: Finished) -> Iterator[str]:
    """Claims that were not registered as they are before the first run."""
    for claim, when in finished.late_claims.items():
        yield _("claim {claim}: {when}", claim=claim, when=when)


def too_few_finished(study: Study, finished: Finished) -> Iterator[str]:
    """Variants of which fewer than three runs finished."""
    for (dataset, variant), n in finished.seeds.items():
        if n < MIN_SEEDS:
            yield _("{variant} on {dataset} has {n} finished runs", variant=variant, dataset=dataset, n=n)


RUBRIC = Rubric(
    N_("Rubric of the course"),
    (
        Criterion(
            N_("Exploratory data analysis"),
            15,
            (
                Requirement(N_("Images per class"), "data", always, ("data/class_distribution",)),
                Requirement(N_("Sample images of every class"), "data", always, ("data/samples",)),
                Requirement(N_("Size of the images"), "data", always, ("data/dimensions",)),
                Requirement(N_("Intensities before and after normalisation"), "data", always, ("data/intensities",)),
                Requirement(N_("Why these data"), "data", reasons_for_data),
                Requirement(N_("What the data mean for the choice of the models, in your own words"), "data"),
            ),
        ),
        Criterion(
            N_("Baseline and comparison"),
            15,
            (
                Requirement(N_("A dense baseline"), "design", dense_model),
                Requirement(N_("A convolutional network"), "design", convolutional_model),
                Requirement(
                    N_("Both compared on the same test images"), "questions", comparison_with_baseline,
                    unfinished=undecided,
                ),
                Requirement(
                    N_("Learning curves of both"), "curves", dense_and_convolutional_model, ("curves/*curves",)
                ),
            ),
        ),
        Criterion(
            N_("Architecture, every choice justified"),
            25,
            (
                Requirement(N_("A reason for every choice of every model"), "design", reasons_for_models),
                Requirement(N_("Layers, parameters and receptive field"), "design", always),
                Requirement(N_("Whether the reasons convince"), "design"),
            ),
        ),
        Criterion(
            N_("Experimental rigour"),
            25,
            (
                Requirement(N_("Controlled: one factor varied, everything else fixed"), "questions", experiment),
                Requirement(
                    N_("Quantitative: differences with intervals and a verdict"), "questions", question_with_seeds,
                    unfinished=undecided,
                ),
                Requirement(
                    N_("Repeated: at least three seeds of every variant"), "variants", enough_seeds,
                    unfinished=too_few_finished,
                ),
                Requirement(
                    N_("Expectations written down before the runs"), "claims", claims, unfinished=late_claims
                ),
            ),
        ),
        Criterion(
            N_("Interpretation"),
            20,
            (
                Requirement(N_("The question that the study answers"), "answer", reason_for_question),
                Requirement(
                    N_("Did convolution beat the dense baseline, by how much, how surely?"), "interpretation",
                    comparison_with_baseline, unfinished=undecided_with_baseline,
                ),
                Requirement(
                    N_("Locality, and when convolution is not appropriate, measured on shuffled pixels"), "probes",
                    probe("pixel_permutation"), ("probes/*pixel_permutation*",),
                ),
                Requirement(
                    N_("Translation, measured on shifted images"), "probes", probe("translation"),
                    ("probes/*translation*",),
                ),
                Requirement(N_("Your own conclusions; the report only says what was measured"), "interpretation"),
            ),
        ),
        Criterion(
            N_("Filters and feature maps"),
            None,
            (
                Requirement(N_("Learned filters"), "features", convolution_to_show, ("features/*filters*",)),
                Requirement(N_("Feature maps"), "features", convolution_to_show, ("features/*maps*",)),
            ),
        ),
    ),
)  # fmt: skip
