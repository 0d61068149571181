"""A user's own images are known by their content: edits are found, touches and copies are none."""

import os
import shutil

import pytest
from PIL import Image

from builders.project import TINY
from convlab.datasets.content_digest import content_digest


@pytest.fixture
def photos(tmp_path):
    for part, name, number in ((p, c, n) for p in ("train", "test") for c in ("cat", "dog") for n in range(4)):
        path = tmp_path / "photos" / part / name / f"{number}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.new("L", (8, 8), number * 50 + len(part) + ord(name[0])).save(path)
    return tmp_path / "photos"


@pytest.fixture
def digest(tmp_path):
    """The digest of a folder or file, and how many files were read for it."""

    def find(path):
        messages = []
        fingerprint = content_digest(path, tmp_path / "records/index.json", messages.append)
        return fingerprint, int(messages[0].split()[1]) if messages else 0

    return find


def test_only_changed_files_are_read_again(photos, digest):
    first = digest(photos)
    assert first[1] == 16 and digest(photos) == (first[0], 0)
    os.utime(photos / "train/cat/0.png", ns=(1, 1))
    assert digest(photos) == (first[0], 1)
    (photos / "train/cat/0.png").write_bytes((photos / "train/cat/1.png").read_bytes())
    changed = digest(photos)
    assert changed[0] != first[0] and changed[1] == 1


def test_copies_have_the_same_digest_and_other_names_another(photos, digest, tmp_path):
    first = digest(photos)[0]
    shutil.copytree(photos, tmp_path / "copy")
    assert digest(tmp_path / "copy")[0] == first
    (photos / "train/cat/0.png").rename(photos / "train/cat/9.png")
    assert digest(photos)[0] != first


def test_files_that_are_not_read_do_not_count(photos, digest):
    first = digest(photos)[0]
    for name in ("notes.txt", "train/cat/notes.txt", "train/cat/.hidden.png", "train/Thumbs.db"):
        (photos / name).write_text("x")
    assert digest(photos) == (first, 0)
    (photos / "test/dog/3.png").unlink()
    assert digest(photos)[0] != first


def test_one_file_is_known_by_its_content_too(tmp_path, digest):
    path = tmp_path / "a.npz"
    path.write_bytes(b"1")
    first = digest(path)[0]
    path.write_bytes(b"2")
    assert digest(path)[0] != first


def test_data_that_cannot_be_seen_are_taken_as_unchanged(photos, digest):
    first = digest(photos)[0]
    photos.rename(photos.with_name("elsewhere"))
    assert digest(photos) == (first, 0)


def test_a_damaged_or_unwritable_index_costs_only_time(photos, digest, tmp_path):
    first = digest(photos)[0]
    (tmp_path / "records/index.json").write_text("{")
    assert digest(photos) == (first, 16)
    (tmp_path / "file").write_text("")
    assert content_digest(photos, tmp_path / "file/index.json") == first


def test_links_that_lead_nowhere_are_left_to_prepare(photos, digest):
    (photos / "train/cat/x.png").symlink_to("nowhere")
    assert len(digest(photos)[0]) == 64


@pytest.mark.slow
def test_snakemake_prepares_again_what_was_edited_and_nothing_that_was_touched(project, photos):
    photos = photos.rename(project.folder / "my photos")
    dataset = {"kind": "image_folder", "path": "my photos", "image_size": 8, "colour": "grey"}
    project.configure({**TINY, "datasets": {"photos": dataset}})
    result = project.snakemake("results/tiny/prepare/photos/manifest.json")
    assert result.returncode == 0, result.stdout + result.stderr
    target = "results/tiny/prepare/photos/manifest.json"
    assert project.planned(target) == set()
    for path in photos.rglob("*.png"):
        os.utime(path)
    assert project.planned(target) == set()
    Image.new("L", (8, 8), 1).save(photos / "train/dog/2.png")
    assert project.planned(target) == {"Prepare photos"}
    project.configure({**TINY, "datasets": {"photos": {**dataset, "classes": 5}}})
    shutil.rmtree(photos)
    result = project.snakemake(target)
    assert result.returncode != 0
    log = (project.folder / "results/tiny/logs/prepare/photos.log").read_text()
    assert "error: datasets.photos.path: my photos is not a folder" in log and "Traceback" not in log
