# The checked study and what the rules share. Nothing here imports NumPy, pandas or TensorFlow: every job parses it.
import hashlib
import json
import re
from functools import cache

from snakemake.io import IOFile, get_flag_value, is_flagged, sourcecache_entry

from convlab import i18n
from convlab.code_inputs import write_manifest
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

if workflow.storage_settings.default_storage_provider:

    def ensure(path, **conditions):
        """Nothing: Snakemake asks the storage for a file's size before it has stored it there, and fails (9.27)."""
        return path


def one_of(names):
    """Pattern of a wildcard that is one of the names; of any, where they are so many that matching them takes long.

    Snakemake writes the pattern into every file name of a rule and goes through it for each job.
    """
    pattern = "|".join(map(re.escape, names))
    return pattern if len(pattern) < 5000 else "[^/]+"


wildcard_constraints:
    dataset=one_of(study.datasets),
    variant=one_of(study.plan.variants),
    seed=r"\d+",


def code(script):
    """The script, and a file that changes with it or a module that it imports: an edit reruns what it affects, no more."""
    path = SCRIPTS / f"{script}.py"
    return [os.path.relpath(path), str(write_manifest(path, Path(f".snakemake/convlab/code/{script}")))]


def local(paths):
    """Files that come along with the workflow and are not looked for in a storage.

    In the place of Snakemake's function of this name, which where jobs share no disk also runs every job that has such
    an input on Snakemake's own machine (9.27): none would reach the cloud.
    """
    return [sourcecache_entry(path, path) for path in paths]


def read_json(path):
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except ValueError:
        return {}


def json_argument(value):
    """What a study hands on, as JSON for a command line, in its own order: of two factors the first makes the rows.

    `<` is written so that no text of a config can end the script element in which `snakemake --report` shows the
    parameters. Call it in a function: in other parameters braces would be wildcards."""
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False).replace("<", "\\u003c")


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


def written(output):
    """An output as its rule has it; where results go through a storage, Snakemake has put its place in front."""
    if not is_flagged(output, "storage_object"):
        return str(output)
    prefix = workflow.storage_settings.default_storage_prefix or ""
    return get_flag_value(output, "storage_object").query.removeprefix(prefix).lstrip("/")


def of_all(output, **chosen):
    """The files of every dataset, variant and seed that the config names, as far as the output's name has them, or of
    those that are chosen; results are never searched for what happens to lie there."""
    every = {"dataset": study.datasets, "variant": study.plan.variants, "seed": study.seeds}
    return expand(written(output), **(every | chosen))


def of_all_seeds(output, wildcards):
    """The files of every seed of one variant."""
    return of_all(output, dataset=wildcards.dataset, variant=wildcards.variant)


def of_candidates(output, wildcards):
    """The files of all that the exported model is chosen among."""
    return of_all(output, dataset=wildcards.dataset, variant=study.plan.candidates)


def translation_tables():
    """What the translation probe measures, if it is on."""
    probe = study.plan.probes.get("translation")
    return of_all(rules.probe.output.table, variant=probe.models) if probe else []


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


def environment_choices(wildcards):
    """The environment variables that a user has chosen and that can change numbers: another choice computes again."""
    return canonical_json(choices)


@cache
def content(dataset):
    """The digest of a user's own images; nothing for others. Only the main process compares and records parameters."""
    spec = study.datasets[dataset]
    if not isinstance(spec, OwnImages) or not workflow.is_main_process:
        return ""
    index = Path(workflow.persistence.path) / "convlab" / f"{study.study}-{dataset}.json"
    return content_digest(Path(spec.path).expanduser(), index, lambda text: print(text, file=sys.stderr))
