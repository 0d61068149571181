"""An exported model as a folder of the Hugging Face Hub: unzipped for Keras, with a model card that the hub reads.

Keras loads ``hf://<user>/<model>`` from ``config.json`` and ``model.weights.h5`` at the top of the folder. The card's
metadata are described in https://huggingface.co/docs/hub/model-cards and, ``model-index`` among them, in
https://github.com/huggingface/hub-docs/blob/main/modelcard.md.
"""

import csv
import json
import re
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from convlab.archive.bag import Member
from convlab.archive.citation import Deposit
from convlab.common.checksums import RECORD_SUFFIX
from convlab.study import layout
from convlab.study.schema import Study

CARD = "README.md"
OWN_CARD = "MODEL_CARD.md"

UNPACKED = ("config.json", "metadata.json", "model.weights.h5")
"""Files of a ``.keras`` file, which the hub has unzipped."""

NOT_FOR_READERS = ("code", "model.tar.gz", OWN_CARD)
"""What of an export only a server needs."""

HUB_DATASETS = {
    "mnist": "ylecun/mnist",
    "fashion_mnist": "zalando-datasets/fashion_mnist",
    "cifar10": "uoft-cs/cifar10",
    "cifar100": "uoft-cs/cifar100",
    "svhn": "ufldl-stanford/svhn",
}
"""Names on the hub of the datasets that are there, by kind."""

METRICS = {
    "test_accuracy": ("accuracy", "Test accuracy"),
    "balanced_accuracy": ("balanced_accuracy", "Balanced test accuracy"),
    "macro_f1": ("f1", "Macro-averaged test F1"),
    "test_loss": ("loss", "Test loss (nats)"),
    "ece": ("ece", "Expected calibration error"),
}
"""Type and name on the hub of columns of ``compare/runs.csv``."""


def hub_folder(study: Study, dataset: str, folder: Path, deposit: Deposit) -> dict[str, Member]:
    """Files of the hub's folder of a dataset's exported model, by path; empty where none is exported.

    Args:
        folder: the study's results.
    """
    export = layout.exported(folder, dataset)
    if not (export / OWN_CARD).is_file():
        return {}
    members = {
        path.relative_to(export).as_posix(): Member(path)
        for path in sorted(export.rglob("*"))
        if path.is_file() and _is_for_readers(path.relative_to(export))
    }
    with zipfile.ZipFile(export / "model.keras") as model:
        members |= {name: Member(model.read(name)) for name in UNPACKED}
    exported = json.loads((export / "export.json").read_text(encoding="utf-8"))
    with (layout.compared(folder) / "runs.csv").open(encoding="utf-8", newline="") as stream:
        run = next(row for row in csv.DictReader(stream) if _is_run(row, dataset, exported))
    metadata = card_metadata(study, dataset, exported, run, deposit)
    front = yaml.safe_dump(metadata, sort_keys=False, allow_unicode=True, width=120)
    body = FOR_SERVERS.sub("", (export / OWN_CARD).read_text(encoding="utf-8"))
    members[CARD] = Member(f"---\n{front}---\n\n{HOW_TO_LOAD}\n{body}".encode())
    return members


FOR_SERVERS = re.compile(r"^<!-- server -->\n.*?^<!-- /server -->\n+", re.MULTILINE | re.DOTALL)
"""What a card says of files in ``NOT_FOR_READERS``."""

HOW_TO_LOAD = """This folder is made for the Hugging Face Hub: `keras.saving.load_model("hf://<user>/<model>")` loads
the model from there, `keras.saving.load_model(".")` from here.
"""


def card_metadata(
    study: Study, dataset: str, exported: Mapping[str, Any], run: Mapping[str, str], deposit: Deposit
) -> dict[str, Any]:
    """Metadata of a model card, with the test results of the exported run.

    Args:
        exported: export.json.
        run: the run's row of ``compare/runs.csv``.
    """
    kind = study.datasets[dataset].kind
    hub_dataset = HUB_DATASETS.get(kind)
    seed = f"{layout.SEED_PREFIX}{exported['seed']}"
    name = "-".join([study.study, dataset, exported["variant"], seed])
    metrics = [
        {"type": metric, "name": title, "value": float(run[column])}
        for column, (metric, title) in METRICS.items()
        if run.get(column)
    ]
    result = {
        "task": {"type": "image-classification", "name": "Image classification"},
        "dataset": {"type": hub_dataset or kind, "name": dataset, "split": "test"},
        "metrics": metrics,
    }
    if deposit.url:
        result["source"] = {"name": f"compare/runs.csv of the study {study.study}", "url": deposit.url}
    return {
        "library_name": "keras",
        "pipeline_tag": "image-classification",
        **({"license": deposit.licence.lower()} if deposit.licence else {}),
        "tags": ["convlab", "controlled-experiment", exported["spec"]["model"]["family"]],
        **({"datasets": [hub_dataset]} if hub_dataset else {}),
        "metrics": list(dict.fromkeys(metric["type"] for metric in metrics)),
        "model-index": [{"name": name, "results": [result]}],
    }


def _is_run(row: Mapping[str, str], dataset: str, exported: Mapping[str, Any]) -> bool:
    return (row["dataset"], row["variant"], row["seed"]) == (dataset, exported["variant"], str(exported["seed"]))


def _is_for_readers(path: Path) -> bool:
    hidden = any(part.startswith(".") for part in path.parts)
    return not hidden and path.parts[0] not in NOT_FOR_READERS and not path.name.endswith(RECORD_SUFFIX)
