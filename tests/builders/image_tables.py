"""Small images as CSV, Parquet, Arrow and TFRecord files, in the forms that people have."""

import gzip
import io
import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
from PIL import Image
from pyarrow import parquet

import prepare
from convlab.datasets.prepared import Dataset, load
from convlab.study.load import load_study

GENERATOR = np.random.default_rng(0)
IMAGES = GENERATOR.integers(0, 256, (30, 6, 6, 1), np.uint8)
LABELS = np.arange(30) % 3
TEST_IMAGES = GENERATOR.integers(0, 256, (9, 6, 6, 1), np.uint8)
TEST_LABELS = np.arange(9) % 3
COLOUR_IMAGES = GENERATOR.integers(0, 256, (30, 6, 6, 3), np.uint8)
NAMES = ("low", "mid", "high")


def study(kind: str, path: Path, **options) -> dict:
    """A config with one dataset, ``mine``."""
    return {
        "study": "s",
        "datasets": {"mine": {"kind": kind, "path": str(path), **options}},
        "models": {"dense": {"family": "dense", "units": [4]}},
    }


def planned(kind: str, path: Path, **options) -> tuple[tuple[int, int, int], int]:
    """Shape and classes that the plan of a study with the dataset has."""
    load_study(study(kind, path, **options))
    from convlab.datasets.shapes import dataset_form

    return dataset_form("mine", load_study(study(kind, path, **options)).datasets["mine"])


def prepared(kind: str, path: Path, output: Path, **options) -> tuple[Dataset, dict]:
    """The dataset as `prepare` writes it, and its manifest."""
    spec = load_study(study(kind, path, **options)).datasets["mine"]
    prepare.main(["--dataset", "mine", "--spec", spec.model_dump_json(), "--output-dir", str(output)])
    return load(output), json.loads((output / "manifest.json").read_text(encoding="utf-8"))


# ---------------------------------------------------------------------------------------------------------------------
# CSV


def csv_text(
    images: np.ndarray = IMAGES,
    labels: Sequence | None = LABELS,
    header: Sequence[str] | None = None,
    delimiter: str = ",",
) -> str:
    """Rows of a label, if any, and pixels, under the header of Kaggle's files or another one (empty for none)."""
    rows = images.reshape(len(images), -1).tolist()
    if header is None:
        header = [*(["label"] if labels is not None else []), *(f"pixel{index}" for index in range(len(rows[0])))]
    lines = [header] if header else []
    lines += rows if labels is None else [[label, *row] for label, row in zip(labels, rows, strict=True)]
    return "".join(delimiter.join(map(str, line)) + "\n" for line in lines)


def csv_folder(folder: Path, compressed: bool = False) -> Path:
    """``train.csv`` and ``test.csv`` in a folder."""
    folder.mkdir()
    for name, text in (("train", csv_text()), ("test", csv_text(TEST_IMAGES, TEST_LABELS))):
        if compressed:
            (folder / f"{name}.csv.gz").write_bytes(gzip.compress(text.encode()))
        else:
            (folder / f"{name}.csv").write_text(text)
    return folder


# ---------------------------------------------------------------------------------------------------------------------
# Parquet and Arrow


def encoded(image: np.ndarray, form: str = "PNG") -> bytes:
    """An image file of an array (height, width, channels)."""
    buffer = io.BytesIO()
    Image.fromarray(image[..., 0] if image.shape[2] == 1 else image).save(buffer, form)
    return buffer.getvalue()


FEATURES = {"image": {"_type": "Image"}, "label": {"names": list(NAMES), "_type": "ClassLabel"}}
STRUCT = pa.struct({"bytes": pa.binary(), "path": pa.string()})


def image_table(images: np.ndarray = IMAGES, labels: Sequence = LABELS, features: dict | None = FEATURES) -> pa.Table:
    """A table as Hugging Face stores image datasets: structs of bytes and path, labels, features in the metadata."""
    rows = [{"bytes": encoded(image), "path": None} for image in images]
    values = labels.tolist() if isinstance(labels, np.ndarray) else list(labels)
    table = pa.table({"image": pa.array(rows, STRUCT), "label": pa.array(values)})
    return (
        table
        if features is None
        else table.replace_schema_metadata({"huggingface": json.dumps({"info": {"features": features}})})
    )


def list_table(images: np.ndarray, kind: pa.DataType, labels: Sequence = LABELS) -> pa.Table:
    """A table whose images are lists of numbers."""
    return pa.table({"image": pa.array(images.tolist(), kind), "label": pa.array(labels)})


def parquet_file(path: Path, table: pa.Table | None = None, **options) -> Path:
    """A Parquet file of a table, of ``image_table()`` if none is given."""
    path.parent.mkdir(parents=True, exist_ok=True)
    parquet.write_table(image_table() if table is None else table, path, **options)
    return path


def parquet_folder(folder: Path) -> Path:
    """``data/train-0000n-of-00002.parquet`` and ``data/test-...``, as on Hugging Face's hub."""
    table = image_table()
    parquet_file(folder / "data/train-00000-of-00002.parquet", table.slice(0, 17), row_group_size=5)
    parquet_file(folder / "data/train-00001-of-00002.parquet", table.slice(17))
    parquet_file(folder / "data/test-00000-of-00001.parquet", image_table(TEST_IMAGES, TEST_LABELS))
    return folder


SPLITS = {"train": (IMAGES, LABELS), "test": (TEST_IMAGES, TEST_LABELS)}


def saved_to_disk(folder: Path, shards: int = 2) -> Path:
    """A DatasetDict as ``save_to_disk`` of Hugging Face's ``datasets`` writes it: Arrow streams and JSON."""
    for split, (images, labels) in SPLITS.items():
        (folder / split).mkdir(parents=True)
        table, names = image_table(images, labels), []
        for shard, indices in enumerate(np.array_split(np.arange(len(images)), shards)):
            names.append(f"data-{shard:05d}-of-{shards:05d}.arrow")
            with (
                pa.OSFile(str(folder / split / names[-1]), "wb") as sink,
                pa.ipc.new_stream(sink, table.schema) as file,
            ):
                file.write_table(table.slice(indices[0], len(indices)), max_chunksize=4)
        state = {"_data_files": [{"filename": name} for name in names], "_fingerprint": "0", "_split": split}
        (folder / split / "state.json").write_text(json.dumps(state))
        (folder / split / "dataset_info.json").write_text(json.dumps({"features": FEATURES}))
    (folder / "dataset_dict.json").write_text(json.dumps({"splits": list(SPLITS)}))
    return folder


CARD = """---
license: mit
dataset_info:
  features:
  - name: image
    dtype: image
  - name: label
    dtype:
      class_label:
        names:
          '0': low
          '1': mid
          '2': high
configs:
- config_name: default
  data_files:
  - split: train
    path: shards/part-*
  - split: test
    path: shards/held-out*
---
# A dataset
"""


def repository(folder: Path) -> Path:
    """A clone of a repository whose card tells files and classes, which the files themselves do not."""
    for name, (images, labels) in {"part-0": SPLITS["train"], "held-out": SPLITS["test"]}.items():
        parquet_file(folder / f"shards/{name}.parquet", image_table(images, labels, features=None))
    (folder / "README.md").write_text(CARD)
    return folder


# ---------------------------------------------------------------------------------------------------------------------
# TensorFlow Datasets


def tfds_folder(folder: Path, splits: dict = SPLITS, shape: Sequence = (6, 6, 1), shards: int = 2) -> Path:
    """A version's folder of TensorFlow Datasets, its records written by TensorFlow."""
    import tensorflow as tf

    folder.mkdir(parents=True)
    listed = []
    for split, (images, labels) in splits.items():
        parts = np.array_split(np.arange(len(images)), shards)
        for shard, indices in enumerate(parts):
            name = folder / f"mine-{split}.tfrecord-{shard:05d}-of-{shards:05d}"
            with tf.io.TFRecordWriter(str(name)) as writer:
                for index in indices:
                    feature = {
                        "image": tf.train.Feature(bytes_list=tf.train.BytesList(value=[encoded(images[index])])),
                        "label": tf.train.Feature(int64_list=tf.train.Int64List(value=[int(labels[index])])),
                        "weight": tf.train.Feature(float_list=tf.train.FloatList(value=[0.5, -1.0])),
                        "id": tf.train.Feature(int64_list=tf.train.Int64List(value=[-(2**40), 300])),
                    }
                    writer.write(tf.train.Example(features=tf.train.Features(feature=feature)).SerializeToString())
        listed.append({"name": split, "shardLengths": [str(len(part)) for part in parts], "numBytes": "1"})
    (folder / "dataset_info.json").write_text(
        json.dumps({"name": "mine", "version": "1.0.0", "fileFormat": "tfrecord", "splits": listed})
    )
    core = "tensorflow_datasets.core.features"
    features = {
        "image": {
            "pythonClassName": f"{core}.image_feature.Image",
            "image": {"shape": {"dimensions": list(map(str, shape))}, "dtype": "uint8", "encodingFormat": "png"},
        },
        "label": {
            "pythonClassName": f"{core}.class_label_feature.ClassLabel",
            "classLabel": {"numClasses": str(len(NAMES))},
        },
    }
    (folder / "features.json").write_text(
        json.dumps({"pythonClassName": f"{core}.features_dict.FeaturesDict", "featuresDict": {"features": features}})
    )
    (folder / "label.labels.txt").write_text("\n".join(NAMES))
    return folder
