"""Croissant metadata of a prepared dataset: valid, and no more than is known."""

import importlib
import json
import os
from pathlib import Path
from unittest import mock

import numpy as np
import pytest

import data_card
import prepare
from convlab.common import checksums
from convlab.common.files import array_sha256, read_json, write_arrays, write_json
from convlab.datasets.data_card import CROISSANT, RESPONSIBLE_AI
from convlab.datasets.data_card import data_card as describe
from convlab.errors import UserError
from convlab.study import layout

FOLDER = Path("results/cards/prepare")


@pytest.fixture(scope="module")
def mlcroissant():
    """The format's own library. Importing it sets a variable that programs which other tests start should not see."""
    with mock.patch.dict(os.environ):
        return importlib.import_module("mlcroissant")


@pytest.fixture
def study(tmp_path, monkeypatch):
    """A study with scikit-learn's digits and arrays of the user's own, both prepared."""
    monkeypatch.chdir(tmp_path)
    arrays = {"x_train": np.zeros((12, 4, 4), np.uint8), "y_train": np.arange(12) % 3}
    np.savez("own.npz", **arrays)
    own = {"kind": "npz", "path": "own.npz", "classes": ["a", "b b", "ç"]}
    datasets = {"digits": {"kind": "digits", "train_images": 100}, "own": own}
    config = {"study": "cards", "datasets": datasets, "models": {"d": {"family": "dense", "units": [2]}}}
    Path("study.yaml").write_text(json.dumps(config))
    for name, spec in datasets.items():
        folder = str(layout.prepared(layout.study_folder("cards"), name))
        prepare.main(["--dataset", name, "--spec", json.dumps(spec), "--output-dir", folder])
    return tmp_path


def card_of(name: str) -> dict:
    return read_json(FOLDER / name / "croissant.json")


def test_cards_of_all_datasets_are_valid_croissant_of_the_present_version(study, capsys, mlcroissant):
    data_card.main(["study.yaml"])
    for name in ("digits", "own"):
        card = card_of(name)
        assert CROISSANT.endswith("/1.1") and card["conformsTo"] == [CROISSANT, RESPONSIBLE_AI]
        dataset = mlcroissant.Dataset(FOLDER / name / "croissant.json")  # raises ValidationError
        assert [record_set.id for record_set in dataset.metadata.record_sets] == ["splits", "classes", "train", "test"]
        assert dataset.metadata.ctx.is_v1_1()
        classes = [record["classes/name"] for record in dataset.records("classes")]
        assert classes == read_json(FOLDER / name / "manifest.json")["classes"]
    assert "digits: results/cards/prepare/digits/croissant.json" in capsys.readouterr().out


def test_a_card_states_what_the_manifest_and_the_arrays_hold(study):
    data_card.main(["study.yaml", "digits"])
    assert not (FOLDER / "own/croissant.json").exists()
    card, manifest = card_of("digits"), read_json(FOLDER / "digits/manifest.json")
    (file,) = card["distribution"]
    assert file["sha256"] == checksums.sha256(FOLDER / "digits/data.npz")
    assert (FOLDER / "digits" / file["contentUrl"]).stat().st_size == int(file["contentSize"].split()[0])
    assert "8×8 pixels with 1 channel in 10 classes (100 train, 355 test)" in card["description"]
    assert manifest["source"] in card["description"]
    assert card["license"] == "https://creativecommons.org/licenses/by/4.0/" and card["url"] == manifest["homepage"]
    assert card["citeAs"] == manifest["citation"]
    (preprocessing,) = card["rai:dataPreprocessingProtocol"]
    assert "taken by a fixed rule" in preprocessing and "The first 100 train images" in preprocessing
    splits, classes, train, test = card["recordSet"]
    assert splits["data"] == [
        {"splits/name": "train", "splits/url": "cr:TrainingSplit"},
        {"splits/name": "test", "splits/url": "cr:TestSplit"},
    ]
    assert sum(row["classes/train_images"] for row in classes["data"]) == 100
    image, label = train["field"][:2]
    assert image["arrayShape"] == "8,8,1" and image["source"]["extract"]["column"] == "x_train"
    assert label["references"]["field"]["@id"] == "classes/label" and test["field"][2]["value"] == "test"


def test_what_nobody_has_stated_is_left_out_and_named(study, capsys):
    data_card.main(["study.yaml", "own"])
    card = card_of("own")
    assert not {"license", "url", "creator", "datePublished", "citeAs", "rai:dataLimitations"} & card.keys()
    assert "left out: license, url, creator and datePublished" in capsys.readouterr().out
    (preprocessing,) = card["rai:dataPreprocessingProtocol"]
    assert "drawn by seed 0, 20% of every class" in preprocessing


def test_licence_citation_and_reason_of_the_config_are_stated(study):
    config = json.loads(Path("study.yaml").read_text())
    config["datasets"]["own"] |= {"licence": "MIT", "citation": "Me, 2026.", "why": "They are small."}
    Path("study.yaml").write_text(json.dumps(config))
    data_card.main(["study.yaml", "own"])
    card = card_of("own")
    assert card["license"] == "https://spdx.org/licenses/MIT.html" and card["citeAs"] == "Me, 2026."
    assert card["description"].endswith("They are small.")


def test_a_validation_split_is_a_record_set_of_its_own_and_excluded_images_are_a_limitation(study, mlcroissant):
    manifest = read_json(FOLDER / "digits/manifest.json")
    x, y = np.zeros((5, 8, 8, 1), np.uint8), np.arange(5)
    for name, array in (("x_validation", x), ("y_validation", y)):
        manifest["arrays"][name] = {"sha256": array_sha256(array), "shape": array.shape, "dtype": str(array.dtype)}
    manifest["counts"]["validation"] = {name: int(name) < 5 for name in manifest["classes"]}
    manifest["validation_from"] = {"from": "data"}
    manifest["excluded"] = [{"count": 3, "image": True}, {"count": 9, "image": False}]
    write_arrays(study / "data.npz", x_validation=x, y_validation=y)
    stated = {"licence": "own words", "citation": None, "why": "It is small."}
    card = describe(manifest, checksums.sha256(study / "data.npz"), 1, stated)
    write_json(study / "croissant.json", card)
    dataset = mlcroissant.Dataset(study / "croissant.json")
    ids = [record_set.id for record_set in dataset.metadata.record_sets]
    assert ids == ["splits", "classes", "train", "validation", "test"]
    assert "Validation images are those that the data bring." in card["rai:dataPreprocessingProtocol"][0]
    assert card["license"] == "own words" and card["description"].endswith("It is small.")
    assert card["rai:dataLimitations"] == ["3 images of the source could not be read and are left out."]


def test_arrays_that_are_missing_or_damaged_get_no_card(study):
    command = "make data-card STUDY=study.yaml DATASET=digits"
    with pytest.raises(UserError, match=f"'mine' is no dataset of cards; name digits or own: {command}$"):
        data_card.main(["study.yaml", "mine"])
    data = FOLDER / "digits/data.npz"
    data.write_bytes(data.read_bytes()[:-1] + b"x")
    with pytest.raises(UserError, match=r"data\.npz"):
        data_card.main(["study.yaml", "digits"])
    (FOLDER / "own/data.npz").unlink()
    with pytest.raises(UserError, match=r"own/data\.npz"):
        data_card.main(["study.yaml", "own"])
    assert not list(FOLDER.rglob("croissant.json"))
