"""Findings about training: noise of seeds, over- and underfitting, errors, calibration."""

import math
from collections.abc import Iterator, Sequence

import numpy as np
import pandas as pd

from convlab.common.i18n import N_, listing, ngettext
from convlab.common.i18n import gettext as _
from convlab.evaluation.metrics import CALIBRATION_BINS
from convlab.findings.new_images import verdicts_on_new_images
from convlab.findings.study_results import Finding, StudyResults, Topic
from convlab.language.numbers import count, interval, number, percent, plus_minus, points, spread, unsigned_points
from convlab.statistics.describe import MIN_SEEDS
from convlab.study.metrics import Metric
from convlab.training.recipe import Training

CLOSE_ACCURACY = 0.01
"""Gaps between training and validation, or confidence and accuracy, up to this fraction count as close."""

OVERFITTING_LOSS_RISE = 0.05
"""Relative rise of validation loss above its minimum that counts as overfitting."""

IMAGES_PER_BIN = 100
"""With fewer test images in a bin the calibration error is noticeably biased upwards (Nixon et al. 2019)."""


def noise(results: StudyResults, dataset: str) -> Topic:
    """Seed-to-seed variation compared with the differences between variants."""
    rules = (_scatter_of_seeds, _another_test_set, verdicts_on_new_images)
    return Topic("noise", tuple(finding for rule in rules for finding in rule(results, dataset)))


def _scatter_of_seeds(results: StudyResults, dataset: str) -> Iterator[Finding]:
    """Pooled SD of the metric over seeds, and the lead of the best variant over the second."""
    rows, metric = results.variants[results.variants["dataset"] == dataset], results.plan.metric
    sds, means = rows[f"{metric.column}_sd"], rows[f"{metric.column}_mean"].dropna()
    repeated = rows[sds.notna() & (rows["n_seeds"] > 1)]
    if repeated.empty:
        yield Finding(_("No variant has two finished runs, so how far seeds scatter is not known from this study."))
        return
    freedom = repeated["n_seeds"] - 1
    pooled = float(np.sqrt((freedom * sds[repeated.index] ** 2).sum() / freedom.sum()))
    if len(means) < 2:
        text = ngettext(
            "From seed to seed a variant's {metric} has an SD of {sd}, pooled over {n} variant.",
            "From seed to seed a variant's {metric} has an SD of {sd}, pooled over {n} variants.",
            len(repeated),
            metric=_(metric.name),
            sd=spread(pooled, metric),
        )
        yield Finding(text, {"sd": pooled})
        return
    reach = float(means.max() - means.min())
    text = ngettext(
        "From seed to seed a variant's {metric} has an SD of {sd}, pooled over {n} variant; the means of "
        "all variants lie {range} apart from lowest to highest.",
        "From seed to seed a variant's {metric} has an SD of {sd}, pooled over {n} variants; the means of "
        "all variants lie {range} apart from lowest to highest.",
        len(repeated),
        metric=_(metric.name),
        sd=spread(pooled, metric),
        range=spread(reach, metric),
    )
    leads, numbers = _lead(rows, pooled, metric)
    yield Finding(f"{text} {leads}", {"sd": pooled, "range": reach, **numbers})


def _lead(rows: pd.DataFrame, pooled: float, metric: Metric) -> tuple[str, dict[str, float]]:
    """The first two variants by their means, and the standard error of their difference from the ``pooled`` SD."""
    mean = f"{metric.column}_mean"
    ordered = rows.dropna(subset=mean).sort_values(mean, ascending=not metric.higher_is_better)
    first, second = ordered.iloc[0], ordered.iloc[1]
    lead = abs(float(first[mean] - second[mean]))
    error = pooled * math.sqrt(1 / first["n_seeds"] + 1 / second["n_seeds"])
    equal = ordered[np.isclose(ordered[mean], first[mean], 0, 1e-12)]
    text = _(
        _first_and_second(lead, error, int(min(first["n_seeds"], second["n_seeds"]))),
        extreme=_(N_("highest") if metric.higher_is_better else N_("lowest")),
        first=first["label"],
        second=second["label"],
        variants=listing(equal["label"]),
        lead=spread(lead, metric),
        error=spread(error, metric),
    )
    return text, {"lead": lead, "se": error}


def _another_test_set(results: StudyResults, dataset: str) -> Iterator[Finding]:
    """The binomial standard error of the highest accuracy; none where all images are right, or all are wrong."""
    means = results.variants.loc[results.variants["dataset"] == dataset, "test_accuracy_mean"].dropna()
    if means.empty:
        return
    accuracy, images = float(means.max()), results.test_images[dataset]
    if error := math.sqrt(accuracy * (1 - accuracy) / images):
        text = ngettext(
            "Another test set of {n} image would move the highest accuracy by a standard error of {error} "
            "(binomial); intervals over seeds leave that out.",
            "Another test set of {n} images would move the highest accuracy by a standard error of {error} "
            "(binomial); intervals over seeds leave that out.",
            images,
            error=unsigned_points(error),
        )
        yield Finding(text, {"se": error, "test_images": images})


def _first_and_second(lead: float, error: float, seeds: int) -> str:
    """Finding about the two best means, described and not tested: they were selected for being the best."""
    if math.isclose(lead, 0, abs_tol=1e-12):
        return N_("{variants} share the {extreme} mean.")
    if seeds < MIN_SEEDS or not error:
        return N_("{first} leads {second} by {lead}; whether other seeds would turn that cannot be told from these.")
    if lead < 2 * error:
        return N_(
            "{first} leads {second} by {lead}, beside a standard error of {error}: the order of these two could turn "
            "with other seeds."
        )
    return N_(
        "{first} leads {second} by {lead}, more than twice its standard error of {error}; they were picked for being "
        "the first two, so that is a description."
    )


def fits_of(results: StudyResults, dataset: str, variant: str) -> pd.DataFrame:
    rows = results.fits
    return rows[(rows["dataset"] == dataset) & (rows["variant"] == variant)]


def still_falling(fits: pd.DataFrame) -> int:
    """Number of runs of several epochs whose validation loss was lowest at the last one."""
    return int(((fits["lowest_epoch"] == fits["epochs"]) & (fits["epochs"] > 1)).sum())


def fit(results: StudyResults, dataset: str) -> Topic:
    """Over- and underfitting of the variants with details."""
    findings = []
    for name in results.variants_with_details(dataset):
        fits = fits_of(results, dataset, name)
        if not fits.empty:
            training = results.plan.variants[name].training
            fitted = _fit_to_blends if training.mixes_images else _fit
            findings.append(fitted(results.label(name), fits, training))
    if findings:
        text = _(
            "Training accuracy is Keras' running mean over an epoch, with dropout active, while the weights "
            "still improve: it understates what the kept weights reach, so a small or negative gap says little."
        )
        shown = [results.plan.variants[name].training for name in results.variants_with_details(dataset)]
        if any(training.augmentation and training.augmentation.changes for training in shown):
            text += " " + _("With augmentation it is of the changed images, which are harder.")
        findings.append(Finding(text, kind="note"))
    return Topic("fit", tuple(findings))


def _fit_to_blends(label: str, fits: pd.DataFrame, training: Training) -> Finding:
    """Validation accuracy of a variant trained on blends of images, and the course of validation loss."""
    validation, (course, numbers) = fits["val_accuracy"].mean(), _course(fits, training)
    text = ngettext(
        "{label}: at the kept epoch validation accuracy is {validation} ({n} seed); training accuracy is of blended "
        "images (mixup) and not comparable with it.",
        "{label}: at the kept epoch validation accuracy is {validation} ({n} seeds); training accuracy is of blended "
        "images (mixup) and not comparable with it.",
        len(fits),
        label=label,
        validation=percent(validation),
    )
    return Finding(" ".join([text, *course]), {"validation": validation, **numbers})


def _fit(label: str, fits: pd.DataFrame, training: Training) -> Finding:
    """Training against validation accuracy at the kept epoch, and the course of validation loss after its minimum."""
    gap, train, validation = fits["gap"].mean(), fits["train_accuracy"].mean(), fits["val_accuracy"].mean()
    images = int(fits["validation_images"].min())
    error = math.sqrt(max(validation * (1 - validation), 0) / max(images, 1))
    band = max(CLOSE_ACCURACY, 2 * error)
    text = ngettext(
        "{label}: at the kept epoch training accuracy is {train}, validation accuracy {validation}, a gap of {gap} "
        "({n} seed).",
        "{label}: at the kept epoch training accuracy is {train}, validation accuracy {validation}, a gap of {gap} "
        "({n} seeds, {range}).",
        len(fits),
        label=label,
        train=percent(train),
        validation=percent(validation),
        gap=points(gap),
        range=interval(fits["gap"].min(), fits["gap"].max()),
    )
    numbers = {"gap": gap, "train": train, "validation": validation, "band": band, "validation_images": images}
    course, more_numbers = _course(fits, training)
    texts = [text, _gap_text(fits["gap"], band, images, _rise(fits) is not None), *course]
    return Finding(" ".join(texts), numbers | more_numbers)


def _rise(fits: pd.DataFrame) -> float | None:
    """Mean relative rise of validation loss from its lowest point to the last epoch; None unless most runs have one."""
    rises = (fits["last_val_loss"] / fits["lowest_val_loss"] - 1).where(fits["lowest_val_loss"] > 0)
    return rises.mean() if int((rises > OVERFITTING_LOSS_RISE).sum()) > len(fits) / 2 else None


def _course(fits: pd.DataFrame, training: Training) -> tuple[list[str], dict[str, float]]:
    """Sentence about the course of validation loss in most runs, if there is one, with its numbers."""
    falling, runs, rise = still_falling(fits), len(fits), _rise(fits)
    if falling > runs / 2:
        if training.schedule == "constant":
            text = ngettext(
                "Validation loss was lowest at the last epoch in {falling} of {n} seed: more epochs may make it "
                "better.",
                "Validation loss was lowest at the last epoch in {falling} of {n} seeds: more epochs may make it "
                "better.",
                runs,
                falling=falling,
            )
        else:
            text = ngettext(
                "Validation loss was lowest at the last epoch in {falling} of {n} seed, with which the schedule "
                "of the learning rate ends: whether more epochs would help cannot be told from that.",
                "Validation loss was lowest at the last epoch in {falling} of {n} seeds, with which the schedule "
                "of the learning rate ends: whether more epochs would help cannot be told from that.",
                runs,
                falling=falling,
            )
        return [text], {"falling": falling}
    if rise is None:
        return [], {}
    text = _(
        "After its lowest point validation loss rose by {rise} until the last epoch, on average over seeds.",
        rise=percent(rise, 0),
    )
    return [text], {"rise": rise}


def _gap_text(gaps: pd.Series, band: float, images: int, risen: bool) -> str:
    """Sentence on over- or underfitting from the gap between training and validation accuracy.

    Args:
        gaps: of each run.
        band: sampling error from ``images`` validation images, a fraction.
        risen: whether validation loss rose in most runs.
    """
    gap, within = gaps.mean(), plus_minus(band, 1)
    if gap > band >= gaps.min():
        return ngettext(
            "On average the gap is larger than the {band} that {n} validation image leave open, but not in every "
            "seed: whether it overfits cannot be told from these.",
            "On average the gap is larger than the {band} that {n} validation images leave open, but not in every "
            "seed: whether it overfits cannot be told from these.",
            images,
            band=within,
        )
    if gap > band:
        return ngettext(
            "It overfits: the gap is larger than the {band} that {n} validation image leave open.",
            "It overfits: the gap is larger than the {band} that {n} validation images leave open.",
            images,
            band=within,
        )
    if gap < -band:
        return ngettext(
            "Validation is ahead of training by more than the {band} that {n} validation image leave open.",
            "Validation is ahead of training by more than the {band} that {n} validation images leave open.",
            images,
            band=within,
        )
    if risen:
        return ngettext(
            "The gap is within the {band} that {n} validation image leave open, but validation loss shows "
            "overfitting in later epochs.",
            "The gap is within the {band} that {n} validation images leave open, but validation loss shows "
            "overfitting in later epochs.",
            images,
            band=within,
        )
    return ngettext(
        "No overfitting shows: the gap is within the {band} that {n} validation image leave open.",
        "No overfitting shows: the gap is within the {band} that {n} validation images leave open.",
        images,
        band=within,
    )


def errors(results: StudyResults, dataset: str) -> Topic:
    """Most confused classes and hardest class; described, not tested."""
    findings = [_errors(results, dataset, name) for name in results.variants_with_details(dataset)]
    if findings:
        findings.append(
            Finding(
                _("Classes were looked at after the fact: these are descriptions, no test stands behind them."),
                kind="note",
            )
        )
    return Topic("errors", tuple(findings))


def _errors(results: StudyResults, dataset: str, name: str) -> Finding:
    """Number of wrong predictions of a variant, its most confused pair and its hardest class."""
    matrix = np.array(results.confusions[dataset][name])
    off = matrix - np.diag(np.diag(matrix))
    wrong, total = int(off.sum()), int(matrix.sum())
    label = results.label(name)
    if name == results.chosen.get(dataset):
        label = _("{label} (chosen by validation accuracy)", label=label)
    text = _(
        "{label}: {wrong} of {total} predictions over all seeds are wrong.",
        label=label,
        wrong=count(wrong),
        total=count(total),
    )
    numbers = {"wrong": wrong, "total": total}
    if not wrong:
        return Finding(text, numbers)
    pair, pair_numbers = _most_confused(off, results.classes[dataset])
    rows = results.per_class
    rows = rows[(rows["dataset"] == dataset) & (rows["variant"] == name) & (rows["support"] > 0)]
    hardest, hardest_numbers = _hardest(rows)
    return Finding(" ".join([text, *pair, *hardest]), numbers | pair_numbers | hardest_numbers)


def _most_confused(off: np.ndarray, classes: Sequence[str]) -> tuple[list[str], dict[str, float]]:
    """Most confused pair of classes, both directions added: sentences and their numbers.

    Args:
        off: counts (true, predicted) of wrong predictions, at least one.
    """
    both = np.triu(off + off.T)
    first, second = np.unravel_index(both.argmax(), both.shape)
    there, back = int(off[first, second]), int(off[second, first])
    share, alike = (there + back) / int(off.sum()), int((both == both.max()).sum())
    texts = [
        ngettext(
            "Most confused are {first} and {second}: {n} time (“{first}” taken for “{second}” {there}, “{second}” for "
            "“{first}” {back}), {share} of all errors.",
            "Most confused are {first} and {second}: {n} times (“{first}” taken for “{second}” {there}, “{second}” for "
            "“{first}” {back}), {share} of all errors.",
            there + back,
            first=classes[first],
            second=classes[second],
            there=there,
            back=back,
            share=percent(share, 1),
        )
    ]
    if alike > 1:
        texts.append(
            ngettext("{n} other pair is confused as often.", "{n} other pairs are confused as often.", alike - 1)
        )
    return texts, {"pair": there + back, "there": there, "back": back, "share": share}


def _hardest(rows: pd.DataFrame) -> tuple[list[str], dict[str, float]]:
    """The classes with the lowest recall, from rows of the classes that have test images; nothing without any."""
    if rows.empty:
        return [], {}
    hardest = rows.loc[rows["recall"].idxmin()]
    equal = rows[rows["recall"] == hardest["recall"]]
    recall = percent(hardest["recall"], 1)
    if len(equal) > 1:
        text = _("The hardest classes are {names}: recall {recall} each.", names=listing(equal["class"]), recall=recall)
    else:
        text = ngettext(
            "The hardest class is {name}: recall {recall} on {n} test image.",
            "The hardest class is {name}: recall {recall} on {n} test images.",
            int(hardest["support"]),
            name=hardest["class"],
            recall=recall,
        )
    return [text], {"recall": float(hardest["recall"]), "support": int(hardest["support"])}


def calibration(results: StudyResults, dataset: str) -> Topic:
    """Whether confidence matches accuracy."""
    findings = []
    for name in results.variants_with_details(dataset):
        rows = results.confidence
        rows = rows[(rows["dataset"] == dataset) & (rows["variant"] == name)]
        if rows.empty:
            continue
        confidence, accuracy = float(rows["confidence"].mean()), float(rows["accuracy"].mean())
        row = results.variant(dataset, name)
        excess = confidence - accuracy
        images = results.test_images[dataset]
        band = max(CLOSE_ACCURACY, 2 * math.sqrt(max(accuracy * (1 - accuracy), 0) / max(images, 1)))
        agree = N_(
            "{label}: mean confidence {confidence} against an accuracy of {accuracy}, confidence and accuracy agree "
            "within the {band} that the test images leave open; calibration error (ECE) {ece}, Brier score {brier}."
        )
        over = N_(
            "{label}: mean confidence {confidence} against an accuracy of {accuracy}, it is overconfident by {excess}; "
            "calibration error (ECE) {ece}, Brier score {brier}."
        )
        under = N_(
            "{label}: mean confidence {confidence} against an accuracy of {accuracy}, it is underconfident by "
            "{excess}; calibration error (ECE) {ece}, Brier score {brier}."
        )
        text = _(
            agree if abs(excess) <= band else over if excess > 0 else under,
            label=results.label(name),
            confidence=percent(confidence),
            accuracy=percent(accuracy),
            excess=unsigned_points(abs(excess)),
            band=plus_minus(band, 1),
            ece=number(row["ece_mean"]),
            brier=number(row["brier_mean"]),
        )
        quality = {"ece": row["ece_mean"], "brier": row["brier_mean"]}
        findings.append(Finding(text, {"confidence": confidence, "accuracy": accuracy, **quality}))
    per_bin = results.test_images[dataset] / CALIBRATION_BINS
    if findings and per_bin < IMAGES_PER_BIN:
        text = (
            _(
                "With about {n} test images in each of 15 bins the calibration error is biased upwards; compare it "
                "between variants rather than with zero.",
                n=count(per_bin),
            )
            if per_bin >= 1
            else _("With fewer test images than the 15 bins of the calibration error it says next to nothing.")
        )
        findings.append(Finding(text, {"images_per_bin": per_bin}))
    return Topic("calibration", tuple(findings))
