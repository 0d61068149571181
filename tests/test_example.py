"""The example report in docs/example is current, whole and small."""

import re

import pytest
from PIL import Image

import example
from builders.project import ROOT
from convlab.errors import UserError

PAGE = ROOT / "docs" / "example" / "README.md"
KB = 1000


def test_the_example_was_made_from_the_present_study_and_templates():
    recorded = re.search(r"digest (\w+)", PAGE.read_text(encoding="utf-8"))[1]
    assert recorded == example.digest(), "run: make example"


def test_every_picture_of_the_example_is_there_and_used():
    shown = re.findall(r"!\[[^\]]*\]\(([^)]+)\)", PAGE.read_text(encoding="utf-8"))
    kept = [f"pictures/{path.name}" for path in (PAGE.parent / "pictures").iterdir()]
    assert len(shown) > 15 and sorted(set(shown)) == sorted(kept)


def test_the_example_is_small_enough_to_clone():
    sizes = {path.name: path.stat().st_size for path in PAGE.parent.rglob("*") if path.is_file()}
    assert max(sizes.values()) < 300 * KB and sum(sizes.values()) < 1500 * KB


def test_the_example_names_no_folder_of_the_machine_that_made_it():
    assert not re.search(r"(?<![\w.<])/(root|home|tmp|work|Users)\b", PAGE.read_text(encoding="utf-8"))


def write_report(results, text: str):
    (results / "report").mkdir(parents=True)
    (results / "report" / "report.md").write_text(text)
    for file in ("compare/figures/d-x.png", "explore/d/samples.png"):
        (results / file).parent.mkdir(parents=True)
        Image.new("RGB", (40, 30), "#336699").save(results / file)


def test_pictures_are_copied_and_the_text_points_to_the_copies(tmp_path):
    write_report(tmp_path, "![a](../compare/figures/d-x.png) and ![b](../explore/d/samples.png), [c](#answer)\n")
    example.copy_report(tmp_path, tmp_path / "example")
    text = (tmp_path / "example" / "README.md").read_text()
    assert text.endswith("![a](pictures/d-x.png) and ![b](pictures/d-samples.png), [c](#answer)\n")
    with Image.open(tmp_path / "example/pictures/d-samples.png") as picture:
        assert picture.size == (40, 30) and picture.convert("RGB").getpixel((5, 5)) == (0x33, 0x66, 0x99)


def test_pictures_that_the_report_no_longer_has_go(tmp_path):
    write_report(tmp_path, "![a](../compare/figures/d-x.png)\n")
    (tmp_path / "example/pictures").mkdir(parents=True)
    (tmp_path / "example/pictures/old.png").touch()
    example.copy_report(tmp_path, tmp_path / "example")
    assert [path.name for path in (tmp_path / "example/pictures").iterdir()] == ["d-x.png"]


def test_a_demo_that_has_not_run_is_named(tmp_path):
    with pytest.raises(UserError, match=r"report\.md"):
        example.copy_report(tmp_path, tmp_path / "example")
    assert not (tmp_path / "example").exists()


def test_an_edited_template_makes_the_example_out_of_date(tmp_path, monkeypatch):
    for pattern in example.INPUTS:
        for path in ROOT.glob(pattern):
            target = tmp_path / path.relative_to(ROOT)
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(path.read_bytes())
    before = example.digest()
    monkeypatch.setattr(example, "ROOT", tmp_path)
    assert example.digest() == before
    (tmp_path / "report/markdown/answer.j2").write_text("other")
    assert example.digest() != before
