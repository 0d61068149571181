# Results of which Snakemake has no record of how they were made (.snakemake/metadata): copied from elsewhere, or the
# records were cleaned away. Snakemake then compares times only. Each job therefore writes a digest of its inputs beside
# its results (a run has them in run.json); here, while jobs are planned, the digests are compared with the config, the
# code and the data. If Snakemake has a record, it decides.
#
# Damaged results, with a record or without, are detected here, too, and made again.
from types import SimpleNamespace

from snakemake.io import IOFile

from convlab.common.code_digests import code_parts
from convlab.datasets.content_digest import content_digest
from convlab.datasets.specs import DATASET_TEXTS


@cache
def images_digest(dataset):
    """Digest of a user's own images; empty for others. Only the main process compares and records parameters."""
    spec = study.datasets[dataset]
    if not spec.users_own or not workflow.is_main_process:
        return ""
    index = OWN_RECORDS / f"{study.study}-{dataset}.json"
    return content_digest(Path(spec.path).expanduser(), index, tell, kind_of(spec).files)


def seeds_of_job(wildcards):
    """The seeds of the runs that a job reads."""
    return study.seeds_of(wildcards.dataset, wildcards.variant)


def trials_of_job(wildcards):
    """The trials of the variant that a job is about."""
    return [trial.name for trial in study.plan.trials_of(wildcards.variant)]


# What results depend on beside their input files, by rule, and a file that each job writes.
MADE_FROM = {
    "prepare": lambda wildcards: [
        CODE_OF_PREPARE[wildcards.dataset],
        images_digest(wildcards.dataset),
        study.datasets[wildcards.dataset].model_dump(mode="json", exclude=DATASET_TEXTS),
    ],
    "describe": lambda wildcards: [
        code_of_description(wildcards),
        study.plan.variants[wildcards.variant].built_by,
    ],
    "explore": lambda wildcards: [script_digest("explore"), messages(), study.report.language],
    "evaluate": lambda wildcards: [script_digest("evaluate"), seeds_of_job(wildcards), choices],
    "evaluate_tuned": lambda wildcards: [
        *(script_digest("evaluate"), seeds_of_job(wildcards), choices, trials_of_job(wildcards)),
    ],
    "probe": lambda wildcards: [probe_code(wildcards), probe_settings(wildcards), seeds_of_job(wildcards), choices],
    "probe_inside": lambda wildcards: MADE_FROM["probe"](wildcards),
    "compare": lambda wildcards: [compare_code(), messages(), study.settings, timings(), schedule_argument(wildcards)],
    "report": lambda wildcards: [
        *(report_code(), messages(), templates()),
        *(study.validated_config, deployments(), config_files(), config_values(), schedule_argument(wildcards)),
    ],
    "export_model": lambda wildcards: [
        *(
            script_digest("export", *families(*study.plan.candidates)),
            serving_requirements(),
            study.choice(wildcards.dataset),
        ),
    ],
    "model_card": lambda wildcards: [model_card_code(), card_template(), study.validated_config],
    "deploy_model": lambda wildcards: [script_digest("deploy"), deploy_code(), deploy_options(), deploy_identity()],
}
STAMPS = {
    "prepare": (f"{PREPARE}/.made_from", f"{PREPARE}/manifest.json"),
    "describe": (f"{DESCRIBE}/.{{variant}}.made_from", f"{DESCRIBE}/{{variant}}.json"),
    "explore": (f"{EXPLORE}/.made_from", f"{EXPLORE}/summary.json"),
    "evaluate": (f"{EVALUATE}/.made_from", f"{EVALUATE}/metrics.json"),
    "evaluate_tuned": (f"{TUNED}/.made_from", f"{TUNED}/metrics.json"),
    "probe": (f"{PROBE}/.{{variant}}.made_from", f"{PROBE}/{{variant}}.csv"),
    "probe_inside": (f"{PROBE}/.{{variant}}.made_from", f"{PROBE}/{{variant}}.csv"),
    "compare": (f"{COMPARE}/.made_from", f"{COMPARE}/summary.json"),
    "report": (f"{REPORT}/.made_from", f"{REPORT}/index.html"),
    "export_model": (f"{EXPORT}/.made_from", f"{EXPORT}/export.json"),
    "model_card": (f"{EXPORT}/.card_made_from", f"{EXPORT}/MODEL_CARD.md"),
    "deploy_model": (f"{DEPLOY}/.made_from", f"{DEPLOY}/answers.csv"),
}

# Results in a storage are not here to be read.
PLANS = workflow.is_main_process and not workflow.storage_settings.default_storage_provider


def made_from(rule):
    """Parameter of a rule: the digest of inputs that its job writes beside the results."""
    return lambda wildcards: content_of([(rule, canonical_json(MADE_FROM[rule](wildcards)).encode())])


@cache
def warn_of_triggers():
    """Warn if rerun triggers are limited to times, as a user's profile for all workflows may do."""
    if workflow.is_main_process and "params" not in map(str, workflow.dag_settings.rerun_triggers):
        tell(
            "rerun-triggers leave out params: changed settings, data and code will run nothing; add params to them, or "
            "name profiles/default with --workflow-profile"
        )


def verified(rule):
    """Input function of a rule: returns no file, but checks for results that are damaged or without a record."""

    def look(wildcards):
        warn_of_triggers()
        damaged_results()
        up_to_date(rule, tuple(wildcards.items()))
        return []

    return look


@cache
def damaged_results():
    """Damaged results; their jobs are forced. Nothing is changed on the disk, since this may be a dry run."""
    damaged = checksums.find_damaged(on_disk(RESULTS), SEEN, remember=False) if PLANS else {}
    for path, main in damaged.items():
        tell(f"{path} is damaged; it counts as outdated")
        force_job(main)
    return damaged.keys()


@cache
def up_to_date(rule, wildcards):
    """Whether a job's results, if Snakemake has no record of it, are of this config, code and data; if not, the job is
    forced, and a line tells why."""
    stamp, output = (on_disk(path.format(**dict(wildcards))) for path in STAMPS[rule])
    if not PLANS or not output.is_file():
        return True
    if read_text(stamp).strip() == made_from(rule)(SimpleNamespace(**dict(wildcards))) or recorded(rule, wildcards):
        return True
    plan_again(output, "of other settings, data or code, or does not say of which")
    return False


@called_for_each_job
def manifest_of_run(wildcards):
    """Input function of `train`: the data's manifest, after a check of runs without a record.

    The manifest's time is ignored if the run's record has the same arrays: copying results does not keep the order of
    times.
    """
    damaged_results()
    manifest = f"{PREPARE}/manifest.json".format(dataset=wildcards.dataset)
    return ancient(manifest) if run_is_known(wildcards.dataset, wildcards.variant, wildcards.seed) else manifest


@cache
def run_is_known(dataset, variant, seed):
    """Whether a run without a record is of this config, code and data."""
    path = unrecorded_run(dataset, variant, seed)
    if path is None:
        return False
    trained = read_json(path)
    if trained.get("spec_hash") != study.run(dataset, variant, int(seed)).spec_hash:
        return False  # `foreign` says more
    if trained.get("code") != code_parts_of_run(variant):
        plan_again(path, "of other code")
        return False
    arrays = read_json(on_disk(f"{PREPARE}/manifest.json".format(dataset=dataset))).get("arrays", {})
    if trained.get("data_sha256") != {name: entry["sha256"] for name, entry in arrays.items()}:
        plan_again(path, "of other data")
        return False
    return up_to_date("prepare", (("dataset", dataset),))


def foreign(dataset, variant, seed):
    """Reason to refuse a run without a record: it has other settings, and training would overwrite what may have taken
    days. Empty if it is the config's.

    Called by `run_spec`, since Snakemake takes an error in an input function for a file that no rule makes.
    """
    path = unrecorded_run(dataset, variant, seed)
    if path is None:
        return ""
    expected, spec_hash = study.run(dataset, variant, int(seed)).spec_hash, read_json(path).get("spec_hash")
    if spec_hash == expected:
        return ""
    return (
        f"{path} is of a run with spec hash {spec_hash}, but the config asks for {expected}, and Snakemake has no record "
        f"of how it was made; delete {path.parent} to train it again, or use another study name"
    )


@cache
def unrecorded_run(dataset, variant, seed):
    """The record of a run that must be checked by what it says: it exists, is intact, and Snakemake has no record of its
    job. None for others."""
    path = on_disk(f"{TRAIN}/run.json".format(dataset=dataset, variant=variant, seed=seed))
    checked = PLANS and path.is_file() and path not in damaged_results()
    wildcards = ("dataset", dataset), ("variant", variant), ("seed", seed)
    return path if checked and not recorded("train", wildcards) else None


@cache
def code_parts_of_run(variant):
    """The code of a run of a variant, as its record has it."""
    return code_parts(SCRIPTS / "train.py", families(variant))


@cache
def recorded(rule, wildcards):
    """Whether Snakemake has a record of a job, with which it compares parameters: of one of its files is enough."""
    files = (str(output).format(**dict(wildcards)) for output in getattr(rules, rule).output)
    return any(workflow.persistence.metadata(IOFile(file)) is not None for file in files)


def plan_again(output, why):
    """Force a job without a record, and print why."""
    tell(f"{output.parent} is {why}, and Snakemake has no record of it; it counts as outdated")
    force_job(output)


def force_job(output):
    """Force the job of an output, as `--forcerun` would, while jobs are planned."""
    workflow.dag.forcefiles.add(str(output))
