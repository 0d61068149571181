"""Expanding a study to its plan (variants, questions, probes, claims), with all checks across the config.

The Snakefile imports it: pydantic and the standard library only.
"""

from collections.abc import Iterable, Mapping
from dataclasses import replace
from fractions import Fraction
from functools import partial
from typing import Any

from pydantic import ValidationError

from convlab.common.i18n import SOURCE, in_language
from convlab.common.i18n import gettext as _
from convlab.common.specs import canonical_json
from convlab.common.text import listing, nearest
from convlab.datasets.image_counts import Count, image_counts, images_to_train_on
from convlab.datasets.shapes import Form
from convlab.errors import UserError
from convlab.models.cost import Cost, ShapeError, cost
from convlab.models.registry import family_of
from convlab.models.specs import BaseModelSpec
from convlab.probes import registry as probe_registry
from convlab.study.config_errors import error_message
from convlab.study.experiments import AddVariant, expand_experiment, variant_identity
from convlab.study.idle_values import without_effect
from convlab.study.metrics import METRICS
from convlab.study.rule_parser import RuleError, parse
from convlab.study.rules import EXACT, MEASURED, Quantity, Rule, evaluate, is_exact, replaced
from convlab.study.schema import SLUG, Probes, Study
from convlab.study.variants import Plan, PlannedClaim, Probe, Question, Trial, Variant
from convlab.training.recipe import Training

TOO_LARGE = {
    "shift": "moves {images} out of sight",
    "crop": "is more than {images} have to mirror at their border",
    "cutout": "covers {images} altogether",
}
"""What an augmentation by as many pixels as the shorter side of an image does to it."""


def expand(study: Study) -> Plan:
    """The plan of a study. Raises UserError, which names the key, for what cannot be."""
    variants: dict[str, Variant] = {}
    identities: dict[str, str] = {}
    aliases: dict[str, str] = {}

    def add(
        name: str, base: str, label: str, model: BaseModelSpec, training: Training, where: str, probe: str = ""
    ) -> str:
        """As ``AddVariant``."""
        if training.pixel_permutation and training.augmentation and training.augmentation.changes_single_images:
            raise UserError(
                f"{where} shuffles the pixels of images that training.augmentation would flip, shift, turn or cover "
                "afterwards, which is no augmentation of the images as they were; switch one of the two off"
            )
        identity = variant_identity(model, training)
        if identity in identities:
            return aliases.setdefault(name, identities[identity])
        if name in variants:
            raise UserError(f"{where} makes a variant called {name}, which is the name of another; rename one of them")
        identities[identity] = aliases[name] = name
        variants[name] = Variant(name, base, label, model, training, probe)
        return name

    # In sorted order, so that names do not depend on the order of keys, which means nothing.
    for name, model in sorted(study.models.items()):
        owner = add(name, name, model.label or name, model, study.training, f"models.{name}")
        if owner != name:
            raise UserError(f"models.{name} is the same as models.{owner}; remove one, or change a field")

    questions = {}
    for name, experiment in sorted(study.experiments.items()):
        questions[name] = expand_experiment(study, name, experiment, add)
    for name, comparison in sorted(study.comparisons.items()):
        if name in questions:
            raise UserError(f"comparisons.{name} has the name of an experiment; rename one of them")
        for key, given in (("variant", comparison.variant), ("reference", comparison.reference)):
            if given not in aliases:
                raise UserError(
                    f"comparisons.{name}.{key} is {given!r}, which is no variant{nearest(given, aliases)}; "
                    f"there are {listing(aliases)}"
                )
        chosen, reference = aliases[comparison.variant], aliases[comparison.reference]
        if chosen == reference:
            raise UserError(f"comparisons.{name} compares {chosen} with itself; name two different variants")
        sides = {"variant": variants[chosen].label, "reference": variants[reference].label}
        text = comparison.question or _("Does {variant} beat {reference}?", **sides)
        questions[name] = Question(name, text, None, reference, reference, variants=(chosen,))

    forms = {name: study.form(name) for name in study.datasets}
    probes = _probes(study, forms, Plan(variants, questions, {}), add)
    costs = _check_architectures(forms, variants, questions)
    _check_images(study, forms, variants, questions, probes)
    claims = _claims(study, variants, aliases, costs, probes)
    plan = Plan(variants, questions, costs, aliases, probes, claims, metric=METRICS[study.statistics.metric])
    return replace(plan, candidates=_candidates(study, plan), trials=_trials(study, plan))


def _trials(study: Study, plan: Plan) -> dict[str, Trial]:
    """The trials of every compared variant, by name; none without tuning.

    Raises UserError for a setting that an experiment varies, that a variant cannot have or that none is trained by, and
    for a variant with the name of a trial.
    """
    tuning, trials = study.tuning, {}
    if tuning is None:
        return trials
    for name, experiment in study.experiments.items():
        for factor in experiment.factors or [experiment.factor]:
            if factor in tuning.over:
                raise UserError(
                    f"tuning.over names {factor}, which experiments.{name} varies: the draws would take the place of "
                    "its levels; remove it from one of the two"
                )
    compared = plan.compared.values()
    for field, ends in tuning.over.items():
        idle = [without_effect(variant.model, variant.training).get(field) for variant in compared]
        if all(idle):
            raise UserError(f"tuning.over names {field}, which has no effect in this study: {idle[0]}; remove it")
        for variant, end in ((variant, end) for variant in compared for end in ends):
            try:
                Training.model_validate({**variant.training.model_dump(), field: end})
            except ValidationError as error:
                reason = error_message(error.errors()[0])
                raise UserError(f"tuning.over.{field}: {end:g} is not possible for {variant.name}: {reason}") from None
    for variant in compared:
        for number in range(1, tuning.trials + 1):
            name = f"{variant.name}-trial-{number}"
            if name in plan.variants:
                raise UserError(f"{name} is the name of a variant and of a trial of {variant.name}; rename the model")
            trials[name] = Trial(name, variant.name, number)
    return trials


def _candidates(study: Study, plan: Plan) -> tuple[str, ...]:
    """Candidates for export: the variant that `deploy` names, else all that can be served.

    Raises UserError for an unknown name in `deploy`.
    """
    variants, aliases = plan.variants, plan.aliases
    named, dataset = study.deploy.variant, study.deploy.dataset
    if dataset is not None and dataset not in study.datasets:
        raise UserError(
            f"deploy.dataset is {dataset!r}, which is no dataset of this study{nearest(dataset, study.datasets)}; "
            f"there are {listing(study.datasets)}"
        )
    if named is None:
        return plan.servable
    if named not in aliases:
        raise UserError(
            f"deploy.variant is {named!r}, which is no variant{nearest(named, aliases)}; there are {listing(aliases)}"
        )
    if variants[aliases[named]].training.pixel_permutation is not None:
        raise UserError(
            f"deploy.variant is {named!r}, which is trained on images with their pixels in another order and would "
            "not know the images that it is sent; choose another variant"
        )
    return (aliases[named],)


def _images_to_train_on(study: Study, forms: Mapping[str, Form]) -> int | None:
    """Largest training size that all datasets allow beside their validation images; None if none is known."""
    fraction = study.training.validation_fraction
    known = []
    for name, spec in study.datasets.items():
        counts = image_counts(spec, forms[name][1])
        if counts is not None:
            known.append(images_to_train_on(counts, spec.train_images, fraction, forms[name][1]).most)
    return min(known, default=None)


def _probes(study: Study, forms: Mapping[str, Form], plan: Plan, add: AddVariant) -> dict[str, Probe]:
    """Expand the probes that are switched on; ``add`` registers the variants that they train."""
    compared = dict.fromkeys(name for pair in plan.duels for name in pair)
    probes = {}
    for name in Probes.model_fields:
        options = getattr(study.probes, name)
        if options is None:
            continue
        choices = plan.compared if options.compares_levels else study.models
        default = plan.compared if options.compares_levels else compared or study.models
        models = tuple(getattr(options, "models", None) or default)
        for model in models:
            if model not in choices:
                raise UserError(
                    f"probes.{name}.models names {model!r}, which is no "
                    f"{'variant' if options.compares_levels else 'model'}{nearest(model, choices)}; "
                    f"there are {listing(choices)}"
                )
        options.check_models({model: plan.variants[model].model for model in models})
        changes = options.levels(partial(_images_to_train_on, study, forms))
        levels = {}
        for model in models if changes else ():
            variants = []
            for level in changes:
                base = plan.variants[model]
                training = Training.model_validate({**base.training.model_dump(), **level.training})
                text = f"{base.label}, {options.level_label(level.order)}"
                variant = add(f"{model}-{level.slug}", model, text, base.model, training, f"probes.{name}", probe=name)
                with in_language(SOURCE):  # tables name levels alike in every language
                    variants.append((options.level_label(level.order), level.order, variant))
            levels[model] = tuple(variants)
        probes[name] = Probe(name, options, tuple(models), levels)
    return probes


def _origin(name: str, variants: Mapping[str, Variant], questions: Mapping[str, Question]) -> str:
    """The config's entry that defines a variant: its model, or the level of an experiment."""
    return next(
        (
            f"experiments.{question.name}, level {level.label}"
            for question in questions.values()
            for level in question.levels
            if level.variant == name and name != question.base
        ),
        f"models.{name}",
    )


def _check_architectures(
    forms: Mapping[str, Form], variants: Mapping[str, Variant], questions: Mapping[str, Question]
) -> dict[tuple[str, str], Cost]:
    """Costs of all variants whose layers are known before they are built. Raises UserError for what does not fit."""
    costs = {}
    for dataset, (shape, classes) in forms.items():
        for name, variant in variants.items():
            if family_of(variant.model).feature_costs is None:
                continue
            try:
                costs[dataset, name] = cost(variant.model, shape, classes)
            except ShapeError as error:
                padding = ", padding: same," if "padding" in type(variant.model).model_fields else ""
                remedy = error.remedy or f"use a smaller window{padding} or fewer layers"
                raise UserError(
                    f"{_origin(name, variants, questions)}: on {dataset} ({shape[0]}×{shape[1]} pixels) {error}; "
                    f"{remedy}"
                ) from None
    return costs


def _check_images(
    study: Study,
    forms: Mapping[str, Form],
    variants: Mapping[str, Variant],
    questions: Mapping[str, Question],
    probes: Mapping[str, Probe],
) -> None:
    """Raise UserError if images are too small or too few for the config, as far as is known before any job."""
    for dataset, spec in study.datasets.items():
        (height, width, _channels), classes = forms[dataset]
        if classes < 2:
            raise UserError(f"datasets.{dataset}.classes is {classes}, and there is nothing to tell apart; give two")
        asked = [probe.settings.test_images_needed for probe in probes.values()]
        counts = image_counts(spec, classes) if any(asked) or _asks_for_counts(study, spec, variants) else None
        if counts is not None and not counts.test.most:
            raise UserError(f"datasets.{dataset} has no test images; every run is evaluated on some, so add some")
        if counts is not None:
            key, with_validation = f"datasets.{dataset}", classes + (counts.validation is None)
            _check_limit(f"{key}.train_images", spec.train_images, counts.train, with_validation, classes)
            _check_limit(f"{key}.test_images", spec.test_images, counts.test, classes, classes)
        side = min(height, width)
        for probe in probes.values():
            probe.settings.check_images(dataset, height, width)
            needed, available = (
                probe.settings.test_images_needed,
                counts and min(counts.test.most, spec.test_images or counts.test.most),
            )
            if needed and available is not None and needed > available:
                raise UserError(
                    f"probes.{probe.name}.images is {needed:,}, but {dataset} has {available:,} test images; choose at "
                    "most that, or leave it out"
                )
        sizes: dict[float, int | None] = {}
        for name, variant in variants.items():
            training = variant.training
            where = f"probes.{variant.probe}" if variant.probe else _origin(name, variants, questions)
            where = "training" if name in study.models else where
            block = training.pixel_permutation
            if block is not None and (height // block) * (width // block) < 2:
                raise UserError(
                    f"{where}: pixel_permutation {block} leaves no two blocks in images of {dataset} "
                    f"({height}×{width} pixels); choose at most {max(side // 2, min(max(height, width) // 2, side))}"
                )
            for field, effect in TOO_LARGE.items():
                pixels = getattr(training.augmentation, field, 0)
                if pixels >= side:
                    images = f"images of {dataset} ({height}×{width} pixels)"
                    raise UserError(
                        f"{where}: augmentation.{field} is {pixels}, which {effect.format(images=images)}; choose at "
                        f"most {side - 1}"
                    )
            if counts is None or training.train_size is None:
                continue
            fraction = training.validation_fraction
            if fraction not in sizes:
                sizes[fraction] = images_to_train_on(counts, spec.train_images, fraction, classes).most
            if training.train_size > sizes[fraction]:
                most = sizes[fraction]
                advice = f"choose at most {most:,}, or null for all"
                if variant.probe:
                    advice = probes[variant.probe].settings.train_size_advice(most) or advice
                raise UserError(
                    f"{where}: train_size is {training.train_size:,}, but {dataset} leaves {most:,} images to train on "
                    f"beside those for validation; {advice}"
                )


def _asks_for_counts(study: Study, spec: Any, variants: Mapping[str, Variant]) -> bool:
    """Whether the images are to be counted: the config limits them, or they are not the user's own, which is slow."""
    if not spec.users_own:
        return True
    limits = (spec.train_images, spec.test_images, *(variant.training.train_size for variant in variants.values()))
    return any(limit is not None for limit in limits)


def _check_limit(key: str, limit: int | None, count: Count, least: int, classes: int) -> None:
    """Raise UserError for a limit above the number of images, or below the ``least`` that ``classes`` need."""
    if limit is None:
        return
    if limit > count.most:
        raise UserError(f"{key} is {limit:,}, but there are {count.most:,}; choose at most that, or null for all")
    if limit < least:
        raise UserError(
            f"{key} is {limit:,}, too few for {classes:,} classes; choose at least {least:,}, or null for all"
        )


def _claims(
    study: Study,
    variants: Mapping[str, Variant],
    aliases: Mapping[str, str],
    costs: Mapping[tuple[str, str], Cost],
    probes: Mapping[str, Probe],
) -> dict[str, PlannedClaim]:
    """All claims, rules parsed and names resolved. Raises UserError with the position of an error in a rule."""
    claims: dict[str, PlannedClaim] = {}
    for number, claim in enumerate(study.claims):
        if not SLUG.fullmatch(claim.id):
            raise UserError(
                f"claims[{number}].id is {claim.id!r}: use letters, digits, - and _ only, and begin with a letter or "
                "digit"
            )
        if claim.id in claims:
            raise UserError(f"claims names {claim.id!r} twice; rename one of them")
        if claim.dataset is not None and claim.dataset not in study.datasets:
            raise UserError(
                f"claims.{claim.id}.dataset is {claim.dataset!r}, which is no dataset of this study"
                f"{nearest(claim.dataset, study.datasets)}; there are {listing(study.datasets)}"
            )
        try:
            rule = parse(claim.rule)
            named = _check_names(study, rule, aliases)
            rule = replaced(rule, lambda quantity: _resolved(quantity, aliases, probes, variants))
            datasets = (claim.dataset,) if claim.dataset else tuple(study.datasets)
            if None not in named:
                datasets = (", ".join(sorted(named)),)
            _check_meaning(rule, datasets, costs)
        except RuleError as error:
            raise UserError(f"claims.{claim.id}, character {error.position} of its rule: {error}") from None
        claims[claim.id] = PlannedClaim(claim.id, claim.text, claim.source, claim.published, rule, datasets)
    return claims


def _check_names(study: Study, rule: Rule, aliases: Mapping[str, str]) -> set[str | None]:
    """The datasets that a rule's quantities name. Raises RuleError for an unknown name."""
    for quantity in rule.quantities:
        for kind, name, known in (
            ("quantity", quantity.name, (*EXACT, *MEASURED, *probe_registry.claim_measures())),
            ("variant", quantity.variant, aliases),
            ("dataset of this study", quantity.dataset, study.datasets),
        ):
            if name is not None and name not in known:
                raise RuleError(
                    quantity.position, f"{name!r} is no {kind}{nearest(name, known)}; there are {listing(known)}"
                )
    return {quantity.dataset for quantity in rule.quantities}


def _resolved(
    quantity: Quantity, aliases: Mapping[str, str], probes: Mapping[str, Probe], variants: Mapping[str, Variant]
) -> Quantity:
    """A quantity under the variant's own name, with the probe that measures it, if one does.

    Args:
        probes: those that are on.
        variants: all of the study.

    Raises:
        RuleError: no probe measures it, or not of this variant.
    """
    name, variant = quantity.name, aliases[quantity.variant]
    offered = probe_registry.claim_measures()
    if name not in offered:
        if quantity.arguments:
            raise RuleError(quantity.position, f"{name} takes no arguments; write {name}({quantity.variant})")
        return replace(quantity, variant=variant)
    owner, usage = offered[name]
    if not quantity.arguments:
        raise RuleError(quantity.position, f"{name} lacks its arguments; write {usage}({quantity.variant})")
    if owner not in probes:
        raise RuleError(quantity.position, f"{name} is measured by the probe {owner}, which is off; add it to probes")
    probe = probes[owner]
    if variant not in probe.models:
        named = variants[variant]
        possible = not named.probe if probe.settings.compares_levels else variant == named.base
        more = f", or add {variant} to probes.{owner}.models" if possible else ""
        raise RuleError(
            quantity.position,
            f"the probe {owner} measures {listing(probe.models)}, not {quantity.variant!r}; write one of those{more}",
        )
    try:
        measured_with = probe.settings.measured_for_claim(name, quantity.arguments)
    except ValueError as error:
        raise RuleError(quantity.position, str(error)) from None
    return replace(quantity, variant=variant, probe=owner, measured_with=canonical_json(measured_with))


def _check_meaning(rule: Rule, datasets: Iterable[str], costs: Mapping[tuple[str, str], Cost]) -> None:
    """Raise RuleError for a rule that is valid but meaningless, such as a comparison of constants."""
    for link in rule.links:
        if not link.quantities:
            raise RuleError(link.position, "compares constants; a claim is about a quantity such as test_accuracy(cnn)")
        if link.left == link.right:
            raise RuleError(link.position, "compares a value with itself")
        if link.relation == "==" and not link.exact:
            raise RuleError(
                link.position, "a measured value never equals another exactly; write left ~ right ± tolerance"
            )
        for dataset in datasets:
            for side in filter(is_exact, (link.left, link.right)):
                if any((q.dataset or dataset, q.variant) not in costs for q in link.quantities):
                    continue  # a model that is described once it is built
                try:
                    evaluate(side, lambda q: Fraction(getattr(costs[q.dataset or dataset, q.variant], q.name)))  # noqa: B023
                except ZeroDivisionError:
                    raise RuleError(link.position, "divides by zero") from None
