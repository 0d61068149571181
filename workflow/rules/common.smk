# The checked study and what the rules share. Nothing here imports NumPy, pandas or TensorFlow: every job parses it.
import hashlib
import inspect
import json
import re
from functools import cache

from convlab.common import i18n
from convlab.common.redaction import account_numbers, fingerprint, masked
from convlab.common.code_digests import code_digest, content_of
from convlab.models.registry import modules
from convlab.study import checklist, layout, registration_files
from convlab.study.load import load_study, read_yaml
from convlab.study.seeds import read_schedule
from convlab.errors import UserError
from convlab.common.specs import canonical_json
from convlab.datasets.registry import kind_of
from convlab.datasets.specs import kind_module
from convlab.probes import registry as probes


def refuse_two_studies(paths):
    """Raise WorkflowError for two config files that are studies: Snakemake would merge them into a third."""
    whole = sorted(path for path in paths if "study" in read_yaml(Path(path)))
    if len(whole) > 1:
        raise WorkflowError(
            f"{' and '.join(map(os.path.relpath, whole))} are studies of their own, and Snakemake would merge them into "
            "another; run one at a time (a file that only changes some settings has no `study`)"
        )


try:
    for path in workflow.configfiles:
        read_yaml(Path(path))
    refuse_two_studies({os.path.abspath(path) for path in workflow.configfiles})
    study = load_study(config)
except UserError as error:
    raise WorkflowError(str(error)) from None

OWN_RECORDS = layout.RECORDS

# Paths of results. As text in rules too, not as rules.<name>.output, which a module's prefix would change twice.
FOLDER = layout.study_folder(study.study)
RESULTS = str(FOLDER)
LOGS = str(layout.logs(FOLDER))
BENCHMARKS = str(layout.benchmarks(FOLDER))
PREPARE = str(layout.prepared(FOLDER, "{dataset}"))
EXPLORE = str(layout.explored(FOLDER, "{dataset}"))
DESCRIBE = str(layout.described(FOLDER, "{dataset}"))
VARIANT = str(layout.trained(FOLDER, "{dataset}") / "{variant}")
TRAIN = str(layout.run(FOLDER, "{dataset}", "{variant}", "{seed}"))
EVALUATE = str(layout.evaluated(FOLDER, "{dataset}", "{variant}"))
TUNED = str(layout.tuned(FOLDER, "{dataset}", "{variant}"))
PROBE = str(layout.probed(FOLDER, "{probe}", "{dataset}"))
REGISTRATION = str(layout.registered(FOLDER))
COMPARE = str(layout.compared(FOLDER))
REPORT = str(layout.reported(FOLDER))
EXPORT = str(layout.exported(FOLDER, "{dataset}"))
EXPORTED_FORMATS = [  # beside model.keras and model.onnx
    f"{EXPORT}/{file}"
    for name, file in {"saved_model": "saved_model", "safetensors": "model.safetensors"}.items()
    if name in study.deploy.formats
]
TIMING = str(layout.timed(FOLDER))
DEPLOY = str(layout.deployed(FOLDER, "{dataset}"))


def tell(text):
    """Print a line to standard error."""
    print(text, file=sys.stderr)


def alternation(names):
    """Regular expression of a wildcard that is one of the names; of any name if there are very many, of none if empty.

    Snakemake writes the pattern into every file name of a rule and goes through it for each job.
    """
    pattern = "|".join(map(re.escape, names))
    return pattern or "(?!)" if len(pattern) < 5000 else "[^/]+"


wildcard_constraints:
    dataset=alternation(study.datasets),
    variant=alternation(study.plan.variants),
    seed=r"\d+",


def called_for_each_job(function):
    """Decorator of a function that Snakemake calls for each job: its signature, for which Snakemake asks three times for
    each, is kept and not worked out again."""
    function.__signature__ = inspect.signature(function)
    return function


@cache
def script_digest(script, *loaded):
    """Digest of a script, of what it imports and of modules that it loads by name, fixed when jobs are planned: an edit
    reruns what it affects, no more."""
    return code_digest(SCRIPTS / f"{script}.py", loaded)


@cache
def families(*variants):
    """Modules of the families of these variants or trials, of all where none is named: what jobs about them load."""
    return modules(study.plan.owner(name).model.family for name in variants or study.plan.variants)


@called_for_each_job
def code_of_run(wildcards):
    """Digest of the code that trains one run: of the families, that of its model alone."""
    return script_digest("train", *families(wildcards.variant))


def code_of_description(wildcards):
    """Digest of the code that describes one model, that of its family included."""
    return script_digest("describe", *families(wildcards.variant))


# Code of `prepare` for each dataset, with the module of its kind, which is loaded by name. No later stage depends on it:
# they read what `prepare` made, so an edit of a kind reruns them by rerunning `prepare`.
CODE_OF_PREPARE = {name: script_digest("prepare", kind_module(spec.kind)) for name, spec in study.datasets.items()}


def files_digest(paths):
    """Digest of files that come with the workflow."""
    return content_of([(path.relative_to(ROOT).as_posix(), path.read_bytes()) for path in paths])


@cache
def results_prefix():
    """What precedes all results' paths if this workflow is used as a module with a prefix; else empty."""
    return str(rules.compare.output.summary).removesuffix(f"{COMPARE}/summary.json")


def on_disk(path):
    """Path of a result on the disk: below the prefix, if this workflow is used as a module with one."""
    return Path(results_prefix() + path)


def folder(path):
    """Parameter of a rule: a folder of results, with a module's prefix or a storage's local folder. A change of it
    reruns nothing, since Snakemake derives it from the output."""

    @called_for_each_job
    def results_folder(wildcards, output):
        return layout.before_results(str(output[0]), FOLDER) + path.format(**dict(wildcards))

    return results_folder


def registration_folder():
    """Folder of the registration on the disk. With results in a storage it lies where Snakemake runs, since it is no
    job's output that would be stored."""
    stored = workflow.storage_settings.default_storage_provider
    return Path(REGISTRATION) if stored else on_disk(REGISTRATION)


def registration(wildcards, output):
    """Parameter of a rule: the registration's folder. A change of it reruns nothing, as of `folder`."""
    return str(registration_folder())


@cache
def altered_registration():
    """Names of the registration's files that are not as they were written: a parameter of what names them."""
    return list(registration_files.read(registration_folder()).altered)


def read_text(path):
    """A file's text; empty if it is missing, unreadable or not UTF-8."""
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, ValueError):
        return ""


def read_json(path):
    """A file's JSON object; empty if it is missing or invalid."""
    try:
        value = json.loads(read_text(path))
    except ValueError:
        return {}
    return value if isinstance(value, dict) else {}


def json_argument(value):
    """JSON for a command line, keys in their order: of two factors the first makes the rows.

    `<` is written so that no text of a config can end the script element in which `snakemake --report` shows the
    parameters. Call it in a function: in other parameters braces would be wildcards."""
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False).replace("<", "\\u003c")


@cache
def figure_entries():
    """Entries of compare's figures, by file name; only for `snakemake --report`."""
    summary = read_json(on_disk(f"{COMPARE}/summary.json"))
    return {entry["file"]: entry for entry in summary.get("figures", [])}


def figure_entry(name):
    """Section, dataset and title of one figure."""
    return figure_entries().get(name) or {"section": "overview", "dataset": "", "title": name}


def strip_report_markup(text):
    """Text without characters that `snakemake --report` reads as wildcards or HTML."""
    return text.translate(str.maketrans("<>{}", "‹›()"))


def of_all(path, **chosen):
    """Expand a path over the config's datasets and variants, or those that are chosen. Results on the disk are never
    searched."""
    every = {"dataset": study.datasets, "variant": study.plan.variants}
    return expand(path, **(every | chosen))


def use_schedule():
    """Give the study the seeds that its variants have so far, from a file that does not change while Snakemake runs.

    Only functions that Snakemake calls after the rules were read may ask for them: a module's prefix is known then.
    """
    try:
        study.with_schedule(read_schedule(registration_folder(), study.seeds))
    except UserError as error:
        raise WorkflowError(str(error)) from None


def schedule_argument(wildcards):
    """Parameter of a rule: the seeds that variants have so far, as JSON; empty for a study without planned looks."""
    return json_argument(study.schedule.as_json() if study.seeds.looks else {})


def of_runs(path, datasets=None, variants=None):
    """The files of the runs of these datasets and variants, of all where none are named."""
    return [
        path.format(dataset=dataset, variant=variant, seed=seed)
        for dataset in datasets or study.datasets
        for variant in variants or study.plan.variants
        for seed in study.seeds_of(dataset, variant)
    ]


def of_all_seeds(path, wildcards):
    """The files of every seed of one variant."""
    return of_runs(path, [wildcards.dataset], [wildcards.variant])


def of_all_trials(path, wildcards):
    """The files of every trial of one variant, of every seed."""
    return of_runs(path, [wildcards.dataset], [trial.name for trial in study.plan.trials_of(wildcards.variant)])


def of_tuned(path):
    """The files of every variant that is tuned."""
    return of_all(path, variant=list(dict.fromkeys(trial.variant for trial in study.plan.trials.values())))


def trial_folders(wildcards, output):
    """Parameter of a rule: the folders of one variant's trials, by their number. A change reruns nothing, as of `folder`."""
    before = layout.before_results(str(output[0]), FOLDER)
    trials = [trial.name for trial in study.plan.trials_of(wildcards.variant)]
    return [before + VARIANT.format(dataset=wildcards.dataset, variant=name) for name in trials]


def seeds_argument(wildcards):
    """Parameter of a rule: the seeds of one variant's runs."""
    return " ".join(map(str, study.seeds_of(wildcards.dataset, wildcards.variant)))


def description_of(dataset, variant):
    """The description of the model of a variant or trial, and so its code, as a list of files; empty for one of known
    layers."""
    described = study.plan.described.get(study.plan.owner(variant).name)
    return [f"{DESCRIBE}/{{variant}}.json".format(dataset=dataset, variant=described)] if described else []


@called_for_each_job
def described_run(wildcards):
    """Input function of `train`: the description of its model."""
    return ancient(description_of(wildcards.dataset, wildcards.variant))


def descriptions(datasets=None, variants=None):
    """The descriptions of these variants' models, of all where none are named."""
    return sorted(
        {
            file
            for dataset in datasets or study.datasets
            for variant in variants or study.plan.variants
            for file in description_of(dataset, variant)
        }
    )


def model_file(wildcards, output):
    """Parameter of a rule: where the user's own Python file lies. It is known by content: a change of the path reruns
    nothing, as of `folder`."""
    return getattr(study.plan.variants[wildcards.variant].model, "file", "")


def of_candidates(path, wildcards):
    """The files of all candidates for export."""
    return of_all(path, dataset=wildcards.dataset, variant=study.plan.candidates)


def runs_of_candidates(path, wildcards):
    """The files of the runs of all candidates for export."""
    return of_runs(path, [wildcards.dataset], study.plan.candidates)


def measuring_probes(looks_inside):
    """Names of the probes that measure trained models: those that look inside of the networks, or the others."""
    measuring = [name for name in probes.names() if probes.has(name, "measure")]
    return [name for name in measuring if probes.settings(name).looks_inside == looks_inside]


def probe_tables():
    """What the probes that are on have measured on trained models: tables, and arrays of those that look inside."""
    return [
        file
        for name, probe in study.plan.probes.items()
        if probes.has(name, "measure")
        for ending in (["csv", "npz"] if probe.settings.looks_inside else ["csv"])
        for file in of_all(f"{PROBE}/{{variant}}.{ending}", probe=name, variant=probe.models)
    ]


def probe_settings(wildcards):
    """The settings that a probe measures with: all but `models`, since each job measures one of them."""
    return getattr(study.probes, wildcards.probe).model_dump(mode="json", exclude={"models"})


def probe_code(wildcards):
    """Digest of the code that measures one probe, and no other."""
    return script_digest("probe", *probes.modules([wildcards.probe], "measure"))


def code_with_probes(script, *parts):
    """Digest of a script's code, of all families and of these files of the probes that are on, which it loads by name."""
    return script_digest(script, *families(), *probes.modules(study.plan.probes, *parts))


def compare_code():
    """Code that compare depends on."""
    return code_with_probes("compare", *probes.COMPARE_PARTS)


def report_code():
    """Code that the report depends on: of the rubrics, the one that it shows."""
    loaded = probes.modules(study.plan.probes, *probes.REPORT_PARTS)
    return script_digest("report", *families(), *loaded, *checklist.modules(study))


def model_card_code():
    """Code that the model card depends on."""
    return code_with_probes("model_card", "settings")


MODEL_CARD = "MODEL_CARD.md.j2"


def templates():
    """Digest of the report's templates."""
    files = [path for path in (ROOT / "report").rglob("*") if path.is_file() and path.name != MODEL_CARD]
    others = {ROOT / "report/diff", ROOT / "report/locale", ROOT / "report/studies", ROOT / "report/peek"}
    return files_digest(sorted(path for path in files if others.isdisjoint(path.parents)))


def messages():
    """Digest of the translations into the report's language; English, the language of the source, needs none."""
    file = i18n.catalogue(study.report.language)
    return files_digest([file]) if file else ""


def config_files():
    """The study's config files for the report: relative to the working folder, or by name alone, so that no path of
    this machine is published and the report is the same wherever the project lies."""
    here = Path.cwd()
    paths = [Path(os.path.abspath(path)) for path in workflow.configfiles]
    names = [str(path.relative_to(here)) if path.is_relative_to(here) else path.name for path in paths]
    return [f"./{name}" if name.startswith("-") else name for name in dict.fromkeys(names)]


def config_values():
    """What `--config` set on the command line, without account numbers."""
    written = dict(workflow.config_settings.config)
    return masked(written, account_numbers([written, study.deploy.options]))


def serving_requirements():
    """Digest of the requirements of the exported handlers."""
    return files_digest([SCRIPTS / "convlab/serving/requirements.txt"])


def job_requirements():
    """Digest of the requirements of training jobs on AWS."""
    return files_digest([SCRIPTS / "convlab/cloud/requirements.txt"])


def card_template():
    """Digest of the model card's template."""
    return files_digest([ROOT / "report" / MODEL_CARD])


# Snakemake logs and records command lines, so `deploy` is given its options by an environment variable of this process,
# and on the command line without account numbers; their fingerprint makes another account another parameter.
if study.deploy.target == "sagemaker":
    os.environ.update(CONVLAB_DEPLOY=canonical_json(study.deploy.options))


def deploy_options():
    """The options as Snakemake may show them: without account numbers."""
    return masked(study.deploy.options, account_numbers(study.deploy.options))


@cache
def deploy_identity():
    """Fingerprint of the options, which differs between accounts without containing their numbers."""
    return fingerprint(canonical_json(study.deploy.options), study.study)


def deploy_code():
    """Digests of the code that a deployment starts: the server here, the training on AWS."""
    candidates = families(*study.plan.candidates)
    on_aws = (
        [script_digest("train_on_sagemaker"), script_digest("train", *candidates), job_requirements()]
        if study.deploy.target == "sagemaker"
        else []
    )
    return [*on_aws, script_digest("serve")]


def deployments():
    """Digest of each deployment's evidence. An input would deploy; a parameter only reruns the report."""
    digests = {}
    for dataset in study.datasets:
        path = on_disk(f"{DEPLOY}/endpoint.json".format(dataset=dataset))
        if path.is_file():
            digests[dataset] = hashlib.sha256(path.read_bytes()).hexdigest()[:16]
    return digests


def timings():
    """Digest of the times that `make timing` measured, empty without any. An input would have Snakemake look for a rule
    that measures them; a parameter only reruns the comparison."""
    record = on_disk(f"{TIMING}/timing.json.checksums")
    return hashlib.sha256(record.read_bytes()).hexdigest()[:16] if record.is_file() else ""


BACKENDS = {variant.training.backend for variant in study.plan.variants.values()}


@called_for_each_job
def software_of_backend(wildcards):
    """Conda environment of a job that computes with Keras: that of the backend of its variant or trial."""
    return f"../../envs/{study.plan.owner(wildcards.variant).training.backend}.yaml"


# As text where one will do for all: a function would be called for each of thousands of jobs.
SOFTWARE = software_of_backend if len(BACKENDS) > 1 else f"../../envs/{min(BACKENDS)}.yaml"


@called_for_each_job
def run_spec(wildcards):
    """The run's spec as canonical JSON. Raises WorkflowError if another run, without a record, is in its place."""
    if sentence := foreign(wildcards.dataset, wildcards.variant, wildcards.seed):
        raise WorkflowError(sentence)
    return canonical_json(study.run(wildcards.dataset, wildcards.variant, int(wildcards.seed)).identity)
