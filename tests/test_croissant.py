"""Croissant metadata as input: images and labels are those that the metadata describe, or one sentence says why not."""

import csv
import hashlib
import io
import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from PIL import Image
from pyarrow import parquet

import data_card
import plan
import prepare
from convlab.common.files import read_json
from convlab.datasets.content_digest import content_digest
from convlab.datasets.croissant_files import read_metadata
from convlab.datasets.kinds import croissant
from convlab.datasets.prepared import load
from convlab.datasets.specs import as_dataset
from convlab.errors import UserError
from convlab.study import layout

CLASSES = ("cat", "dog")
GENERATOR = np.random.default_rng(0)
PIXELS = {
    f"{part}/{name}/{number}.png": GENERATOR.integers(0, 256, (6, 5, 3), np.uint8)
    for part, count in (("train", 4), ("test", 2))
    for name in CLASSES
    for number in range(count)
}
"""Images by path: ``train`` or ``test``, class, number."""


def png(pixels: np.ndarray) -> bytes:
    content = io.BytesIO()
    Image.fromarray(pixels.squeeze()).save(content, "PNG")
    return content.getvalue()


def put(folder: Path, name: str, content: bytes | str | dict) -> Path:
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    content = json.dumps(content) if isinstance(content, dict) else content
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


def put_images(folder: Path) -> None:
    for name, pixels in PIXELS.items():
        put(folder, name, png(pixels))


def metadata(distribution: list[dict], record_sets: list[dict], **more) -> dict:
    return {
        "@context": {"@vocab": "https://schema.org/", "cr": "http://mlcommons.org/croissant/"},
        "@type": "sc:Dataset",
        "conformsTo": "http://mlcommons.org/croissant/1.1",
        "name": "Pets",
        "license": "https://creativecommons.org/licenses/by/4.0/",
        "citeAs": "Somebody: Pets, 2020.",
        "distribution": distribution,
        "recordSet": record_sets,
        **more,
    }


def field(identifier: str, types: str | list[str], source: str = "", **extract) -> dict:
    """A field; ``source`` is the id of its files, ``regex`` among the rest of what is extracted."""
    regex = extract.pop("regex", None)
    more = {"references": {"@id": extract.pop("references")}} if "references" in extract else {}
    if source:
        more["source"] = {"fileSet": {"@id": source}, "extract": extract}
    if regex:
        more["source"]["transform"] = {"regex": regex}
    return {"@type": "cr:Field", "@id": identifier, "name": identifier, "dataType": types, **more}


def file_set(identifier: str, encoding: str, *includes: str) -> dict:
    return {
        "@type": "cr:FileSet",
        "@id": identifier,
        "encodingFormat": encoding,
        "includes": list(includes),
    }


def file_object(identifier: str, url: str, encoding: str, **more: str) -> dict:
    return {"@type": "cr:FileObject", "@id": identifier, "contentUrl": url, "encodingFormat": encoding, **more}


SPLITS = {
    "@type": "cr:RecordSet",
    "@id": "splits",
    "dataType": "cr:Split",
    "field": [field("splits/name", "sc:Text"), field("splits/url", "sc:URL")],
    "data": [
        {"splits/name": "train", "splits/url": "cr:TrainingSplit"},
        {"splits/name": "test", "splits/url": "cr:TestSplit"},
    ],
}


def image_files(**changes) -> dict:
    """Metadata of image files whose class and split stand in their paths."""
    fields = {
        "image": field("pets/image", "sc:ImageObject", "files", fileProperty="content"),
        "label": field("pets/label", ["sc:Text", "cr:Label"], "files", fileProperty="fullpath", regex=r"/(\w+)/[^/]+$"),
        "split": field(
            "pets/split", "sc:Text", "files", fileProperty="fullpath", regex="^(train|test)/", references="splits/name"
        ),
    } | changes
    record_set = {"@type": "cr:RecordSet", "@id": "pets", "field": [entry for entry in fields.values() if entry]}
    return metadata([file_set("files", "image/png", "*/*/*.png")], [SPLITS, record_set])


def read(path: Path, threads: int = 1, **options):
    spec = as_dataset({"kind": "croissant", "path": str(path), **options})
    reading = croissant.read("pets", spec, threads)
    dataset = reading.dataset
    assert croissant.form("pets", spec) == (dataset.x_train.shape[1:], len(dataset.classes))
    sizes = [np.bincount(labels, minlength=len(dataset.classes)) for labels in (dataset.y_train, dataset.y_test)]
    if reading.test_images["from"] == "data":
        assert [count.by_class for count in croissant.counts(spec)[:2]] == [tuple(size) for size in sizes]
    return dataset


def check(dataset) -> None:
    """The dataset holds PIXELS, whatever the order within a class."""
    assert dataset.classes == CLASSES
    for part, images, labels in (("train", dataset.x_train, dataset.y_train), ("test", dataset.x_test, dataset.y_test)):
        for number, name in enumerate(CLASSES):
            expected = {pixels.tobytes() for path, pixels in PIXELS.items() if path.startswith(f"{part}/{name}/")}
            assert {image.tobytes() for image in images[labels == number]} == expected


def test_image_files_have_the_class_and_the_split_that_patterns_take_from_their_paths(tmp_path):
    put_images(tmp_path)
    path = put(tmp_path, "croissant.json", image_files())
    check(read(path))
    check(read(tmp_path, threads=3))  # its folder


def test_the_split_of_image_files_may_be_told_by_their_folders_or_not_at_all(tmp_path):
    put_images(tmp_path)
    check(read(put(tmp_path, "croissant.json", image_files(split=None))))
    flat = image_files(split=None)
    flat["distribution"][0]["includes"] = "train/*/*.png"
    put(tmp_path, "croissant.json", flat)
    dataset = read(tmp_path, test_fraction=0.25)
    assert (len(dataset.x_train), len(dataset.x_test)) == (6, 2)


def test_images_are_resized_only_if_the_config_says_to_what(tmp_path):
    put_images(tmp_path)
    put(tmp_path, "train/cat/0.png", png(np.zeros((9, 9, 1), np.uint8)))
    path = put(tmp_path, "croissant.json", image_files())
    with pytest.raises(UserError, match=r"train/cat/1\.png: the image is .*write datasets\.pets\.(image_size|colour)"):
        read(path)
    assert read(path, image_size=4, colour="grey").x_train.shape == (8, 4, 4, 1)


def table(rows: list[dict]) -> str:
    content = io.StringIO()
    writer = csv.DictWriter(content, rows[0])
    writer.writeheader()
    writer.writerows(rows)
    return content.getvalue()


@pytest.mark.parametrize("joined", [True, False])
def test_labels_and_splits_of_image_files_may_stand_in_a_table(tmp_path, joined):
    put_images(tmp_path)
    rows = [dict(zip(("split", "class", "file"), (*path.split("/")[:2], path), strict=True)) for path in PIXELS]
    put(tmp_path, "labels.csv", table(rows))
    fields = {
        "image": field("pets/image", "sc:ImageObject", "table", column="file"),
        "label": field("pets/label", ["sc:Text", "cr:Label"], "table", column="class"),
        "split": field("pets/split", "sc:Text", "table", column="split", references="splits/name"),
    }
    if joined:  # images are files, and a column of the table names them
        fields["image"] = field("pets/image", "sc:ImageObject", "files", fileProperty="content")
        fields["path"] = field("pets/path", "sc:Text", "files", fileProperty="fullpath")
        fields["file"] = field("pets/file", "sc:Text", "table", column="file", references="pets/path")
    described = image_files(**fields)
    described["distribution"].append(file_object("table", "labels.csv", "text/csv"))
    path = put(tmp_path, "croissant.json", described)
    check(read(path))
    put(tmp_path, "labels.csv", table(rows[1:]))
    if joined:
        with pytest.raises(UserError, match=r"gives 1 of 12 images no label \(such as train/cat/0\.png\)"):
            read(path)
    put(tmp_path, "labels.csv", table([*rows, rows[0] | {"class": "dog"}]))
    if joined:
        with pytest.raises(
            UserError, match=r"has 'train/cat/0\.png' twice in table, with 'cat' and 'dog' as pets/label"
        ):
            read(path)
    put(tmp_path, "labels.csv", table(rows).replace("split,class", "class,class"))
    with pytest.raises(UserError, match=r"names the column 'class', which labels\.csv has twice"):
        read(path)


def put_parquet(folder: Path, part: str) -> Path:
    names = [path for path in PIXELS if path.startswith(part)]
    images = pa.array([{"bytes": png(PIXELS[name]), "path": name} for name in names])
    labels = pa.array([CLASSES.index(name.split("/")[1]) for name in names])
    path = folder / f"data/{part}-00000-of-00001.parquet"
    path.parent.mkdir(parents=True, exist_ok=True)
    parquet.write_table(pa.table({"picture": images, "animal": labels}), path)
    return path


def parquet_files() -> dict:
    """As Hugging Face describes its datasets: Parquet files in a repository, the split in their names."""
    classes = {
        "@type": "cr:RecordSet",
        "@id": "animals",
        "dataType": "sc:Enumeration",
        "field": [field("animals/id", "sc:Integer"), field("animals/name", "sc:Text")],
        "data": [{"animals/id": number, "animals/name": name} for number, name in enumerate(CLASSES)],
    }
    fields = [
        field("default/split", "sc:Text", "tables", fileProperty="fullpath", regex="data/(train|test)-.+parquet$"),
        field("default/picture", "sc:ImageObject", "tables", column="picture"),
        field("default/animal", ["sc:Integer", "cr:Label"], "tables", column="animal", references="animals/id"),
    ]
    repository = file_object("repo", "https://example.org/pets", "git+https", sha256="https://example.org/issues/80")
    tables = {**file_set("tables", "application/x-parquet", "data/*.parquet"), "containedIn": {"@id": "repo"}}
    return metadata([repository, tables], [classes, {"@type": "cr:RecordSet", "@id": "default", "field": fields}])


def test_parquet_files_are_read_with_the_class_names_of_the_metadata(tmp_path):
    for part in ("train", "test"):
        put_parquet(tmp_path, part)
    check(read(put(tmp_path, "metadata.json", parquet_files())))


def test_splits_in_rows_of_parquet_files_are_refused_and_not_passed_over(tmp_path):
    put_parquet(tmp_path, "train")
    described = parquet_files()
    described["recordSet"][1]["field"][0] = field("default/split", "sc:Text", "tables", column="part")
    path = put(tmp_path, "croissant.json", described)
    with pytest.raises(UserError, match=r"has the split of each image in default/split, which is not read"):
        read(path)


def test_a_dataset_that_convlab_described_is_read_back_from_its_card(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    folder = layout.prepared(layout.study_folder("cards"), "digits")
    config = {"study": "cards", "datasets": {"digits": {}}, "models": {"d": {"family": "dense", "units": [2]}}}
    put(tmp_path, "study.yaml", config)
    prepare.main(["--dataset", "digits", "--spec", '{"kind": "digits"}', "--output-dir", str(folder)])
    data_card.main(["study.yaml"])
    spec = json.dumps({"kind": "croissant", "path": str(folder)})
    prepare.main(["--dataset", "again", "--spec", spec, "--output-dir", "again"])
    first, again = (read_json(path / "manifest.json") for path in (folder, Path("again")))
    assert again["arrays"] == first["arrays"] and again["classes"] == first["classes"]
    assert again["citation"] == first["citation"] and again["licence"].endswith("/by/4.0/")
    assert (load(folder).x_test == load(Path("again")).x_test).all()


@pytest.mark.parametrize("algorithm", ["sha256", "md5"])
def test_a_file_with_another_checksum_than_stated_is_refused(tmp_path, algorithm):
    tables = {part: put_parquet(tmp_path, part) for part in ("train", "test")}
    described = parquet_files()
    described["distribution"] = [
        file_object(
            *(part, f"https://example.org/files/data/{path.name}", "application/x-parquet"),
            **{algorithm: hashlib.new(algorithm, path.read_bytes(), usedforsecurity=False).hexdigest()},
        )
        for part, path in tables.items()
    ]
    *_, default = described["recordSet"]
    sets = []
    for part, path in tables.items():
        path.rename(tmp_path / path.name)  # of an address elsewhere the last part is looked for
        fields = json.loads(json.dumps(default["field"][1:]).replace("tables", part).replace("default/", f"{part}/"))
        sets.append({"@type": "cr:RecordSet", "@id": part, "field": fields})
    described["recordSet"][1:] = sets
    path = put(tmp_path, "croissant.json", described)
    check(read(path))
    described["distribution"][1][algorithm] = "0" * len(described["distribution"][1][algorithm])
    put(tmp_path, "croissant.json", described)
    with pytest.raises(UserError, match=r"test-00000-of-00001\.parquet has another (MD5|sha256) than croissant\.json"):
        read(path)


def test_the_config_tells_which_record_set_fields_and_splits_are_meant(tmp_path):
    put_images(tmp_path)
    described = image_files(
        second=field("pets/mask", "sc:ImageObject", "files", fileProperty="content"),
        kind=field("pets/number", ["sc:Text", "cr:Label"], "files", fileProperty="filename", regex=r"(\d)\.png$"),
    )
    described["recordSet"].append({**described["recordSet"][1], "@id": "more"})
    path = put(tmp_path, "croissant.json", described)
    for told, message in (
        ({}, r"images in the record sets pets, more; write datasets\.pets\.record_set"),
        ({"record_set": "cats"}, r"record_set is 'cats', but the metadata have splits, pets, more"),
        ({"record_set": "pets"}, r"several fields for images \(pets/image, pets/mask\); write datasets\.pets\.image"),
        (
            {"record_set": "pets", "image": "pets/image"},
            r"labels \(pets/label, pets/number\); write datasets\.pets\.label",
        ),
    ):
        with pytest.raises(UserError, match=message):
            read(path, **told)
    told = {"record_set": "pets", "image": "pets/image", "label": "pets/label"}
    check(read(path, **told))
    swapped = read(path, **told, splits={"train": "test", "test": "train"})
    assert (len(swapped.x_train), len(swapped.x_test)) == (4, 8)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("[1", r"is no JSON"),
        ({"@type": "sc:Recipe"}, r"describes no dataset"),
        ({"@type": "sc:Dataset"}, r"states no version of Croissant; versions 1\.0 and 1\.1 are read"),
        (image_files() | {"conformsTo": "http://mlcommons.org/croissant/0.8"}, r"states 0\.8 of Croissant"),
        (image_files(label=None), r"has no record set with a field of images .* and one of labels"),
        (
            image_files(label=field("l", "cr:Label", "files", fileProperty="fullpath", regex="(")),
            r"is no regular expression",
        ),
        (
            image_files(label=field("l", "cr:Label", "files", fileProperty="fullpath", regex="(cow)")),
            r"gives 12 of 12 images no label",
        ),
        (
            image_files(split=field("s", "sc:Text", "files", fileProperty="filename", references="splits")),
            r"the split '0\.png' in pets; write datasets\.pets\.splits",
        ),
        (
            image_files(label=field("l", "cr:Label", "table", column="class"))
            | {
                "distribution": [file_set("files", "image/png", "*/*/*.png"), file_object("table", "t.csv", "text/csv")]
            },
            r"does not say which column of table names the files of files",
        ),
        (
            metadata([file_set("files", "image/png", "none/*.png")], image_files()["recordSet"]),
            r"has none; put them there",
        ),
        (
            metadata([file_set("files", "image/png", "../*.png")], image_files()["recordSet"]),
            r"is not below the folder",
        ),
        (metadata([file_set("files", "audio/mpeg", "*.mp3")], []), r"has no record set"),
        (
            metadata(
                [file_object("files", "/etc/passwd", "image/png")],
                image_files()["recordSet"],
            ),
            r"/etc/passwd is not below the folder",
        ),
    ],
)
def test_metadata_that_cannot_be_used_are_refused_before_anything_runs(tmp_path, content, message):
    put_images(tmp_path)
    path = put(tmp_path, "croissant.json", content)
    spec = as_dataset({"kind": "croissant", "path": str(path)})
    with pytest.raises(UserError, match=message) as refused:
        croissant.form("pets", spec)
    assert str(refused.value).startswith("datasets.pets.path: ")


def test_a_plan_reads_the_metadata_and_a_folder_without_them_is_told_their_names(tmp_path, capsys):
    put_images(tmp_path)
    config = {
        "study": "s",
        "datasets": {"pets": {"kind": "croissant", "path": str(tmp_path)}},
        "models": {"d": {"family": "dense", "units": [2]}},
    }
    study = put(tmp_path, "study.yaml", config)
    with pytest.raises(UserError, match=r"datasets\.pets\.path: .* holds none of croissant\.json"):
        plan.main([str(study)])
    put(tmp_path, "croissant.json", image_files())
    plan.main([str(study)])
    assert "6×5×3" in capsys.readouterr().out


def test_the_data_are_known_by_the_content_of_the_metadata_and_of_all_files_that_they_describe(tmp_path):
    put_images(tmp_path / "pets")
    path = put(tmp_path, "pets/croissant.json", image_files())
    put(tmp_path, "pets/notes.txt", "not part of the data")
    index = tmp_path / "index.json"

    def digest_of(path: Path) -> str:
        index.unlink(missing_ok=True)
        return content_digest(path, index, files_of=croissant.files)

    first = digest_of(path)
    assert digest_of(path.parent) == first
    put(tmp_path, "pets/notes.txt", "edited")
    assert digest_of(path) == first
    put(tmp_path, "pets/train/cat/0.png", png(PIXELS["test/dog/0.png"]))
    second = digest_of(path)
    assert second != first
    put(tmp_path, "pets/croissant.json", image_files(split=None))
    assert digest_of(path) not in (first, second)


@pytest.mark.parametrize("linked", ["train/cat/0.png", "train/cat"])
def test_links_that_leave_the_folder_are_refused(tmp_path, linked):
    put_images(tmp_path / "pets")
    path = put(tmp_path, "pets/croissant.json", image_files())
    (tmp_path / "pets" / linked).rename(tmp_path / "elsewhere")
    (tmp_path / "pets" / linked).symlink_to(tmp_path / "elsewhere")
    with pytest.raises(UserError, match=rf"{linked} is a link that leaves"):
        read(path)


def test_prefixes_of_keys_do_not_matter(tmp_path):
    put_images(tmp_path)
    text = json.dumps(image_files())
    for key in (
        "recordSet",
        "field",
        "source",
        "extract",
        "fileProperty",
        "transform",
        "regex",
        "includes",
        "dataType",
    ):
        text = text.replace(f'"{key}"', f'"cr:{key}"')
    for key in ("distribution", "encodingFormat", "name"):
        text = text.replace(f'"{key}"', f'"https://schema.org/{key}"')
    path = put(tmp_path, "croissant.json", text)
    assert read_metadata(path, "datasets.pets").facts["source"] == "Pets"
    check(read(path))
