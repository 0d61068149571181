"""Section of tuning: verdicts untuned and tuned side by side, and what was chosen for each variant."""

from convlab.common.i18n import gettext as _
from convlab.findings.contrasts import verdict_text
from convlab.findings.study_results import StudyResults
from convlab.findings.tuning import diverged_trials, ends_of_ranges, order_when_tuned, tuned_contrast
from convlab.language import numbers as say
from convlab.language.contrasts import VERDICTS, contrast_labels
from convlab.page.views import Table, TuningView
from convlab.results.tuning import drawn_settings
from convlab.study.labels import field_label, level_label


def tuning_view(results: StudyResults, dataset: str) -> TuningView | None:
    """What the page shows about tuning on one dataset; None for a study without it."""
    if not results.plan.trials:
        return None
    questions = results.plan.questions.values()
    findings = [finding for question in questions for finding in order_when_tuned(results, dataset, question)]
    return TuningView(
        [*findings, *ends_of_ranges(results, dataset), *diverged_trials(results, dataset)],
        verdicts_table(results, dataset),
        chosen_table(results, dataset),
    )


def verdicts_table(results: StudyResults, dataset: str) -> Table:
    """Every comparison with its difference and verdict, with the config's settings and when both sides are tuned."""
    metric, rows, variants = results.plan.metric, [], []
    for question in results.plan.questions.values():
        for row in results.contrasts(dataset, question.name):
            variant, reference = contrast_labels(results.plan, question, row["variant"])
            tuned = tuned_contrast(results, row)
            rows.append(
                (
                    _("{variant} against {reference}", variant=variant, reference=reference),
                    say.change(row["difference"], metric),
                    verdict_text(row),
                    say.change(tuned["difference"], metric) if tuned else say.MISSING,
                    say.change_interval(tuned["ci_low"], tuned["ci_high"], metric) if tuned else say.MISSING,
                    _(VERDICTS[tuned["verdict"]]) if tuned else say.MISSING,
                )
            )
            variants.append(row["variant"])
    columns = ("contrast", "untuned_difference", "untuned_verdict", "tuned_difference", "tuned_ci", "tuned_verdict")
    return Table("tuned_verdicts", columns, rows, {"dataset": dataset}, variants)


def chosen_table(results: StudyResults, dataset: str) -> Table:
    """Each variant's metric with the config's settings and at its best, and the settings that were chosen, by seed."""
    metric, table = results.plan.metric, results.tuning[results.tuning["dataset"] == dataset]
    settings, rows, names = drawn_settings(table), [], []
    for name, trials in table[table["chosen"] == "yes"].groupby("variant", sort=False):
        untuned, tuned = results.variant(dataset, name), trials[metric.column]
        chosen = [
            ", ".join(level_label(setting, value) for value in sorted(trials[setting].tolist())) for setting in settings
        ]
        rows.append(
            (
                results.label(name),
                str(int(tuned.notna().sum())),
                say.level_and_sd(untuned[f"{metric.column}_mean"], untuned[f"{metric.column}_sd"], metric),
                say.level_and_sd(tuned.mean(), tuned.std(ddof=1), metric),
                "; ".join(f"{field_label(key)} {values}" for key, values in zip(settings, chosen, strict=True)),
            )
        )
        names.append(name)
    return Table(
        "chosen_settings", ("label", "n_seeds", "untuned", "tuned", "settings"), rows, {"dataset": dataset}, names
    )
