"""Notes on moving averages of weights that are longer than the training."""

import math

from convlab.datasets.image_counts import after_validation, image_counts, limited
from convlab.datasets.shapes import dataset_form
from convlab.study.schema import Study
from convlab.training.recipe import Training


def total_steps(study: Study, dataset: str, training: Training) -> int | None:
    """Optimizer steps of a run at most; None where a user's own images would have to be counted for that."""
    if training.whole_steps is not None:
        return training.whole_steps
    spec, images = study.datasets[dataset], training.train_size
    if images is None and not spec.users_own:
        classes = dataset_form(dataset, spec)[1]
        counts = image_counts(spec, classes)
        if counts is not None:
            train = limited(counts[0], spec.train_images)
            images = after_validation(train, training.validation_fraction, classes).most
    return None if images is None else math.ceil(images / training.batch_size) * training.epochs


def long_averages(study: Study) -> list[str]:
    """A sentence for each ``ema`` that averages over more steps, 1 / (1 - ema), than a run has."""
    notes = []
    for dataset in study.datasets:
        for variant in study.plan.compared.values():
            ema = variant.training.ema
            steps = None if ema is None else total_steps(study, dataset, variant.training)
            if steps is not None and 1 / (1 - ema) > steps:
                notes.append(
                    f"training.ema {ema:g} averages the weights over about {1 / (1 - ema):,.0f} steps, but a run on "
                    f"{dataset} has {steps:,}, so that its first weights stay in the average; choose at most "
                    f"{1 - 1 / max(steps, 2):.2g}"
                )
    return list(dict.fromkeys(notes))
