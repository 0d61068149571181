# Where and how jobs run, not what they compute: the claim on a study, and memory, time and GPUs for schedulers.
import math

from convlab.common import checksums
from convlab.common.atomic import tidy
from convlab.training.run_store import prune
from convlab.datasets.image_counts import assumed_images
from convlab.datasets.shapes import dataset_form
from convlab.common.locks import claim

STORE = str(OWN_RECORDS / "runs")  # finished runs of all studies in this folder
SEEN = OWN_RECORDS / f"{study.study}.seen.json"  # sizes and times of results that were whole

# A GPU slot for each job that computes, where Snakemake is told how many there are (`--resources gpu=N`); else nothing.
GPU = 1 if "gpu" in workflow.global_resources else None


def start_study():
    """What `onstart` does, once jobs are planned and before the first one begins; not in a dry run, nor in a job's own
    Snakemake.

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
    except UserError as error:
        raise WorkflowError(str(error)) from None
    os.environ.update(CONVLAB_RETRAIN=os.pathsep.join(forced_runs()))


def refuse_unwritable(folder):
    """Raise UserError where results cannot be written into `folder`, which need not be there yet."""
    while not folder.exists():
        if folder.is_symlink():
            raise UserError(f"{folder} is a link to {os.readlink(folder)}, which is not there; mend or remove the link")
        folder = folder.parent
    if not os.access(folder, os.W_OK | os.X_OK):
        raise UserError(f"{folder.resolve()} cannot be written; make it writable, or run in another folder")


def forced_runs():
    """Folders of the runs that were asked for by name, to be trained again though they are finished; or `all`."""
    asked = set(workflow.dag_settings.forcerun)
    if workflow.dag_settings.forcetargets:
        asked |= set(workflow.dag_settings.targets)
    if workflow.dag_settings.forceall or any(name == "train" or name.endswith("_train") for name in asked):
        return ["all"]
    return [str(Path(name).resolve().parent) for name in asked if "/" in name]


def ready():
    """What there is to look at now: of the targets that these jobs were planned for, and as far as it is there."""
    files = {
        "report": [("The report is ready", f"{REPORT}/index.html")],
        "model_card": [("The model is exported", folder) for folder in of_all(EXPORT, dataset=study.exported)],
        "deploy_model": [
            ("The endpoint's answers", file) for file in of_all(f"{DEPLOY}/endpoint.json", dataset=study.exported)
        ],
    }
    planned = {job.rule.name for job in workflow.dag.jobs}
    for name, lines in files.items():
        if name in planned:
            yield from (f"{text}: {on_disk(path)}" for text, path in lines if on_disk(path).exists())


@cache
def data_size(dataset):
    """Images of a dataset, and their megabytes: of what is prepared, else as published, else an assumption."""
    spec = study.datasets[dataset]
    shape, _ = dataset_form(dataset, spec)
    known = assumed_images(spec)
    known = min(known, (spec.train_images or known) + (spec.test_images or known))
    prepared = on_disk(f"{PREPARE}/data.npz".format(dataset=dataset))
    size = prepared.stat().st_size if prepared.is_file() else known * math.prod(shape)
    return size / math.prod(shape), size / 1e6


def memory(base, factor):
    """Memory of a job, MB: `base` and `factor` times its data, and as much again for each further attempt.

    In whole GiB, two at least, which is what AWS Batch grants. What lies behind the figures: docs/scaling.md.
    """

    def mem_mb(wildcards, attempt):
        needed = base + factor * data_size(wildcards.dataset)[1]
        return 1024 * max(2, math.ceil(needed / 1024)) * attempt

    return mem_mb


def time_limit(passes):
    """Minutes after which a scheduler may end a job: ten, and four times what `passes` over the images should take.

    `passes` gives, from wildcards, how often an image goes through the model forwards; learning from it counts thrice.
    """

    def runtime(wildcards, attempt):
        macs = study.plan.costs[wildcards.dataset, wildcards.variant].macs
        seconds = passes(wildcards) * data_size(wildcards.dataset)[0] * (2e-5 + macs / 3.6e10)
        return (10 + math.ceil(4 * seconds / 60)) * attempt

    return runtime


def training_passes(wildcards):
    """Forward passes over the images that training is worth."""
    training = study.plan.variants[wildcards.variant].training
    if training.steps:
        return 3 * training.steps * training.batch_size / data_size(wildcards.dataset)[0]
    return 3 * training.epochs


def probe_passes(wildcards):
    """Every seed's model sees the test images as often as the probe says."""
    return getattr(study.probes, wildcards.probe).passes * len(study.seeds)
