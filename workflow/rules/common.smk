# The checked study and what the rules share. Nothing here imports NumPy, pandas or TensorFlow: every job parses it.
import hashlib
import json
import re
from functools import cache

from snakemake.io import IOFile

from convlab import i18n
from convlab.code_inputs import code_inputs
from convlab.config import load_study, read_yaml
from convlab.errors import UserError
from convlab.fingerprint import content_digest
from convlab.specs import ImageFolder, OwnImages, canonical_json

try:
    for path in workflow.configfiles:
        read_yaml(Path(path))
    study = load_study(config)
except UserError as error:
    raise WorkflowError(str(error)) from None

RESULTS = f"results/{study.study}"
LOGS = f"{RESULTS}/logs"
BENCHMARKS = f"{RESULTS}/benchmarks"


wildcard_constraints:
    dataset="|".join(map(re.escape, study.datasets)),
    variant="|".join(map(re.escape, study.plan.variants)),
    seed=r"\d+",


def code(script):
    """The script and the modules that it imports, so that an edit reruns what it affects and nothing else."""
    return [os.path.relpath(path) for path in code_inputs(SCRIPTS / f"{script}.py")]


def read_json(path):
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except ValueError:
        return {}


def json_argument(value):
    """Canonical JSON for a command line; `<` is written so that no text of a config can end the script element in which
    `snakemake --report` shows the parameters. Call it in a function: in other parameters braces would be wildcards."""
    return canonical_json(value).replace("<", "\\u003c")


@cache
def figure_entries():
    """What compare says of its figures, by file name; only `snakemake --report` asks."""
    summary = read_json(Path(f"{RESULTS}/compare/summary.json"))
    return {entry["file"]: entry for entry in summary.get("figures", [])}


def figure_entry(name):
    """Section, dataset and title of one figure."""
    return figure_entries().get(name) or {"section": "overview", "dataset": "", "title": name}


def plain(text):
    """Text without the signs that mean something to `snakemake --report`: wildcards and HTML."""
    return text.translate(str.maketrans("<>{}", "‹›()"))


def of_all_runs(pattern):
    """The files of every run that the config names; results are never searched for what happens to lie there."""
    return [
        pattern.format(dataset=dataset, variant=variant, seed=seed)
        for dataset in study.datasets
        for variant in study.plan.variants
        for seed in study.seeds
    ]


def of_all_seeds(pattern, wildcards):
    """The files of every seed of one variant."""
    return [pattern.format(dataset=wildcards.dataset, variant=wildcards.variant, seed=seed) for seed in study.seeds]


def of_all_datasets(pattern):
    """The files of every dataset that the config names."""
    return [pattern.format(dataset=dataset) for dataset in study.datasets]


def of_candidates(pattern, wildcards):
    """The files of every run from which the exported model is chosen."""
    return [
        pattern.format(dataset=wildcards.dataset, variant=variant, seed=seed)
        for variant in study.plan.candidates
        for seed in study.seeds
    ]


def of_exported(pattern):
    """The files of every dataset for which a model is exported."""
    return [pattern.format(dataset=dataset) for dataset in study.exported]


def translation_tables():
    """What the translation probe measures, if it is on."""
    probe = study.plan.probes.get("translation")
    return [
        rules.probe.output.table.format(dataset=dataset, variant=variant)
        for dataset in study.datasets
        for variant in (probe.models if probe else ())
    ]


MODEL_CARD = "MODEL_CARD.md.j2"


def templates():
    """What the report is made from, beside the tables and figures."""
    found = [path for path in (ROOT / "report").rglob("*") if path.is_file() and path.name != MODEL_CARD]
    others = {ROOT / "report/diff", ROOT / "report/locale"}
    return sorted(os.path.relpath(path) for path in found if others.isdisjoint(path.parents))


def messages():
    """The translations into the report's language; English, the language of the source, needs none."""
    file = i18n.catalogue(study.report.language)
    return [os.path.relpath(file)] if file else []


def deployments():
    """A digest of each deployment's evidence. As an input it would deploy; as a parameter a new one is shown."""
    found = {}
    for dataset in study.datasets:
        path = Path(f"{RESULTS}/deploy/{dataset}/endpoint.json")
        if path.is_file():
            found[dataset] = hashlib.sha256(path.read_bytes()).hexdigest()[:16]
    return found


def training_cost(wildcards):
    """Priority of a run: long runs first, so that no core is left alone with one at the end."""
    training = study.plan.variants[wildcards.variant].training
    return 1 + study.plan.costs[wildcards.dataset, wildcards.variant].macs * training.epochs // 10**6


def run_spec(wildcards):
    """The run's spec as canonical JSON.

    Snakemake compares parameters with those that it recorded, and says nothing where results were copied without its
    records (.snakemake/metadata). A run of other settings is then refused here, before it can enter a report.
    """
    run = study.run(wildcards.dataset, wildcards.variant, int(wildcards.seed))
    record = Path(f"{RESULTS}/train/{wildcards.dataset}/{wildcards.variant}/seed-{wildcards.seed}/run.json")
    if workflow.is_main_process and record.is_file() and workflow.persistence.metadata(IOFile(str(record))) is None:
        found = read_json(record).get("spec_hash")
        if found != run.spec_hash:
            raise WorkflowError(
                f"{record} is of a run with spec hash {found}, but the config asks for {run.spec_hash}, and Snakemake "
                f"has no record of how it was made; delete {record.parent} to train it again, or use another study name"
            )
    return canonical_json(run.identity)


@cache
def content(dataset):
    """The digest of a user's own images; nothing for others. Only the main process compares and records parameters."""
    spec = study.datasets[dataset]
    if not isinstance(spec, OwnImages) or not workflow.is_main_process:
        return ""
    index = Path(workflow.persistence.path) / "convlab" / f"{study.study}-{dataset}.json"
    return content_digest(Path(spec.path).expanduser(), index, lambda text: print(text, file=sys.stderr))
