"""Time and memory of preparing 60,000 images from tables, and whether they are the images that went in.

`python benchmarks/prepare_tables.py --cifar10 DIR` writes Fashion-MNIST as CSV files and as Parquet files of PNG
images, and CIFAR-10 from a folder `train/<class>/*.jpg` and `test/<class>/*.jpg` as Parquet files of them, in the
form of Hugging Face's hub, and runs `prepare.py` on each. Fashion-MNIST comes from where its kind finds it. The figures
are in docs/scaling.md. The bar: 30 seconds and 1 GB.
"""

import argparse
import io
import json
import logging
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import pyarrow as pa
from bench import ROOT
from PIL import Image
from pyarrow import parquet

from convlab.common import provenance
from convlab.datasets.kinds import fashion_mnist
from convlab.datasets.prepared import Dataset, load

STRUCT = pa.struct({"bytes": pa.binary(), "path": pa.string()})
ROWS_OF_A_GROUP = 1_000
MEASURED = """
import atexit, resource, runpy, sys

@atexit.register
def report():
    used = resource.getrusage(resource.RUSAGE_SELF)
    peak = next(line for line in open("/proc/self/status") if line.startswith("VmHWM")).split()[1]
    print(used.ru_utime + used.ru_stime, int(peak) * 1024 / 1e6)

del sys.argv[0]
runpy.run_path(sys.argv[0], run_name="__main__")
"""
"""Runs a script and prints its seconds of the processor and its peak memory, MB; not ``ru_maxrss``, which counts what
the process that started it held."""

BAR_SECONDS = 30
BAR_MEGABYTES = 1_000


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cifar10", type=Path, help="CIFAR-10 as an image folder; left out without it")
    parser.add_argument("--folder", type=Path, help="where to write, and to keep, the tables; else a temporary folder")
    arguments = parser.parse_args()
    logging.basicConfig(level=logging.WARNING)
    machine = provenance.hardware()
    print(f"machine: {machine['processor']}, {machine['cores']} cores, {machine['memory_gb']} GB, {machine['system']}")
    print("| images | from | files, MB | s | s of the processor | peak MB | equal |\n|---|---|---|---|---|---|---|")
    with tempfile.TemporaryDirectory(prefix="tables-") as temporary:
        folder = arguments.folder or Path(temporary)
        fashion = fashion_mnist.read("fashion_mnist", fashion_mnist.FashionMnist(kind="fashion_mnist"), 1).dataset
        report("Fashion-MNIST", "csv", write_csv(folder / "csv", fashion), folder / "out", fashion)
        report("Fashion-MNIST", "parquet", write_png(folder / "png", fashion), folder / "out", fashion)
        if arguments.cifar10:
            report("CIFAR-10", "parquet", write_jpeg(folder / "jpeg", arguments.cifar10), folder / "out", None)


def parts(dataset: Dataset) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Images and labels of both splits."""
    return {"train": (dataset.x_train, dataset.y_train), "test": (dataset.x_test, dataset.y_test)}


def write_csv(folder: Path, dataset: Dataset) -> Path:
    """``train.csv`` and ``test.csv`` as on Kaggle."""
    folder.mkdir(parents=True, exist_ok=True)
    for split, (images, labels) in parts(dataset).items():
        rows = images.reshape(len(images), -1)
        with (folder / f"{split}.csv").open("w", encoding="utf-8") as file:
            file.write(",".join(["label", *(f"pixel{index + 1}" for index in range(rows.shape[1]))]) + "\n")
            file.writelines(
                f"{label},{','.join(map(str, row))}\n" for label, row in zip(labels, rows.tolist(), strict=True)
            )
    return folder


def write_png(folder: Path, dataset: Dataset) -> Path:
    """Parquet files of PNG images."""
    for split, (images, labels) in parts(dataset).items():
        files = []
        for image in images:
            buffer = io.BytesIO()
            Image.fromarray(image[..., 0]).save(buffer, "PNG", compress_level=1)
            files.append(buffer.getvalue())
        write_parquet(folder, split, files, labels.tolist(), dataset.classes)
    return folder


def write_jpeg(folder: Path, images: Path) -> Path:
    """Parquet files of the JPEG images of a folder."""
    classes = sorted(path.name for path in (images / "train").iterdir())
    for split in ("train", "test"):
        paths = [
            (path, label) for label, name in enumerate(classes) for path in sorted((images / split / name).iterdir())
        ]
        files = [path.read_bytes() for path, _ in paths]
        write_parquet(folder, split, files, [label for _, label in paths], classes)
    return folder


def write_parquet(folder: Path, split: str, files: list[bytes], labels: list[int], classes: list[str]) -> None:
    """``data/<split>-00000-of-00001.parquet`` with a column of images and one of labels."""
    features = {"image": {"_type": "Image"}, "label": {"_type": "ClassLabel", "names": list(classes)}}
    rows = pa.array([{"bytes": data, "path": None} for data in files], STRUCT)
    table = pa.table({"image": rows, "label": pa.array(labels)})
    table = table.replace_schema_metadata({"huggingface": json.dumps({"info": {"features": features}})})
    (folder / "data").mkdir(parents=True, exist_ok=True)
    parquet.write_table(table, folder / f"data/{split}-00000-of-00001.parquet", row_group_size=ROWS_OF_A_GROUP)


def report(images: str, kind: str, path: Path, output: Path, expected: Dataset | None) -> None:
    """Run `prepare.py` on the tables and print a line of the report."""
    spec = json.dumps({"kind": kind, "path": str(path)})
    threads = str(min(os.cpu_count() or 1, 8))
    command = [sys.executable, "-c", MEASURED, ROOT / "scripts/prepare.py", "--dataset", "d", "--spec", spec]
    started = time.monotonic()
    result = subprocess.run([*command, "--output-dir", output, "--threads", threads], capture_output=True, text=True)
    seconds = time.monotonic() - started
    if result.returncode:
        sys.exit(result.stderr)
    processor_seconds, megabytes = map(float, result.stdout.split())
    equal = "not compared"
    if expected is not None:
        read = load(output)
        pairs = zip(parts(read).values(), parts(expected).values(), strict=True)
        equal = "yes" if all(np.array_equal(*arrays) for pair in pairs for arrays in zip(*pair, strict=True)) else "no"
    size = sum(file.stat().st_size for file in path.rglob("*") if file.is_file()) / 1e6
    over = " (over the bar)" if seconds > BAR_SECONDS or megabytes > BAR_MEGABYTES else ""
    times = f"{seconds:.1f} | {processor_seconds:.1f}"
    print(f"| {images} | {kind} | {size:,.0f} | {times} | {megabytes:,.0f}{over} | {equal} |", flush=True)


if __name__ == "__main__":
    main()
