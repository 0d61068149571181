"""Reasons, licence and citation of data explain them: the report prints them, and nothing is computed again."""

import html
import re

import pytest

import model_card
from builders.project import TINY
from builders.results import CNN_WINS, manifest_of, write_reports, write_study_with
from convlab.common.files import read_json
from convlab.common.specs import canonical_json
from convlab.errors import UserError
from convlab.study.data_texts import with_own_texts
from convlab.study.load import load_study
from convlab.study.registration import content

WHY = {"kind": "Small & real: <8×8> pixels.", "train_images": "Enough for two epochs."}
ARRAYS = {"kind": "npz", "path": "data.npz", "input_shape": [8, 8, 1], "classes": ["a", "b"]}
TEXTS = {"why": "They are ours.", "licence": "CC BY 4.0", "citation": "Me (2026)."}


def study_of(**texts):
    return load_study({**TINY, "datasets": {"own": {**ARRAYS, **texts}}})


def test_texts_are_part_of_no_run_no_registration_and_no_setting_of_tables():
    plain, explained = study_of(), study_of(**TEXTS)
    assert explained.datasets["own"].licence == "CC BY 4.0" and explained.datasets["own"].why["kind"] == TEXTS["why"]
    for study in (plain, explained):
        assert not {"why", "licence", "citation", "path"} & set(study.datasets["own"].identity)
    assert plain.run("own", "cnn", 1).spec_hash == explained.run("own", "cnn", 1).spec_hash
    assert plain.settings == explained.settings
    assert canonical_json(content(plain)) == canonical_json(content(explained))
    assert load_study(explained.validated_config).datasets == explained.datasets


def test_one_text_is_the_reason_for_the_data():
    assert study_of(why="Ours.").datasets == study_of(why={"kind": "Ours."}).datasets


@pytest.mark.parametrize("name", ["colour", "licence"])
def test_a_reason_for_a_field_that_the_data_do_not_have_is_refused(name):
    with pytest.raises(UserError, match=f"datasets.own.*why.{name} explains a field that such a dataset does not have"):
        study_of(why={name: "x"})


def test_published_data_have_the_licence_of_their_publisher():
    with pytest.raises(UserError, match=r"unknown key 'licence' in datasets\.digits"):
        load_study({**TINY, "datasets": {"digits": {"licence": "mine"}}})


def test_the_report_introduces_the_data_with_the_reasons_for_them(tmp_path):
    datasets = {"digits": {**TINY["datasets"]["digits"], "why": WHY}}
    config = write_study_with(tmp_path, {**TINY, "datasets": datasets}, CNN_WINS)
    page, markdown = write_reports(tmp_path, config)
    for text in (page, markdown):
        plain = html.unescape(re.sub(r"</?(strong|p|td|th|tr)[^>]*>", "", text)).replace("\\", "").replace("**", "")
        assert "Why these data: Small & real: <8×8> pixels." in plain
        assert "Enough for two epochs." in plain and "Choices about digits" in plain
    assert "<8×8>" not in page and "real: &lt;8×8&gt; pixels" in markdown


def test_the_licence_and_citation_of_own_images_stand_in_place_of_the_kinds():
    manifest = with_own_texts(manifest_of("own"), study_of(**TEXTS).datasets["own"])
    assert (manifest["licence"], manifest["citation"]) == ("CC BY 4.0", "Me (2026).")
    assert with_own_texts(manifest_of("own"), study_of().datasets["own"]) == manifest_of("own")
    facts = dict(model_card.data_facts(manifest, {"train_images": 1, "validation_images": 1}, "They are ours."))
    assert facts["Licence"] == "CC BY 4.0" and facts["Why these data"] == "They are ours."
    assert "Why these data" not in dict(model_card.data_facts(manifest, {"train_images": 1, "validation_images": 1}))


def test_the_page_shows_the_licence_that_the_config_gives(tmp_path):
    config = write_study_with(tmp_path, {**TINY, "datasets": {"own": {**ARRAYS, **TEXTS}}}, CNN_WINS)
    assert read_json(tmp_path / "prepare/own/manifest.json")["citation"] == "Somebody, 1998."
    for text in write_reports(tmp_path, config):
        assert "Me (2026)" in text.replace("\\", "") and "Somebody, 1998" not in text
