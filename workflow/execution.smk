# Where and how jobs run, not what they compute: the claim on a study, and memory, time and GPUs for schedulers.
import math
import subprocess

from convlab.common import checksums, provenance
from convlab.common.atomic import tidy
from convlab.study.seeds import progress
from convlab.training.run_store import prune
from convlab.datasets import fetching
from convlab.datasets.image_counts import assumed_images
from convlab.datasets.shapes import dataset_form
from convlab.common.locks import claim

STORE = str(OWN_RECORDS / "runs")  # finished runs of all studies in this folder
SEEN = OWN_RECORDS / f"{study.study}.seen.json"  # sizes and times of results that were whole

# A GPU slot for each job that computes, where Snakemake is told how many there are (`--resources gpu=N`); else nothing.
GPU = 1 if "gpu" in workflow.global_resources else None


def container_image():
    """Address of the image that jobs run in with ``--sdm apptainer``; empty without.

    CONVLAB_IMAGE, or the file that ``make image`` writes: by its path from here, so that a project which was moved with its
    results is not computed again. Tells Apptainer to show this checkout and the cache of downloads to the jobs.
    Raises WorkflowError if the file is missing, where Snakemake would show what Apptainer says of it, job for job, and
    for a study of backends that the image of ``make image`` does not have.
    """
    if "APPTAINER" not in {method.name for method in workflow.deployment_settings.deployment_method}:
        return ""
    if not os.environ.get("CONVLAB_IMAGE") and (lacking := sorted(BACKENDS - {"tensorflow"})):
        raise WorkflowError(
            f"training.backend is {' and '.join(lacking)}, and the image that make image writes has TensorFlow alone; "
            "name an image with what the study needs (CONVLAB_IMAGE=docker://...), or use --sdm conda"
        )
    image = os.environ.get("CONVLAB_IMAGE") or os.path.relpath(ROOT / "containers/convlab.sif")
    if "://" not in image and not Path(image).exists():
        raise WorkflowError(
            f"there is no container image {image}; make it with make image, or name one that Apptainer can read: "
            "CONVLAB_IMAGE=docker://..."
        )
    cache = fetching.cache_folder()
    cache.mkdir(parents=True, exist_ok=True)
    bound = [*os.environ.get("APPTAINER_BIND", "").split(","), str(ROOT), str(cache.resolve())]
    os.environ.update(CONVLAB_CACHE=str(cache.resolve()), APPTAINER_BIND=",".join(dict.fromkeys(filter(None, bound))))
    return image


def start_study():
    """Runs in `onstart`: after planning and before the first job; not in a dry run, nor in a job's own Snakemake.

    Claims the study until this process ends, however it ends. Snakemake's own lock, which the profiles switch off, is left
    behind by a killed process and removed by the end of any other Snakemake in the folder.
    """
    try:
        refuse_unwritable(on_disk(RESULTS))
        if not claim(OWN_RECORDS / f"{study.study}.lock", f"the study {study.study}"):
            tell(f"this file system has no locks; start no second Snakemake of the study {study.study} beside this one")
        tidy(on_disk(RESULTS))
        checksums.set_aside_folders(on_disk(RESULTS), tell)
        checksums.keep_damaged(checksums.find_damaged(on_disk(RESULTS), SEEN), tell)
        register_study()
    except UserError as error:
        raise WorkflowError(str(error)) from None
    os.environ.update(CONVLAB_RETRAIN=os.pathsep.join(forced_runs()))


def register_study():
    """Fix what is confirmatory before the first run, and note what has changed since; prints what was written."""
    results, commit = on_disk(str(layout.RESULTS)), provenance.commit(ROOT)
    _, text = registration_files.fix(study, registration_folder(), results, Path(STORE), commit)
    if text:
        tell(text)


def refuse_unwritable(folder):
    """Raise UserError if `folder`, which may not exist yet, is not writable."""
    while not folder.exists():
        if folder.is_symlink():
            raise UserError(f"{folder} is a link to {os.readlink(folder)}, which is not there; mend or remove the link")
        folder = folder.parent
    if not os.access(folder, os.W_OK | os.X_OK):
        raise UserError(f"{folder.resolve()} cannot be written; make it writable, or run in another folder")


def forced_runs():
    """Folders of runs that the command line forces, to be trained again although they are stored; or `all`."""
    asked = set(workflow.dag_settings.forcerun)
    if workflow.dag_settings.forcetargets:
        asked |= set(workflow.dag_settings.targets)
    if workflow.dag_settings.forceall or any(name == "train" or name.endswith("_train") for name in asked):
        return ["all"]
    return [str(Path(name).resolve().parent) for name in asked if "/" in name]


def planned_rules():
    """Names of the rules that have planned jobs."""
    return {job.rule.name for job in workflow.dag.jobs}


def ready():
    """Lines about finished results: those of planned rules whose files exist."""
    files = {
        "report": [("The report is ready", f"{REPORT}/index.html")],
        "model_card": [("The model is exported", folder) for folder in of_all(EXPORT, dataset=study.exported)],
        "deploy_model": [
            ("The endpoint's answers", file) for file in of_all(f"{DEPLOY}/endpoint.json", dataset=study.exported)
        ],
    }
    for name, lines in files.items():
        if name in planned_rules():
            yield from (f"{text}: {on_disk(path)}" for text, path in lines if on_disk(path).exists())


def write_index():
    """Write the page that lists all studies, after a report: no job's result, and a failure is no failure of the study."""
    if "report" in planned_rules():
        command = [sys.executable, str(SCRIPTS / "index.py"), "--results", str(on_disk(str(layout.RESULTS)))]
        subprocess.run(command, check=False, stdout=subprocess.DEVNULL)


def looks_so_far():
    """What the present look of a plan decided and what would go on, unless `make settle` started this process."""
    proposal = read_json(on_disk(f"{COMPARE}/summary.json")).get("looks")
    if study.seeds.looks and proposal and not os.environ.get("CONVLAB_LOOKS"):
        yield progress(proposal, "Snakemake ends with the present look")


@cache
def data_size(dataset):
    """Number of images of a dataset and its size in MB: as prepared, else as published, else assumed."""
    spec = study.datasets[dataset]
    shape, _ = dataset_form(dataset, spec)
    known = assumed_images(spec)
    known = min(known, (spec.train_images or known) + (spec.test_images or known))
    prepared = on_disk(f"{PREPARE}/data.npz".format(dataset=dataset))
    size = prepared.stat().st_size if prepared.is_file() else known * math.prod(shape)
    return size / math.prod(shape), size / 1e6


def memory(base, factor):
    """Memory of a job, MB: `base` plus `factor` times its data, times the number of the attempt.

    In whole GiB, two at least, as AWS Batch grants it. For the measurements see docs/scaling.md.
    """

    def mem_mb(wildcards, attempt):
        needed = base + factor * data_size(wildcards.dataset)[1]
        return 1024 * max(2, math.ceil(needed / 1024)) * attempt

    return mem_mb


def time_limit(passes):
    """Time limit of a job, minutes: ten, plus four times the estimate for `passes` over the images.

    `passes` returns, from wildcards, the number of forward passes over the images; a training step counts as three.
    """

    def runtime(wildcards, attempt):
        macs = study.plan.macs(wildcards.dataset, wildcards.variant)
        seconds = passes(wildcards) * data_size(wildcards.dataset)[0] * (2e-5 + macs / 3.6e10)
        return (10 + math.ceil(4 * seconds / 60)) * attempt

    return runtime


@called_for_each_job
def training_cost(wildcards):
    """Priority of a run: long runs first, so that cores are not idle at the end."""
    training = study.plan.owner(wildcards.variant).training
    return 1 + study.plan.macs(wildcards.dataset, wildcards.variant) * training.epochs // 10**6


def training_passes(wildcards):
    """Training, in forward passes over the images."""
    training = study.plan.owner(wildcards.variant).training
    if training.steps:
        return 3 * training.steps * training.batch_size / data_size(wildcards.dataset)[0]
    return 3 * training.epochs


def probe_passes(wildcards):
    """Forward passes of a probe over the test images, for the models of all seeds."""
    return getattr(study.probes, wildcards.probe).passes * len(study.seeds_of(wildcards.dataset, wildcards.variant))
