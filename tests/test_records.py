"""Results of which Snakemake has no record: copied, cleaned or moved, they are held against config, code and data."""

import copy
import os
import re
import shutil

import pytest
import yaml

from builders.project import CNN_5X5, LAST_JOBS, TINY, Project, append_to, jobs_of_runs, tiny_with

pytestmark = pytest.mark.slow


@pytest.fixture
def copied(finished) -> Project:
    """Finished results without Snakemake's records, as a copy of the folder or a cleaned cache leaves them."""
    shutil.rmtree(finished.folder / ".snakemake")
    return finished


def turned_round() -> dict:
    return {"convolution": {"variant": "dense", "reference": "cnn"}}


CLAIM = {"id": "good", "text": "It learns.", "rule": "test_accuracy(cnn) > 0.5"}


def test_what_is_changed_is_computed_again_without_snakemakes_records(copied):
    """One after the other in one copy: a dry run writes nothing."""
    assert copied.planned() == set()
    for changes, planned in [
        ({"claims": [CLAIM]}, LAST_JOBS),
        ({"statistics": {"rope": 0.01}}, LAST_JOBS),
        ({"statistics": {"metric": "loss"}}, LAST_JOBS),
        ({"comparisons": turned_round()}, LAST_JOBS),
        ({"seeds": [1, 2]}, jobs_of_runs("dense", "cnn", CNN_5X5, seeds=()) | LAST_JOBS),
        ({"question": "Another question?"}, {"Write the report"}),
        ({"report": {"language": "es"}}, {"Explore digits"} | LAST_JOBS),
    ]:
        copied.configure(tiny_with(**changes))
        assert copied.planned() == planned, changes
    assert not (copied.folder / ".snakemake/convlab").exists(), "parsing writes nothing"


def test_other_code_is_noticed_without_snakemakes_records(copied):
    append_to(copied, "scripts/convlab/evaluation/metrics.py")
    assert copied.planned() == jobs_of_runs("dense", "cnn", CNN_5X5, seeds=()) | LAST_JOBS
    append_to(copied, "scripts/convlab/training/network.py")
    assert copied.planned() == jobs_of_runs("dense", "cnn", CNN_5X5) | LAST_JOBS


def test_times_that_a_copy_has_mixed_up_train_nothing(copied):
    for path in (copied.folder / "results").rglob("*"):
        os.utime(path)
    os.utime(copied.folder / "results/tiny/prepare/digits/manifest.json")
    assert not {job for job in copied.planned() if job.startswith(("Train", "Prepare"))}


def test_a_folder_of_photos_that_has_grown_is_noticed_without_snakemakes_records(project):
    from PIL import Image

    for part, count in (("train", 4), ("test", 2)):
        for label in "ab":
            for number in range(count):
                file = project.folder / f"photos/{part}/{label}/{number}.png"
                file.parent.mkdir(parents=True, exist_ok=True)
                Image.new("L", (8, 8), 20 * number + (100 if label == "b" else 0)).save(file)
    photos = {"kind": "image_folder", "path": "photos", "image_size": 8}
    project.configure({**TINY, "datasets": {"photos": photos}})
    result = project.snakemake("--until", "prepare")
    assert result.returncode == 0, result.stdout + result.stderr
    assert "The report is ready" not in result.stderr
    shutil.rmtree(project.folder / ".snakemake")
    assert "Prepare photos" not in project.planned("--until", "prepare")
    shutil.copy(project.folder / "photos/train/a/0.png", project.folder / "photos/train/a/9.png")
    assert "Prepare photos" in project.planned("--until", "prepare")


def test_a_checkout_at_another_path_with_odd_signs_runs_nothing(finished):
    elsewhere = finished.folder.with_name("a 'c' é #")
    finished.folder.rename(elsewhere)
    assert Project(elsewhere).planned() == set()
    braces = elsewhere.rename(elsewhere.with_name("a {b}"))
    result = Project(braces).snakemake("-n")
    assert (
        result.returncode != 0
        and "has braces in its name, which Snakemake takes for wildcards" in result.stdout + result.stderr
    )


def test_code_that_is_edited_while_a_job_runs_is_not_recorded_as_what_made_its_results(finished):
    """The job's script edits a module of its own while it runs, and a dry run parses, as a person may do both."""
    script = finished.folder / "scripts/explore.py"
    source = script.read_text()
    edit = (
        "    import subprocess, sys as system\n"
        "    module = Path(__file__).parent / 'convlab/figures/dataset.py'\n"
        "    module.write_text(module.read_text() + '\\n# An edit.\\n')\n"
        "    command = [system.executable, '-m', 'snakemake', '-n', '--cores', '1', '--workflow-profile', 'none']\n"
        "    subprocess.run(command, check=True)\n"
    )
    mark = "def main(argv: list[str] | None = None) -> None:\n"
    assert source.count(mark) == 1
    script.write_text(source.replace(mark, mark + edit))
    result = finished.snakemake("--until", "explore")
    assert result.returncode == 0, result.stdout + result.stderr
    assert "Explore digits" in finished.planned("--until", "explore")


def test_a_job_that_begins_after_an_edit_of_its_code_says_so(monkeypatch, tmp_path):
    from convlab.common import cli
    from convlab.errors import UserError

    monkeypatch.setattr(cli, "matches", lambda planned, script: planned == "now")
    monkeypatch.setenv(cli.PLANNED_CODE_VARIABLE, "then")
    with pytest.raises(UserError, match=r"the code of train\.py was edited after Snakemake had planned this job; run"):
        cli.check_code(tmp_path / "train.py")
    monkeypatch.setenv(cli.PLANNED_CODE_VARIABLE, "now")
    cli.check_code(tmp_path / "train.py")


OUTER = """
configfile: "outer.yaml"

module convlab:
    snakefile: "{snakefile}"
    config: config["convlab"]
    prefix: "below"

use rule * from convlab as convlab_*

rule all:
    default_target: True
    input: rules.convlab_all.input
"""


def test_the_workflow_is_used_from_wherever_its_users_are(finished, tmp_path):
    """As a module with a prefix, by include, with -s from another folder and from inside of workflow/."""
    everything = jobs_of_runs("dense", "cnn", CNN_5X5) | LAST_JOBS | {"Prepare digits", "Explore digits"}
    outer = Project(tmp_path / "outer")
    outer.folder.mkdir()
    snakefile = finished.folder / "workflow/Snakefile"
    (outer.folder / "outer.yaml").write_text(yaml.safe_dump({"convlab": TINY}))
    (outer.folder / "Snakefile").write_text(OUTER.format(snakefile=snakefile))
    result = outer.snakemake("-n", "--until", "convlab_explore")
    assert result.returncode == 0, result.stdout + result.stderr
    assert "below/results/tiny/prepare/digits/manifest.json" in result.stdout + result.stderr
    assert "below/below" not in result.stdout + result.stderr
    (outer.folder / "Snakefile").unlink()
    result = outer.snakemake("-n", "-s", str(snakefile))
    assert result.returncode != 0 and "there is no config.yaml in" in result.stdout + result.stderr
    assert "or name a study with --configfile" in result.stdout + result.stderr
    outer.configure(TINY)
    assert outer.planned("-s", str(snakefile)) == everything
    (outer.folder / "Snakefile").write_text(f'include: "{finished.folder}/Snakefile"\n')
    assert outer.planned("all") == everything
    assert finished.planned("-s", "workflow/Snakefile") == set()


def test_two_studies_are_not_merged_and_an_overlay_is(finished):
    config = copy.deepcopy(TINY)
    (finished.folder / "other.yaml").write_text(yaml.safe_dump(config | {"study": "other"}))
    (finished.folder / "overlay.yaml").write_text("seeds: [1, 2]\n")
    result = finished.snakemake("-n", "--configfile", "config.yaml", "other.yaml")
    assert result.returncode != 0
    assert " are studies of their own, and Snakemake would merge them" in re.sub(
        r"\s+", " ", result.stdout + result.stderr
    )
    planned = finished.planned("--configfile", "config.yaml", "overlay.yaml")
    assert planned == jobs_of_runs("dense", "cnn", CNN_5X5, seeds=()) | LAST_JOBS
