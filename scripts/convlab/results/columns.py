"""Columns of every table that a study writes: type, unit and meaning. `make docs` writes docs/tables.md from them.

Tables of ``compare`` take their column names and order from here. ``train``, ``probe`` and ``deploy`` name their own
columns, since a better description must not train, measure or deploy again; a test compares them.
"""

from collections.abc import Mapping
from typing import NamedTuple


class Column(NamedTuple):
    """A column of a table.

    Attributes:
        type: ``text``, ``integer`` or ``number``.
        meaning: one phrase; a choice lists its values.
        unit: of the number; empty for text, counts and dimensionless measures.
    """

    type: str
    meaning: str
    unit: str = ""


class Table(NamedTuple):
    """A table that a study writes.

    Attributes:
        file: path below ``results/<study>/``, with names in angle brackets.
        rows: what one row is.
        columns: by name, in their order. A name in angle brackets stands for any number of columns.
    """

    file: str
    rows: str
    columns: Mapping[str, Column]


FRACTION = "fraction"
METRIC_UNIT = "fraction, or nats of loss"

DATASET = Column("text", "name of the dataset in the config")
VARIANT = Column("text", "name of the variant")
REFERENCE = Column("text", "variant that it is compared with")
EXPERIMENT = Column("text", "name of the experiment or comparison in the config")
SEED = Column("integer", "seed of the run")
PARAMETERS = Column("integer", "trainable and other weights of the model")
MACS = Column("integer", "multiply-accumulate operations for one image")
RECEPTIVE_FIELD = Column(
    "integer", "side of what a unit of the last feature map sees; of a dense model the whole image", "pixels"
)
N_SEEDS = Column("integer", "runs with a value")
N_DIVERGED = Column("integer", "runs that diverged, which have no value")
VAL_ACCURACY = Column("number", "accuracy on the validation images, in the epoch that was kept", FRACTION)
TEST_ACCURACY = Column("number", "accuracy on the test images; empty for a diverged run", FRACTION)
TEST_LOSS = Column("number", "cross-entropy on the test images", "nats")
ECE = Column("number", "expected calibration error: mean distance of accuracy from confidence over bins", FRACTION)
BRIER = Column("number", "Brier score: squared distance of the probabilities from the truth, summed over the classes")
MAJORITY_SHARE = Column("number", "accuracy of always answering with the most frequent class", FRACTION)
STATUS = Column("text", "`finished` or `diverged`")
METRIC = Column("text", "what is compared (`statistics.metric`), by its column in runs.csv")
P_ADJUSTED = Column("number", "`p_value` adjusted over the whole study (Holm)")
SENTENCE = Column("text", "the result in words, in the report's language")

RUNS = {
    "dataset": DATASET,
    "model": Column("text", "name of the model in the config that the variant belongs to"),
    "variant": VARIANT,
    "seed": SEED,
    "parameters": PARAMETERS,
    "macs": MACS,
    "receptive_field": RECEPTIVE_FIELD,
    "epochs_run": Column("integer", "finished epochs"),
    "best_epoch": Column("integer", "epoch whose weights were kept, from 1; 0 for none"),
    "train_seconds": Column("number", "time in epochs, validation included", "s"),
    "images_per_second": Column("number", "training images per second of `train_seconds`", "1/s"),
    "val_accuracy": VAL_ACCURACY,
    "test_accuracy": TEST_ACCURACY,
    "test_loss": TEST_LOSS,
    "ece": ECE,
    "status": STATUS,
    "precision": Column("text", "`training.precision` of the run"),
    "spec_hash": Column("text", "first 16 hexadecimal digits of the SHA-256 of what defines the run"),
    "brier": BRIER,
    "latency_ms": Column("number", "median time of one prediction for one image by the Keras model", "ms"),
    "train_images": Column("integer", "images trained on, without the validation images"),
    "peak_memory_mb": Column("number", "largest resident memory of the training process", "MB"),
    "predictions_sha256": Column("text", "SHA-256 of the run's class probabilities on the test images"),
    "balanced_accuracy": Column("number", "mean recall of the classes; empty where one has no test image", FRACTION),
    "macro_f1": Column("number", "mean F1 of the classes; empty where one has no test image", FRACTION),
    "auroc": Column(
        "number",
        "area under the ROC curve: mean over the classes, each against the rest (of two classes that of the second); "
        "empty where a class has no test image",
        FRACTION,
    ),
    "majority_share": MAJORITY_SHARE,
    "energy_joules": Column("number", "energy of the training; empty where it is unknown", "J"),
    "energy_source": Column(
        "text",
        "how it is known: `estimate` (from CPU time), `rapl` (counters of the processors), `nvml+rapl` and "
        "`nvml+estimate` (counter of the GPU, and the processors by either); empty where it is unknown",
    ),
}

VARIANTS = {
    "dataset": DATASET,
    "model": Column("text", "name of the model in the config that the variant belongs to"),
    "variant": VARIANT,
    "label": Column("text", "its name in tables and figures"),
    "probe": Column("text", "the probe that the variant was trained for; empty for one of the study itself"),
    "n_seeds": N_SEEDS,
    "n_diverged": N_DIVERGED,
    "parameters": PARAMETERS,
    "macs": MACS,
    "receptive_field": RECEPTIVE_FIELD,
    "test_accuracy_mean": Column("number", "mean over the runs", FRACTION),
    "test_accuracy_sd": Column("number", "standard deviation over the runs", FRACTION),
    "test_accuracy_se": Column("number", "standard error of the mean", FRACTION),
    "test_accuracy_ci_low": Column("number", "lower end of the mean's 95 % t interval", FRACTION),
    "test_accuracy_ci_high": Column("number", "upper end of it", FRACTION),
    "test_loss_mean": Column("number", "mean cross-entropy on the test images", "nats"),
    "test_loss_sd": Column("number", "its standard deviation over the runs", "nats"),
    "brier_mean": Column("number", "mean Brier score"),
    "ece_mean": Column("number", "mean expected calibration error", FRACTION),
    "val_accuracy_mean": Column("number", "mean accuracy on the validation images", FRACTION),
    "seconds_per_epoch": Column("number", "mean time of an epoch", "s"),
    "images_per_second": Column("number", "mean training images per second", "1/s"),
    "latency_ms": Column("number", "mean over the runs of the median time of one prediction", "ms"),
    "seconds_per_epoch_sd": Column("number", "standard deviation over the runs", "s"),
    "latency_ms_sd": Column("number", "standard deviation over the runs", "ms"),
    "balanced_accuracy_mean": Column("number", "mean balanced accuracy", FRACTION),
    "macro_f1_mean": Column("number", "mean macro F1", FRACTION),
    "majority_share": MAJORITY_SHARE,
    "test_loss_ci_low": Column("number", "lower end of the mean loss's 95 % t interval", "nats"),
    "test_loss_ci_high": Column("number", "upper end of it", "nats"),
    "balanced_accuracy_sd": Column("number", "standard deviation over the runs", FRACTION),
    "balanced_accuracy_ci_low": Column("number", "lower end of the mean's 95 % t interval", FRACTION),
    "balanced_accuracy_ci_high": Column("number", "upper end of it", FRACTION),
    "macro_f1_sd": Column("number", "standard deviation over the runs", FRACTION),
    "macro_f1_ci_low": Column("number", "lower end of the mean's 95 % t interval", FRACTION),
    "macro_f1_ci_high": Column("number", "upper end of it", FRACTION),
    "auroc_mean": Column("number", "mean area under the ROC curve", FRACTION),
    "auroc_sd": Column("number", "standard deviation over the runs", FRACTION),
    "auroc_ci_low": Column("number", "lower end of the mean's 95 % t interval", FRACTION),
    "auroc_ci_high": Column("number", "upper end of it", FRACTION),
    "distinct_test_images": Column(
        "integer", "test images without a near duplicate among the training images; empty where all are, or none is"
    ),
    "test_accuracy_distinct_mean": Column("number", "mean accuracy on these over the runs; exploratory", FRACTION),
}

COMPARISONS = {
    "dataset": DATASET,
    "experiment": EXPERIMENT,
    "variant": VARIANT,
    "reference": REFERENCE,
    "metric": METRIC,
    "n_seeds": Column("integer", "runs of the side that has fewer"),
    "difference": Column("number", "mean of the variant minus mean of the reference", METRIC_UNIT),
    "ci_low": Column("number", "lower end of its 95 % interval, simultaneous over the experiment", METRIC_UNIT),
    "ci_high": Column("number", "upper end of it", METRIC_UNIT),
    "p_value": Column(
        "number", "of no difference, two-sided, adjusted within the experiment (Dunnett with seeds as blocks, or Holm)"
    ),
    "p_adjusted": P_ADJUSTED,
    "verdict": Column("text", "`better`, `worse`, `equivalent` or `inconclusive`"),
    "ci90_low": Column("number", "lower end of the 90 % interval, which decides on equivalence", METRIC_UNIT),
    "ci90_high": Column("number", "upper end of it", METRIC_UNIT),
    "method": Column(
        "text", "`Dunnett, seeds as blocks`, `paired t`, `paired t with Holm`, or `none` where nothing is inferred"
    ),
    "detectable": Column(
        "number", "smallest true difference that this design calls better or worse in 80 % of studies", METRIC_UNIT
    ),
    "seeds_to_settle": Column(
        "integer",
        "seeds that would settle an inconclusive comparison, were the observed difference true; none for planned looks",
    ),
    "sentence": SENTENCE,
    "p_equivalence": Column(
        "number", "of two one-sided tests against ± `statistics.rope`, adjusted within the experiment"
    ),
    "p_equivalence_adjusted": Column("number", "`p_equivalence` adjusted over the whole study (Bonferroni)"),
    "n_variant": Column("integer", "finished runs of the variant"),
    "n_reference": Column("integer", "finished runs of the reference"),
    "n_diverged_variant": Column("integer", "diverged runs of the variant"),
    "n_diverged_reference": Column("integer", "diverged runs of the reference"),
    "finished_verdict": Column("text", "the verdict if the diverged runs were left out"),
}

NEW_IMAGES = {
    "new_images_ci_low": Column(
        "number", "lower end of an interval that also covers the choice of test images; of accuracy only", FRACTION
    ),
    "new_images_ci_high": Column("number", "upper end of it", FRACTION),
    "new_images_p": Column("number", "of no difference for new seeds and new images, two-sided"),
    "new_images_p_adjusted": Column("number", "`new_images_p` adjusted over all contrasts of the study (Holm)"),
    "new_images_p_equivalence_adjusted": Column(
        "number", "of two one-sided tests for new images, adjusted over all contrasts of the study (Bonferroni)"
    ),
    "new_images_verdict": Column("text", "the verdict for new test images, by the rule of `verdict`"),
    "new_images_sentence": Column("text", "the result for new test images in words"),
    "new_images_narrowing": Column("text", "whether more seeds or more test images would narrow that interval"),
    "new_images_scatter": Column("text", "the split of `sd_seeds` in words"),
    "new_images_half_width_seeds": Column(
        "number", "half width of that interval with infinitely many seeds and as many images, estimated", FRACTION
    ),
    "new_images_half_width_images": Column(
        "number", "half width of that interval with infinitely many images and as many seeds, estimated", FRACTION
    ),
    "sd_seeds": Column("number", "standard deviation over seeds of the difference within a seed", FRACTION),
    "sd_seeds_these_images": Column(
        "number", "the part of `sd_seeds` that a finite number of test images causes", FRACTION
    ),
    "sd_seeds_any_images": Column(
        "number", "the part that would remain on infinitely many images; the squares of both add up", FRACTION
    ),
}

ROBUSTNESS = {
    "dataset": DATASET,
    "experiment": EXPERIMENT,
    "variant": VARIANT,
    "analysis": Column(
        "text",
        "`paired`, `unpaired` and `welch` tests; `rope_half` and `rope_double`; `no_near_duplicates`, without test "
        "images that have one in the training data; `without_seed_<n>`; `loss` instead of the metric; `last_epoch` "
        "instead of the kept one, where they are the same; `tuned`, of the runs that tuning chose",
    ),
    "difference": Column("number", "of the means of the metric by this analysis, of `loss` in nats", METRIC_UNIT),
    "ci_low": Column(
        "number", "exploratory: lower end of its 95 % interval, simultaneous over the experiment", METRIC_UNIT
    ),
    "ci_high": Column("number", "upper end of it", METRIC_UNIT),
    "verdict": Column("text", "`better`, `worse`, `equivalent` or `inconclusive`; `loss` cannot be equivalent"),
    "flips": Column("text", "`True` where the verdict is not that of comparisons.csv, else `False`"),
}

TUNING = {
    "dataset": DATASET,
    "variant": VARIANT,
    "seed": SEED,
    "trial": Column("integer", "number of the draw, from 1; with a seed the same settings for every variant"),
    "chosen": Column(
        "text", "`yes` for the trial with the best validation accuracy of its variant and seed, else empty"
    ),
    "status": STATUS,
    "val_accuracy": VAL_ACCURACY,
    "val_loss": Column("number", "cross-entropy on the validation images, in the epoch that was kept", "nats"),
    "test_accuracy": Column("number", "accuracy on the test images, which only chosen trials have seen", FRACTION),
    "test_loss": TEST_LOSS,
    "balanced_accuracy": RUNS["balanced_accuracy"],
    "macro_f1": RUNS["macro_f1"],
    "auroc": RUNS["auroc"],
    "spec_hash": RUNS["spec_hash"],
    "<setting>": Column("number", "value of a drawn setting, a column for each one of `tuning.over`"),
}

REGISTRATION = {
    "registration": Column(
        "text",
        "`registered` before any run; `changed` or `added` when runs were known, and so exploratory",
    ),
    "n_runs_known": Column(
        "integer", "runs that were known when it was changed or added: those that the last look saw"
    ),
}
"""Last columns of what a study registers: contrasts and claims."""

SETTLED = {
    "look": Column("integer", "the look that settled it, with its `n_seeds`; empty if none has"),
    "n_looks": Column("integer", "looks that the study has planned"),
}
"""Last columns of contrasts and claims."""

CONDITIONS = {
    "conditions": Column(
        "text",
        "what else differs between the runs that are compared: conditions under which they were made and, of a "
        "comparison, settings of `training`; separated by `;`",
    ),
}

TRENDS = {
    "dataset": DATASET,
    "experiment": EXPERIMENT,
    "factor": Column("text", "field that is varied"),
    "n_levels": Column("integer", "levels of the factor"),
    "n_blocks": Column("integer", "seeds of which every level has a finished run"),
    "p_value": Column("number", "exploratory: of Page's trend test, two-sided, not adjusted over the study"),
    "slope": Column("number", "change of the metric per `slope_per`, mean over seeds", METRIC_UNIT),
    "ci_low": Column("number", "lower end of the slope's 95 % t interval", METRIC_UNIT),
    "ci_high": Column("number", "upper end of it", METRIC_UNIT),
    "slope_per": Column("text", "`doubling` or `unit` of the factor"),
    "sentence": SENTENCE,
    "metric": METRIC,
}

FACTORIALS = {
    "dataset": DATASET,
    "experiment": EXPERIMENT,
    "effect": Column("text", "one of the two factors, or `interaction`"),
    "n_blocks": Column("integer", "seeds of which every combination has a finished run"),
    "df": Column("integer", "degrees of freedom of the effect"),
    "df_residual": Column("integer", "degrees of freedom of the residual"),
    "f_statistic": Column("number", "F of the effect, with seeds as blocks"),
    "p_value": Column("number", "exploratory: of no effect, not adjusted over the study"),
    "contrast": Column(
        "number",
        "of 2 × 2 levels: by how much the second factor's effect differs between the first one's levels",
        METRIC_UNIT,
    ),
    "ci_low": Column("number", "lower end of its 95 % t interval", METRIC_UNIT),
    "ci_high": Column("number", "upper end of it", METRIC_UNIT),
    "sentence": SENTENCE,
    "metric": METRIC,
}

CLAIMS = {
    "claim": Column("text", "`id` of the claim in the config"),
    "source": Column("text", "where it was stated"),
    "published": Column("text", "the figure stated there"),
    "measured": Column("number", "value of `quantity` in this study; shares as fractions, times in `unit`"),
    "ci_low": Column("number", "lower end of its 95 % t interval over seeds; empty for exact quantities"),
    "ci_high": Column("number", "upper end of it"),
    "verdict": Column("text", "`supported`, `contradicted`, `inconclusive`, or `described` for one about times"),
    "dataset": DATASET,
    "text": Column("text", "the claim in words"),
    "rule": Column("text", "its rule"),
    "n_seeds": Column("integer", "`replicates` that it was decided with; empty for exact quantities"),
    "p_value": Column(
        "number",
        "one-sided, of the opposite of the verdict, or that of the contrast that the claim repeats; empty for exact "
        "quantities",
    ),
    "p_adjusted": P_ADJUSTED,
    "reason": Column("text", "the decision in words, in the report's language"),
    "quantity": Column("text", "what was measured, as the rule writes it"),
    "unit": Column("text", "how `reason` prints the values: `%`, `pp`, `s` or `ms`; empty for what has no unit"),
    "met_by_guess": Column("text", "`yes` where a constant guess meets the rule too; empty otherwise"),
    "replicates": Column(
        "text", "what `n_seeds` counts: `seeds`, or for times `rounds` of `make timing`; empty for exact quantities"
    ),
}

PER_CLASS = {
    "dataset": DATASET,
    "variant": VARIANT,
    "class": Column("text", "name of the class"),
    "support": Column("integer", "test images of the class"),
    "precision": Column(
        "number", "mean over runs of: share of the images predicted as the class that belong to it", FRACTION
    ),
    "recall": Column("number", "mean over runs of: share of the class's images that are predicted as it", FRACTION),
    "f1": Column("number", "mean over runs of the harmonic mean of both", FRACTION),
    "recall_sd": Column("number", "standard deviation of recall over runs", FRACTION),
    "n_seeds": Column("integer", "runs in which recall is defined"),
    "precision_seeds": Column("integer", "runs in which precision is defined"),
}

TIMED = {
    "dataset": DATASET,
    "variant": VARIANT,
    "round": Column("integer", "round, from 1; each times every variant once"),
    "position": Column("integer", "place of the variant in the round's random order, from 1"),
    "seconds_per_epoch": Column("number", "time of a whole epoch, validation included, from `timed_images`", "s"),
    "images_per_second": Column("number", "training images per second of it", "1/s"),
    "latency_ms": Column("number", "median time of one prediction for one image by the Keras model", "ms"),
    "timed_images": Column("integer", "training images in each epoch that was timed; the rest of an epoch is scaled"),
    "other_load": Column("number", "processor cores that were busy with something else meanwhile"),
}
"""Columns of what ``make timing`` measures."""

TIMINGS = TIMED | {
    "excluded": Column(
        "text", "why these times decide no claim: what differs from the runs, or `busy machine`; empty if they do"
    ),
}

CONVOLUTIONS = {
    "dataset": DATASET,
    "experiment": EXPERIMENT,
    "layer": Column("text", "name of the convolution in the Keras model; levels are matched by it"),
    "variant": VARIANT,
    "reference": REFERENCE,
    "filters": Column("integer", "filters of the convolution"),
    "measure": Column(
        "text",
        "`dead_filters`, share of the filters whose output is zero on all images that were looked at, and "
        "`zero_outputs`, share of the outputs that are zero (APoZ), both only where the activation clips at zero; "
        "`smoothness`, correlation of neighbouring weights about zero, mean over the filters; `effective_maps`, number "
        "of feature maps that vary independently (participation ratio of their covariance)",
    ),
    "n_seeds": N_SEEDS,
    "mean": Column("number", "mean over the runs", "that of the measure"),
    "sd": Column("number", "standard deviation over the runs", "that of the measure"),
    "n_pairs": Column("integer", "seeds with a value of both sides; 0 for the reference itself"),
    "difference": Column("number", "mean over seeds of the difference within a seed", "that of the measure"),
    "ci_low": Column("number", "lower end of its 95 % t interval, exploratory: not adjusted", "that of the measure"),
    "ci_high": Column("number", "upper end of it", "that of the measure"),
    "n_diverged": Column("integer", "seeds left out, for a run of either side diverged"),
}

PROBE_CURVES = {
    "dataset": DATASET,
    "probe": Column("text", "name of the probe"),
    "variant": Column("text", "name of the variant; of a probe that trains, of the model that it trained again"),
    "measure": Column("text", "what was measured, see below"),
    "level": Column("text", "the point of the curve, as figures label it"),
    "order": Column(
        "number", "the same as a number: block side, shift, images or receptive field; `inf` for what is left whole"
    ),
    "n_seeds": N_SEEDS,
    "mean": Column("number", "mean over the runs", "that of the measure"),
    "sd": Column("number", "standard deviation over the runs", "that of the measure"),
    "ci_low": Column("number", "lower end of the mean's 95 % t interval", "that of the measure"),
    "ci_high": Column("number", "upper end of it", "that of the measure"),
    "n_diverged": Column("integer", "runs without a value: they diverged, or have nothing to measure"),
}

PROBE_CONTRASTS = {
    "dataset": DATASET,
    "probe": Column("text", "name of the probe"),
    "variant": VARIANT,
    "reference": Column("text", "variant that is subtracted; empty where a variant is compared with itself"),
    "measure": Column("text", "which difference, see below; of a probe that trains with its level"),
    "n_seeds": Column("integer", "seeds of which both sides have a finished run"),
    "difference": Column("number", "mean over seeds of the difference within a seed", FRACTION),
    "ci_low": Column("number", "lower end of its 95 % t interval, exploratory: not adjusted", FRACTION),
    "ci_high": Column("number", "upper end of it", FRACTION),
    "n_diverged": Column("integer", "seeds left out, for one of their runs diverged or has nothing to measure"),
}

HISTORY = {
    "epoch": Column("integer", "from 1"),
    "loss": Column(
        "number",
        "cross-entropy on the training images, labels smoothed, mixed and weighed as the recipe says, mean over the "
        "epoch while the weights change",
        "nats",
    ),
    "accuracy": Column(
        "number", "accuracy on the training images, mean over the epoch while the weights change", FRACTION
    ),
    "val_loss": Column("number", "cross-entropy on the validation images after the epoch", "nats"),
    "val_accuracy": Column("number", "accuracy on the validation images after the epoch", FRACTION),
    "seconds": Column("number", "time of the epoch, validation included", "s"),
    "learning_rate": Column("number", "size of the update in the epoch's last step"),
}

MEASURED_RUN = {"dataset": DATASET, "variant": VARIANT, "seed": SEED}
"""First columns of what a probe measures on trained models; the others are described in its ``table.py``."""

ANSWERS = {
    "index": Column("integer", "position among the test images, from 0"),
    "true_class": Column("integer", "class of the image, from 0"),
    "predicted_class": Column("integer", "class that the endpoint answered, from 0"),
    "label": Column("text", "name of the predicted class"),
    "probability": Column("number", "its probability", FRACTION),
    "correct": Column("text", "`True` or `False`"),
    "latency_ms": Column("number", "from sending the request to having read the answer", "ms"),
}

LOOKS = {
    "look": Column("integer", "its number, from 1"),
    "time": Column("text", "when it was, UTC"),
    "commit": Column("text", "of convlab's checkout, with `+` where it was changed; empty if not known"),
    "registration": Column("text", "SHA-256 of the study's registration, or of its last amendment; empty without one"),
    "runs": Column("integer", "runs that it saw"),
    "seeds": Column("text", "finished runs of a variant, `3` or `3-9`"),
    "data": Column("text", "`<dataset>=<digest of its arrays>`, separated by spaces"),
    "results": Column("text", "digest of the predictions of all runs"),
    "chain": Column("text", "digest of this row and of the chain of the row before"),
}

CLASS_DISTRIBUTION = {
    "class": Column("text", "name of the class"),
    "train": Column("integer", "training images, those included that each seed sets aside for validation"),
    "test": Column("integer", "test images"),
    "validation": Column("integer", "validation images that the data bring; empty where they bring none"),
}

DIMENSIONS = {
    "pixels": Column("integer", "an extent of what differs from an image's background", "pixels"),
    "height": Column("integer", "training images whose content is that high"),
    "width": Column("integer", "training images whose content is that wide"),
}

INTENSITIES = {
    "value": Column("integer", "value of a pixel, 0 to 255"),
    "<channel>": Column("integer", "pixels of the training images with this value, a column for each channel"),
}

NEAR_DUPLICATES = {
    "test_index": Column("integer", "position among the test images, from 0"),
    "train_index": Column("integer", "position of the closest training image, from 0"),
    "rms": Column("number", "root mean square difference of their pixels", "grey levels"),
}

CLOSEST_PAIRS = {
    "test_index": Column("integer", "position among the test images, from 0"),
    "test_class": Column("text", "name of its class"),
    "train_index": Column("integer", "position of the closest training image, from 0"),
    "train_class": Column("text", "name of its class"),
    "rms": Column("number", "root mean square difference of their pixels", "grey levels"),
}

SAMPLES = {
    "class": Column("text", "name of the class"),
    "train_index": Column("integer", "position among the training images, from 0"),
    "mean": Column("number", "mean of the image's pixels", "grey levels"),
    "sd": Column("number", "standard deviation of them", "grey levels"),
}

MEAN_IMAGES = {
    "class": Column("text", "name of the class"),
    "images": Column("integer", "training images of the class"),
    "mean": Column("number", "mean of the mean image's pixels", "grey levels"),
    "sd": Column("number", "standard deviation of them", "grey levels"),
}

CALIBRATION = {
    "confidence": Column("number", "mean confidence of the bin", FRACTION),
    "accuracy": Column("number", "accuracy in the bin", FRACTION),
    "images": Column("number", "test images in the bin, mean over the runs"),
    "variant": VARIANT,
}

CONFUSION = {
    "true class": Column("text", "name of the class that the images belong to"),
    "<class>": Column("integer", "predictions of this class, summed over the finished runs, a column for each class"),
}


def _some(columns: Mapping[str, Column], *names: str) -> dict[str, Column]:
    return {name: columns[name] for name in names}


SEEDS_SHOWN = _some(
    RUNS,
    *("variant", "seed", "val_accuracy", "test_accuracy", "test_loss", "status"),
    *("balanced_accuracy", "macro_f1", "auroc"),
)

DIFFERENCES_SHOWN = _some(
    COMPARISONS, "variant", "reference", "n_seeds", "difference", "ci_low", "ci_high", "p_adjusted", "verdict", "metric"
)

COSTS_SHOWN = _some(
    VARIANTS,
    *("variant", "label", "parameters", "macs", "receptive_field", "seconds_per_epoch", "n_seeds"),
    *("test_accuracy_mean", "test_accuracy_sd", "test_loss_mean", "test_loss_sd"),
    *("balanced_accuracy_mean", "balanced_accuracy_sd", "macro_f1_mean", "macro_f1_sd", "auroc_mean", "auroc_sd"),
)

HISTORIES_SHOWN = {
    "variant": VARIANT, "seed": SEED,
    **_some(HISTORY, "epoch", "loss", "accuracy", "val_loss", "val_accuracy", "learning_rate"),
}  # fmt: skip

CONVOLUTION_RUNS = {
    "variant": VARIANT,
    "seed": SEED,
    "layer": CONVOLUTIONS["layer"],
    "filters": CONVOLUTIONS["filters"],
    "dead_filters": Column(
        "number", "share of the filters whose output is zero on all images that were looked at", FRACTION
    ),
    "zero_outputs": Column("number", "share of the outputs that are zero (APoZ)", FRACTION),
    "smoothness": Column("number", "correlation of neighbouring weights about zero, mean over the filters"),
    "effective_maps": Column("number", "feature maps that vary independently: participation ratio of their covariance"),
}

TUNING_SHOWN = _some(TUNING, "variant", "seed", "trial", "chosen", "val_accuracy", "<setting>")

PREDICTIONS_SHOWN = {
    "test_index": Column("integer", "position among the test images, from 0"),
    "true class": Column("text", "name of the class that the image belongs to"),
    "preferred class": Column("text", "name of the class with the highest mean probability"),
    "mean_probability": Column("number", "its probability, mean over the finished runs", FRACTION),
    "runs_right": Column("integer", "finished runs that predict the true class"),
}

RECALL_SHOWN = _some(PER_CLASS, "variant", "class", "support", "recall", "recall_sd")

TABLES = (
    Table("compare/runs.csv", "a run: dataset, variant and seed", RUNS),
    Table("compare/variants.csv", "a variant on a dataset", VARIANTS),
    Table(
        "compare/comparisons.csv",
        "a contrast: a variant against the reference of its question, on a dataset",
        COMPARISONS | NEW_IMAGES | REGISTRATION | SETTLED | CONDITIONS,
    ),
    Table("compare/robustness.csv", "a contrast that was tested, by another analysis", ROBUSTNESS),
    Table("compare/tuning.csv", "a trial of tuning: a variant on a dataset, with a seed and a draw", TUNING),
    Table("compare/claims.csv", "a claim on a dataset", CLAIMS | REGISTRATION | SETTLED | CONDITIONS),
    Table("compare/trends.csv", "an experiment whose three or more levels have an order, on a dataset", TRENDS),
    Table("compare/factorials.csv", "an effect of an experiment of two factors, on a dataset", FACTORIALS),
    Table("compare/per_class.csv", "a class and variant, on a dataset", PER_CLASS),
    Table("compare/timings.csv", "a process of `make timing`: a variant on a dataset, in a round", TIMINGS),
    Table("compare/convolutions.csv", "a measure of a convolution of a variant, in a question", CONVOLUTIONS),
    Table("compare/probe_curves.csv", "a point of a probe's curve", PROBE_CURVES),
    Table("compare/probe_contrasts.csv", "a difference that a probe measured", PROBE_CONTRASTS),
    Table("train/<dataset>/<variant>/seed-<seed>/history.csv", "an epoch", HISTORY),
    Table("registration/looks.csv", "an analysis that saw other test results than the one before", LOOKS),
    Table("timing/timings.csv", "a process of `make timing`: a variant on a dataset, in a round", TIMED),
    Table("deploy/<dataset>/answers.csv", "a test image that the endpoint was sent", ANSWERS),
    Table("explore/<dataset>/class_distribution.csv", "a class", CLASS_DISTRIBUTION),
    Table("explore/<dataset>/dimensions.csv", "a number of pixels", DIMENSIONS),
    Table("explore/<dataset>/intensities.csv", "a value", INTENSITIES),
    Table(
        "explore/<dataset>/near_duplicates.csv",
        "a test image that has a near duplicate among the training images",
        NEAR_DUPLICATES,
    ),
    Table("explore/<dataset>/closest_pairs.csv", "a pair of the figure of near duplicates", CLOSEST_PAIRS),
    Table("explore/<dataset>/samples.csv", "a training image of the figure of samples", SAMPLES),
    Table("explore/<dataset>/mean_images.csv", "a class", MEAN_IMAGES),
)
"""Every table but those of probes, which their folders describe, and of figures."""

FIGURES = (
    Table("compare/figures/<dataset>-accuracy.csv", "a run", SEEDS_SHOWN),
    Table("compare/figures/<dataset>-<question>-seeds.csv", "a run", SEEDS_SHOWN),
    Table("compare/figures/<dataset>-<question>-differences.csv", "a contrast", DIFFERENCES_SHOWN),
    Table("compare/figures/<dataset>-<question>-costs.csv", "a variant", COSTS_SHOWN),
    Table("compare/figures/<dataset>-costs.csv", "a variant", COSTS_SHOWN),
    Table("compare/figures/<dataset>-tuning.csv", "a trial of tuning", TUNING_SHOWN),
    Table("compare/figures/<dataset>-curves.csv", "an epoch of a run", HISTORIES_SHOWN),
    Table("compare/figures/<dataset>-probe-<probe>.csv", "a point of the probe's curve", PROBE_CURVES),
    Table("compare/figures/<dataset>-<variant>-confusion.csv", "a true class", CONFUSION),
    Table("compare/figures/<dataset>-<question>-combinations.csv", "a variant", COSTS_SHOWN),
    Table("compare/figures/<dataset>-<variant>-predictions.csv", "an image", PREDICTIONS_SHOWN),
    Table("compare/figures/<dataset>-<variant>-mistakes.csv", "an image", PREDICTIONS_SHOWN),
    Table("compare/figures/<dataset>-<variant>-disputed.csv", "an image", PREDICTIONS_SHOWN),
    Table("compare/figures/<dataset>-<question>-levels-<n>-filters.csv", "a run", CONVOLUTION_RUNS),
    Table("compare/figures/<dataset>-<question>-levels-<n>-maps.csv", "a run", CONVOLUTION_RUNS),
    Table("compare/figures/<dataset>-<variant>-layer-<n>-filters.csv", "a run", CONVOLUTION_RUNS),
    Table("compare/figures/<dataset>-<variant>-layer-<n>-maps.csv", "a run", CONVOLUTION_RUNS),
    Table("compare/figures/<dataset>-recall.csv", "a class and variant", RECALL_SHOWN),
    Table("compare/figures/<dataset>-calibration.csv", "a bin of equally many images, of a variant", CALIBRATION),
)
"""The numbers that each figure shows, beside it."""
