"""Published datasets that cannot be fetched here, read from made files of the form in which they are published.

What is real is the form, taken from what the publishers and other readers say of it, and the checksums, taken from
public code; a made file passes only where a test puts its own checksum in their stead.
"""

import gzip
import hashlib
import io
import re
import tarfile
import zipfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from pydantic import ValidationError

import plan
from builders.served_folder import served
from convlab.datasets import fetching
from convlab.datasets.fetching import ALGORITHMS, Archive
from convlab.datasets.kinds import cifar100, emnist, kmnist, medmnist, svhn
from convlab.datasets.registry import kind_of, kinds
from convlab.datasets.specs import as_dataset
from convlab.errors import UserError
from prepare import describe

GENERATOR = np.random.default_rng(0)
TRAIN, TEST = 30, 20


def idx(array: np.ndarray) -> bytes:
    header = bytes([0, 0, 8, array.ndim]) + np.array(array.shape, ">u4").tobytes()
    return gzip.compress(header + array.astype(np.uint8).tobytes(), mtime=0)


def images(count: int, *shape: int) -> np.ndarray:
    return GENERATOR.integers(0, 256, (count, *shape), np.uint8)


def sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def put(folder: Path, files: dict[str, bytes]) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in files.items():
        (folder / name).write_bytes(content)
    return folder


def known(archive: Archive, files: dict[str, bytes], **changes) -> Archive:
    """The archive with the checksums of these files."""
    return replace(archive, checksums={name: sha256(files[name]) for name in archive.checksums}, **changes)


def read(kind: str, path: Path | None, **options):
    """The dataset, as the kind's reader gives it for a spec."""
    spec = as_dataset({"kind": kind, "path": None if path is None else str(path), **options})
    dataset = kind_of(spec).read("it", spec, 1).dataset
    shape, classes = kind_of(spec).form("it", spec)
    assert dataset.x_train.shape[1:] == dataset.x_test.shape[1:] == shape and len(dataset.classes) == classes
    assert dataset.x_train.dtype == np.uint8 and dataset.y_train.dtype == np.int64
    return dataset


# ---------------------------------------------------------------------------------------------------------------------
# Each kind from files of its form


def test_kmnist_is_read_from_its_four_packed_files(tmp_path, monkeypatch):
    x_train, x_test = images(TRAIN, 28, 28), images(TEST, 28, 28)
    arrays = (x_train, np.arange(TRAIN) % 10, x_test, np.arange(TEST) % 10)
    files = dict(zip(kmnist.ARCHIVE.checksums, map(idx, arrays), strict=True))
    monkeypatch.setattr(kmnist, "ARCHIVE", known(kmnist.ARCHIVE, files))
    dataset = read("kmnist", put(tmp_path, files))
    assert (dataset.x_train[..., 0] == x_train).all() and (dataset.x_test[..., 0] == x_test).all()
    assert dataset.y_test.tolist() == [0, 1, 2, 3, 4, 5, 6, 7, 8, 9] * 2
    assert dataset.classes[:3] == ("o", "ki", "su")


@pytest.fixture
def emnist_files(tmp_path, monkeypatch):
    """Packed IDX files of all splits, and the zip with them; every file's checksum is known."""
    files = {}
    for split, classes in emnist.CLASSES.items():
        first = 1 if split == "letters" else 0
        for name, count in zip(emnist.split_files(split), (TRAIN, TRAIN, TEST, TEST), strict=True):
            labels = np.arange(count) % len(classes) + first
            files[name] = idx(labels if "labels" in name else images(count, 28, 28))
    md5 = {
        split: tuple(hashlib.md5(files[name], usedforsecurity=False).hexdigest() for name in emnist.split_files(split))
        for split in emnist.CLASSES
    }
    monkeypatch.setattr(emnist, "MD5", md5)
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        for name, content in files.items():
            archive.writestr(f"gzip/{name}", content)
    monkeypatch.setattr(emnist, "ARCHIVE", known(emnist.ARCHIVE, {emnist.ZIP: packed.getvalue()}))
    put(tmp_path / "zip", {emnist.ZIP: packed.getvalue(), "emnist.zip": packed.getvalue()})
    put(tmp_path / "unzipped/gzip", files)
    return tmp_path


@pytest.mark.parametrize("split", emnist.CLASSES)
def test_every_split_of_emnist_is_read_upright_with_labels_from_zero(emnist_files, split):
    dataset = read("emnist", emnist_files / "zip", split=split)
    name = emnist.split_files(split)[2]
    stored = np.frombuffer(gzip.decompress((emnist_files / "unzipped/gzip" / name).read_bytes())[16:], np.uint8)
    assert (dataset.x_test[..., 0] == stored.reshape(-1, 28, 28).transpose(0, 2, 1)).all()
    assert dataset.y_train.min() == 0 and dataset.y_train[:3].tolist() == [0, 1, 2]


def test_emnist_is_the_same_from_the_zip_under_any_name_and_from_the_unzipped_folder(emnist_files):
    paths = ("zip", "zip/emnist.zip", "unzipped", "unzipped/gzip")
    first, *others = (read("emnist", emnist_files / path, split="letters") for path in paths)
    assert first.classes == tuple("ABCDEFGHIJKLMNOPQRSTUVWXYZ")
    for other in others:
        assert (other.x_train == first.x_train).all() and (other.y_test == first.y_test).all()


def test_classes_of_emnist_are_as_many_as_published():
    assert {split: len(classes) for split, classes in emnist.CLASSES.items()} == {
        **{"byclass": 62, "bymerge": 47, "balanced": 47, "letters": 26, "digits": 10, "mnist": 10}
    }
    assert "".join(emnist.CLASSES["balanced"][36:]) == "abdefghnqrt"


@pytest.mark.parametrize(("labels", "classes"), [("fine", 100), ("coarse", 20)])
def test_cifar100_has_fine_and_coarse_labels(tmp_path, monkeypatch, labels, classes):
    records = {}
    for name, count in (("train.bin", 200), ("test.bin", 100)):
        fine = np.arange(count) % 100
        records[name] = np.concatenate(
            [np.stack([fine // 5, fine], 1).astype(np.uint8), images(count, 3072)], axis=1
        ).tobytes()
    names = {
        "fine_label_names.txt": "\n".join(f"thing_{number}" for number in range(100)).encode(),
        "coarse_label_names.txt": "\n".join(f"group_{number}" for number in range(20)).encode(),
    }
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w:gz") as tar:
        for name, content in {**records, **names}.items():
            member = tarfile.TarInfo(f"cifar-100-binary/{name}")
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))
    archive = known(cifar100.FINE.archive, {cifar100.FINE.packed_name: packed.getvalue()})
    sums = {name: sha256(content) for name, content in records.items()}
    for batches in ("FINE", "COARSE"):
        changed = replace(
            getattr(cifar100, batches), archive=archive, images={"train.bin": 200, "test.bin": 100}, checksums=sums
        )
        monkeypatch.setattr(cifar100, batches, changed)

    packed_there = put(tmp_path / "packed", {cifar100.FINE.packed_name: packed.getvalue()})
    unpacked = put(tmp_path / "unpacked", {**records, **names})
    first, second = (read("cifar100", path, labels=labels) for path in (packed_there, unpacked))
    assert first.y_test.tolist() == [number if labels == "fine" else number // 5 for number in range(100)]
    assert len(set(first.classes)) == classes and first.classes[3] == ("thing_3" if labels == "fine" else "group_3")
    raw = np.frombuffer(records["test.bin"], np.uint8).reshape(100, -1)
    assert first.x_test[7, 3, 5].tolist() == [raw[7, 2 + plane * 1024 + 3 * 32 + 5] for plane in range(3)]
    assert (first.x_train == second.x_train).all() and (first.y_train == second.y_train).all()


def matlab(x: np.ndarray, y: np.ndarray) -> bytes:
    from scipy.io import (
        savemat,
    )  # imported while tests are collected, it would leave a variable to the programs they start

    content = io.BytesIO()
    savemat(content, {"X": x, "y": y}, do_compression=True)
    return content.getvalue()


@pytest.mark.parametrize("extra", [False, True])
def test_svhn_has_digit_zero_as_label_zero_and_extra_images_behind_the_training_images(tmp_path, monkeypatch, extra):
    parts = {
        name: (images(count, 32, 32, 3), np.arange(count) % 10 + 1)
        for name, count in ((svhn.TRAIN, TRAIN), (svhn.TEST, TEST), (svhn.EXTRA, 40))
    }
    files = {name: matlab(x.transpose(1, 2, 3, 0), y[:, None].astype(np.uint8)) for name, (x, y) in parts.items()}
    for archive in ("ARCHIVE", "WITH_EXTRA"):
        monkeypatch.setattr(svhn, archive, known(getattr(svhn, archive), files))
    monkeypatch.setattr(svhn, "IMAGES", {name: len(x) for name, (x, _) in parts.items()})
    if not extra:
        del files[svhn.EXTRA]
    dataset = read("svhn", put(tmp_path, files), extra=extra)
    assert len(dataset.x_train) == TRAIN + (40 if extra else 0)
    assert (dataset.x_train[:TRAIN] == parts[svhn.TRAIN][0]).all() and (dataset.x_test == parts[svhn.TEST][0]).all()
    assert dataset.y_test.tolist() == [1, 2, 3, 4, 5, 6, 7, 8, 9, 0] * 2
    if extra:
        assert (dataset.x_train[TRAIN:] == parts[svhn.EXTRA][0]).all()


def medmnist_file(chosen: medmnist.Set, size: int = 28, **changed: np.ndarray) -> bytes:
    shape = (size, size) if chosen.channels == 1 else (size, size, 3)
    arrays = {}
    for part, count in (("train", TRAIN), ("val", 12), ("test", TEST)):
        arrays[f"{part}_images"] = images(count, *shape)
        arrays[f"{part}_labels"] = (np.arange(count) % len(chosen.classes)).astype(np.uint8)[:, None]
    content = io.BytesIO()
    np.savez_compressed(content, **(arrays | changed))
    return content.getvalue()


def publish(monkeypatch, name: str, size: int, content: bytes, mirror: str | None = None) -> None:
    """Put the content's checksum in the stead of the published one, and the mirror in that of the publisher's."""
    md5 = {size: hashlib.md5(content, usedforsecurity=False).hexdigest()}
    monkeypatch.setitem(medmnist.SETS, name, replace(medmnist.SETS[name], md5=md5))
    if mirror:
        monkeypatch.setattr(medmnist, "MIRROR", mirror)


@pytest.mark.parametrize("name", medmnist.SETS)
def test_every_set_of_medmnist_brings_its_validation_images(tmp_path, monkeypatch, name):
    content = medmnist_file(medmnist.SETS[name])
    publish(monkeypatch, name, 28, content)
    dataset = read("medmnist", put(tmp_path, {f"{name}.npz": content}), set=name)
    with np.load(io.BytesIO(content)) as stored:
        shape = dataset.x_train.shape[1:]
        assert (dataset.x_validation == stored["val_images"].reshape(-1, *shape)).all()
        assert dataset.y_validation.tolist() == stored["val_labels"][:, 0].tolist()
    assert dataset.y_validation.dtype == np.int64 and len(dataset.x_validation) == 12


def test_a_larger_size_of_medmnist_is_downloaded_kept_and_checked(tmp_path, monkeypatch):
    monkeypatch.setenv("CONVLAB_CACHE", str(tmp_path / "cache"))
    content = medmnist_file(medmnist.SETS["breastmnist"], size=64)
    with served(put(tmp_path / "served", {"breastmnist_64.npz": content})) as mirror:
        publish(monkeypatch, "breastmnist", 64, content, mirror)
        downloaded = read("medmnist", None, set="breastmnist", size=64)
    kept = read("medmnist", None, set="breastmnist", size=64)  # the mirror is gone
    assert downloaded.x_train.shape == (TRAIN, 64, 64, 1) and (kept.x_train == downloaded.x_train).all()
    assert [path.name for path in (tmp_path / "cache/medmnist").iterdir()] == ["breastmnist_64.npz"]
    (tmp_path / "cache/medmnist/breastmnist_64.npz").write_bytes(content[:-1])
    with pytest.raises(UserError, match=r"cannot get BreastMNIST .*set datasets\.it\.path to that folder"):
        read("medmnist", None, set="breastmnist", size=64)


def test_a_download_is_read_where_the_cache_cannot_be_written(tmp_path, monkeypatch):
    monkeypatch.setenv("CONVLAB_CACHE", str(put(tmp_path, {"file": b"in the way"}) / "file"))
    content = medmnist_file(medmnist.SETS["bloodmnist"])
    with served(put(tmp_path / "served", {"bloodmnist.npz": content})) as mirror:
        publish(monkeypatch, "bloodmnist", 28, content, mirror)
        assert len(read("medmnist", None, set="bloodmnist").x_train) == TRAIN


def test_licence_and_source_of_a_set_of_medmnist_are_in_its_manifest(tmp_path, monkeypatch):
    facts = {}
    for name in ("dermamnist", "octmnist"):
        content = medmnist_file(medmnist.SETS[name])
        publish(monkeypatch, name, 28, content)
        spec = as_dataset({"kind": "medmnist", "set": name, "path": str(put(tmp_path, {f"{name}.npz": content}))})
        reading = medmnist.read(name, spec, 1)
        facts[name] = describe(name, spec, medmnist.KIND, reading.dataset, reading)
    assert facts["dermamnist"]["licence"] == "CC BY-NC 4.0" and facts["octmnist"]["licence"] == "CC BY 4.0"
    assert facts["dermamnist"]["source"] == "DermaMNIST of MedMNIST v2 (skin lesions, HAM10000)"
    assert facts["octmnist"]["citation"].startswith("Yang, Shi, Wei")
    assert facts["octmnist"]["validation_from"] == {"from": "data"}


# ---------------------------------------------------------------------------------------------------------------------
# Files that are not the publisher's


MADE = {
    "kmnist": dict.fromkeys(kmnist.ARCHIVE.checksums, idx(np.zeros((1, 28, 28)))),
    "emnist": {emnist.ZIP: b"PK made"},
    "cifar100": {cifar100.FINE.packed_name: b"\x1f\x8b made"},
    "svhn": dict.fromkeys(svhn.CHECKSUMS, b"MATLAB made"),
    "medmnist": {"pathmnist.npz": b"PK made"},
}


@pytest.mark.parametrize("kind", MADE)
def test_files_with_another_checksum_are_refused_and_kept(tmp_path, kind):
    folder = put(tmp_path, MADE[kind])
    options = {"set": "pathmnist"} if kind == "medmnist" else {}
    with pytest.raises(UserError, match=r"has the wrong (MD5|sha256), so it is not .*remove datasets\.it\.path"):
        read(kind, folder, **options)
    assert {path.name for path in folder.iterdir()} == set(MADE[kind])


@pytest.mark.parametrize("kind", MADE)
def test_a_folder_without_the_files_is_told_which_are_missing(tmp_path, kind):
    options = {"set": "pathmnist"} if kind == "medmnist" else {}
    missing = "train.bin" if kind == "cifar100" else next(iter(MADE[kind]))
    with pytest.raises(
        UserError, match=rf"datasets\.it\.path: .* lacks {re.escape(missing)}.*remove datasets\.it\.path"
    ):
        read(kind, put(tmp_path / "empty", {}), **options)


@pytest.mark.parametrize("kind", ["kmnist", "emnist"])
def test_unpacked_files_without_a_public_checksum_are_refused_with_what_to_give(tmp_path, kind):
    name = next(iter(MADE["kmnist"])) if kind == "kmnist" else emnist.split_files("balanced")[0]
    put(tmp_path, {name.removesuffix(".gz"): b"unpacked"})
    with pytest.raises(UserError, match=rf"ubyte is unpacked, and only .* give {re.escape(name)}"):
        read(kind, tmp_path)


def test_a_file_of_another_size_or_cut_short_is_refused(tmp_path):
    path = put(tmp_path, {"mine.npz": medmnist_file(medmnist.SETS["bloodmnist"])}) / "mine.npz"
    with pytest.raises(UserError, match=r"mine\.npz has the wrong MD5, so it is not BloodMNIST's bloodmnist\.npz or"):
        read("medmnist", path, set="bloodmnist")


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"val_images": np.zeros((12, 28, 28), np.float32)}, "val_images and val_labels do not fit"),
        ({"train_labels": np.full((TRAIN, 1), 8, np.uint8)}, "train_images and train_labels do not fit"),
        ({"test_labels": np.zeros((TEST, 14), np.uint8)}, "test_images and test_labels do not fit"),
        ({"val_labels": np.array([{}], object)}, "is not a whole file of BloodMNIST"),
    ],
)
def test_an_npz_file_of_another_form_is_refused_even_if_its_checksum_were_right(
    tmp_path, monkeypatch, changed, message
):
    content = medmnist_file(medmnist.SETS["bloodmnist"], **changed)
    publish(monkeypatch, "bloodmnist", 28, content)
    with pytest.raises(UserError, match=message):
        read("medmnist", put(tmp_path, {"bloodmnist.npz": content}), set="bloodmnist")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"MATLAB 5.0 MAT-file, cut short", "is no MATLAB file with X and y"),
        ((images(2, 32, 32, 3), np.array([[1], [2]], np.uint8)), "images of 32×32 pixels with labels 1 to 10"),
        ((images(32, 32, 3, 2), np.array([[1], [11]], np.uint8)), "images of 32×32 pixels with labels 1 to 10"),
    ],
)
def test_a_matlab_file_of_another_form_is_refused_even_if_its_checksum_were_right(
    tmp_path, monkeypatch, content, message
):
    files = dict.fromkeys((svhn.TRAIN, svhn.TEST), content if isinstance(content, bytes) else matlab(*content))
    monkeypatch.setattr(svhn, "ARCHIVE", known(svhn.ARCHIVE, files))
    with pytest.raises(UserError, match=message):
        read("svhn", put(tmp_path, files))


def test_images_that_do_not_fit_into_memory_are_refused_before_they_are_fetched(monkeypatch, tmp_path):
    monkeypatch.setattr("convlab.datasets.reading.memory_limit", lambda: 10**9)
    with pytest.raises(UserError, match=r"datasets\.it\.size: 107,180 images of 224×224×3 take 16\.1 GB"):
        read("medmnist", tmp_path, set="pathmnist", size=224)


def test_the_set_whose_images_have_several_labels_is_refused_in_one_sentence():
    with pytest.raises(ValidationError, match="chestmnist gives each image several labels") as refused:
        as_dataset({"kind": "medmnist", "set": "chestmnist"})
    assert len(refused.value.errors()) == 1


# ---------------------------------------------------------------------------------------------------------------------
# What is known without files


def archives() -> list[Archive]:
    specs = (
        medmnist.Medmnist(kind="medmnist", set=name, size=size)
        for name in medmnist.SETS
        for size in medmnist.SETS[name].md5
    )
    return [kmnist.ARCHIVE, emnist.ARCHIVE, cifar100.FINE.archive, svhn.WITH_EXTRA, *map(medmnist.archive_of, specs)]


def test_checksums_are_of_a_known_algorithm_and_all_different():
    sums = [checksum for archive in archives() for checksum in archive.checksums.values()]
    sums += [checksum for split in emnist.MD5.values() for checksum in split]
    assert len(sums) == len(set(sums)) == 4 + 1 + 1 + 3 + 4 * 11 + 6 * 4
    assert all(re.fullmatch("[0-9a-f]+", checksum) and len(checksum) in ALGORITHMS for checksum in sums)
    assert all(mirror.startswith("http") and mirror.endswith("/") for it in archives() for mirror in it.mirrors)


def test_a_checksum_is_computed_in_parts_as_of_the_whole(tmp_path):
    content = bytes(3 * 2**20 + 5)
    path = put(tmp_path, {"large": content}) / "large"
    for checksum in ("0" * 32, "0" * 64):
        assert fetching.digest(path, checksum) == fetching.digest(content, checksum)
    assert fetching.digest(path, "0" * 64) == sha256(content)


def test_each_kind_is_planned_without_its_files(tmp_path, capsys):
    (tmp_path / "config.yaml").write_text(
        "study: published\nmodels: {d: {family: dense, units: [4]}}\ndatasets: {kmnist: {}, emnist: {split: letters}, "
        "cifar100: {labels: coarse}, svhn: {extra: yes}, derma: {kind: medmnist, set: dermamnist, size: 64}}\n"
    )
    plan.main([str(tmp_path / "config.yaml")])
    printed = capsys.readouterr().out
    assert "28×28×1" in printed and "64×64×3" in printed and "5 datasets" in printed


@pytest.mark.parametrize("kind", [*MADE, "fashion_mnist", "mnist", "cifar10", "digits"])
def test_counts_by_class_have_one_number_for_each_class(kind):
    options = {"set": "bloodmnist"} if kind == "medmnist" else {}
    spec = as_dataset({"kind": kind, **options})
    for count in kinds()[kind].counts(spec):
        assert count.least == count.most > 0
        assert count.by_class is None or len(count.by_class) == kinds()[kind].form("it", spec)[1]
