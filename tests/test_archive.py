"""An archive of a finished study: all that is promised, nothing else, the same bytes each time, and the study again."""

import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
import zipfile
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import yaml

import archive
import verify
from builders.project import CNN_5X5, LAST_JOBS, ROOT, TINY, Project, tiny_with
from convlab.archive import assembly, bag
from convlab.archive.assembly import archive_time, config_text, data_paths, own_code, refuse_names
from convlab.archive.citation import Deposit, citation
from convlab.archive.code import Code, code_of
from convlab.archive.content import archive_file, results_of
from convlab.archive.freshness import jobs_left
from convlab.archive.hub import hub_folder
from convlab.archive.reading import opened, unpack
from convlab.archive.readme import Facts, readme
from convlab.archive.verification import CRATE
from convlab.common import checksums, provenance
from convlab.common.files import write_json
from convlab.common.redaction import account_numbers
from convlab.datasets.specs import as_dataset
from convlab.errors import UserError
from convlab.study.load import load_study

RESULTS = "data/results/tiny/"

TIME = datetime(2026, 11, 26, 12, 0, tzinfo=UTC)


def digests(folder: Path) -> dict[str, str]:
    files = (path for path in folder.rglob("*") if path.is_file())
    return {path.relative_to(folder).as_posix(): checksums.sha256(path) for path in files}


@pytest.fixture(scope="module")
def study(finished_study, tmp_path_factory) -> Project:
    """The finished tiny study, Snakemake's records included."""
    return finished_study.copy(tmp_path_factory.mktemp("archive") / "project")


@pytest.fixture(scope="module")
def packed(study) -> Path:
    """Its archive."""
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(study.folder)
        before = digests(study.folder / "results")
        archive.main(["config.yaml"])
        assert before.items() <= digests(study.folder / "results").items(), "no result is changed"
    return archive_file(study.folder / "results/tiny")


@pytest.fixture(scope="module")
def unpacked(packed, tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("unpacked") / "tiny"
    with opened(packed) as content:
        unpack(content, folder)
    return folder


def status(*arguments) -> int:
    with pytest.raises(SystemExit) as ended:
        verify.main([str(argument) for argument in arguments])
    return ended.value.code


@pytest.mark.slow
def test_it_is_whole_and_has_all_that_its_readme_names(packed, unpacked):
    assert status(packed, "--against", archive_file(packed.parent.parent).parent.parent) == 0
    named = re.findall(r"^\| `(.+?)` \|", (unpacked / "README.md").read_text(), re.MULTILINE)
    assert len(named) > 10
    for path in named:
        assert (unpacked / path).exists() or path == f"{RESULTS}probe/", path


def commands(folder: Path, heading: str) -> list[str]:
    """Lines of the first block of commands below a heading of an archive's README."""
    below = (folder / "README.md").read_text().split(f"\n## {heading}\n")[1]
    return re.search(r"```sh\n(.*?)```", below, re.DOTALL)[1].splitlines()


def shell(command: str, folder: Path) -> subprocess.CompletedProcess:
    """A line of commands as a reader types it."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
    environment["PATH"] = f"{Path(sys.executable).parent}:{environment['PATH']}"
    return subprocess.run(["bash", "-c", command], cwd=folder, env=environment, capture_output=True, text=True)


@pytest.mark.slow
def test_it_verifies_itself_as_its_readme_says_as_often_as_it_is_asked(unpacked):
    (command,) = commands(unpacked, "Check it")
    for _ in range(2):
        result = shell(command, unpacked)
        assert result.returncode == 0, result.stdout + result.stderr


@pytest.mark.slow
def test_the_same_results_give_the_same_bytes_in_another_folder(study, packed, tmp_path, monkeypatch):
    copy = study.copy(tmp_path / "elsewhere/copy")
    shutil.rmtree(copy.folder / "results/tiny/archive")
    monkeypatch.chdir(copy.folder)
    archive.main(["config.yaml", "--output", str(tmp_path / "again.zip")])
    assert (tmp_path / "again.zip").read_bytes() == packed.read_bytes()


@pytest.mark.slow
def test_nothing_in_it_names_the_folders_of_this_machine(study, unpacked):
    names = {str(study.folder).encode(), str(ROOT).encode()}
    for path in unpacked.rglob("*"):
        if path.is_file() and not path.is_relative_to(unpacked / "data/code"):
            assert not [name for name in names if name in path.read_bytes()], path
    profile = "profiles/aws-batch/profile.yaml"
    assert account_numbers((ROOT / profile).read_text())
    assert account_numbers((unpacked / "data/code" / profile).read_text()) == []


@pytest.mark.slow
def test_logs_arrays_and_results_of_removed_variants_are_left_out(study, tmp_path):
    results, tiny = study.folder / "results/tiny", load_study(TINY)
    names = results_of(tiny, results).keys()
    assert {name.split("/")[0] for name in names} == {
        *("prepare", "explore", "train", "evaluate", "compare", "report", "registration")
    }
    assert "train/digits/cnn/seed-1/model.keras" in names and "evaluate/digits/cnn/predictions.npz" in names
    assert not [name for name in names if name.endswith((".lock", "data.npz")) or "/history/" in name]
    smaller = results_of(load_study(tiny_with(experiments={}, seeds=[1, 2])), results, data=True, models=False).keys()
    assert "prepare/digits/data.npz" in smaller and "train/digits/cnn/seed-2/run.json" in smaller
    assert not [name for name in smaller if CNN_5X5 in name and name.startswith(("train", "evaluate"))]
    assert not [name for name in smaller if "seed-3" in name or name.endswith("model.keras")]


@pytest.mark.slow
def test_the_crate_describes_every_file_its_workflow_and_its_run(unpacked):
    graph = {entity["@id"]: entity for entity in json.loads((unpacked / CRATE).read_text())["@graph"]}
    files = digests(unpacked / "data")
    files.pop("ro-crate-metadata.json")
    described = {name: entity["sha256"] for name, entity in graph.items() if "File" in entity["@type"]}
    assert described == files
    root, run = graph["./"], graph["#run"]
    assert {part["@id"] for part in root["hasPart"]} == set(files)
    assert "https://w3id.org/ro/wfrun/workflow/0.5" in {profile["@id"] for profile in root["conformsTo"]}
    workflow = graph[root["mainEntity"]["@id"]]
    assert "ComputationalWorkflow" in workflow["@type"] and run["instrument"]["@id"] == workflow["@id"]
    record = json.loads((unpacked / f"{RESULTS}compare/summary.json").read_text())["training"]
    assert (run["startTime"], run["endTime"]) == (record["first_started"], record["last_finished"])
    referred = [item for entity in graph.values() for value in entity.values() for item in aslist(value)]
    local = {item["@id"] for item in referred if isinstance(item, dict) and not item["@id"].startswith("http")}
    assert local <= graph.keys()


def aslist(value) -> list:
    return value if isinstance(value, list) else [value]


@pytest.mark.slow
def test_its_data_card_is_of_the_arrays_that_were_left_out(study, unpacked):
    card = json.loads((unpacked / f"{RESULTS}prepare/digits/croissant.json").read_text())
    (entry,) = (entry for entry in card["distribution"] if entry["name"] == "data.npz")
    assert entry["sha256"] == checksums.sha256(study.folder / "results/tiny/prepare/digits/data.npz")


@pytest.mark.slow
def test_the_study_runs_again_from_it_to_the_same_bytes_as_its_readme_says(packed, unpacked):
    copying, running, comparing = commands(unpacked, "Run it again")
    result = shell(copying, unpacked)
    assert result.returncode == 0, result.stderr
    code = unpacked.with_name("tiny-again") / "code"
    assert running == "make run STUDY=../config/config.yaml"
    result = Project(code).snakemake("--configfile", "../config/config.yaml")
    assert result.returncode == 0, result.stdout + result.stderr
    result = shell(comparing, code)
    assert result.returncode == 0 and result.stdout.endswith("no result differs\n"), result.stdout + result.stderr
    again = code / "results/tiny"
    predictions = again / "evaluate/digits/cnn/predictions.npz"
    predictions.write_bytes(predictions.read_bytes()[:-1])
    assert status(packed, "--against", again) == 1


@pytest.mark.slow
def test_tables_and_report_are_made_from_its_runs_without_training(study, unpacked, tmp_path):
    shutil.copytree(unpacked / "data/code", tmp_path / "code")
    shutil.copytree(unpacked / "data/results", tmp_path / "code/results")
    shutil.copy(unpacked / "data/config/config.yaml", tmp_path / "code")
    arrays = "results/tiny/prepare/digits/data.npz"
    shutil.copy(study.folder / arrays, tmp_path / "code" / arrays)
    for stage in ("compare", "report"):
        shutil.rmtree(tmp_path / "code/results/tiny" / stage)
    assert Project(tmp_path / "code").planned() == LAST_JOBS


@pytest.mark.slow
def test_a_study_that_is_not_up_to_date_is_refused_with_what_would_run(finished, monkeypatch):
    monkeypatch.chdir(finished.folder)
    finished.configure(tiny_with(seeds=4))
    with pytest.raises(UserError, match=r"tiny is not up to date .*Train .*, seed 4 .* more would run; bring it up to"):
        archive.main(["config.yaml"])
    shutil.rmtree("results/tiny/report")
    with pytest.raises(UserError, match=r"tiny has no report yet; run the study first: make run STUDY=config.yaml"):
        archive.main(["config.yaml"])
    assert not Path("results/tiny/archive").exists()


@pytest.mark.slow
def test_a_damaged_result_is_refused(study, tmp_path):
    copy = study.copy(tmp_path / "copy").folder / "results/tiny"
    (copy / "compare/runs.csv").write_text("edited")
    with pytest.raises(UserError, match=r"runs\.csv is damaged"):
        results_of(load_study(TINY), copy)


@pytest.fixture
def own_folder(tmp_path, monkeypatch) -> Path:
    """A folder of the user's with a config, a file and a folder with a file."""
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine/precious.txt").write_text("precious")
    (tmp_path / "config.yaml").write_text(yaml.safe_dump(TINY))
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize(
    ("output", "sentence"),
    [
        ("mine", "mine is a folder; name a file, such as mine/tiny.zip"),
        ("mine/precious.txt", "mine/precious.txt exists and is no zip file; name another file, or remove it"),
    ],
)
def test_nothing_of_the_users_is_replaced_by_an_archive(output, sentence, own_folder, monkeypatch):
    monkeypatch.setattr(archive, "refuse_unfinished", lambda *arguments: pytest.fail("it is refused first"))
    with pytest.raises(UserError, match=sentence):
        archive.main(["config.yaml", "--output", output])
    assert (own_folder / "mine/precious.txt").read_text() == "precious"


def test_an_archive_is_replaced_by_a_newer_one(tmp_path):
    with zipfile.ZipFile(tmp_path / "old.zip", "w") as old:
        old.writestr("a", "a")
    archive.refuse_to_replace(tmp_path / "old.zip", "tiny")
    archive.refuse_to_replace(tmp_path / "new.zip", "tiny")


def test_a_doi_is_an_address_and_nothing_that_is_none_is():
    assert archive.address("10.5281/zenodo.1") == "https://doi.org/10.5281/zenodo.1"
    assert archive.address("https://example.org/x") == "https://example.org/x"
    for url in ("zenodo.1", "javascript:alert(1)", "https://a b", "https://"):
        with pytest.raises(UserError, match=r"is no address; write a DOI such as 10\.5281/zenodo\.1, or what begins"):
            archive.address(url)


def test_an_export_is_asked_for_though_its_card_is_missing(own_folder, monkeypatch):
    for name in ("report/index.html", "export/digits/export.json"):
        (own_folder / "results/tiny" / name).parent.mkdir(parents=True)
        (own_folder / "results/tiny" / name).touch()
    asked = []
    monkeypatch.setattr(archive, "jobs_left", lambda root, config, targets, folder: asked.extend(targets) or ["Job"])
    with pytest.raises(UserError, match=r"Job would run; .* make run STUDY=config.yaml and make export"):
        archive.refuse_unfinished(load_study(TINY), Path("config.yaml"), Path("results/tiny"))
    assert asked == ["results/tiny/report/index.html", "results/tiny/export/digits/export.json"]


def test_an_export_of_a_dataset_that_the_config_exports_no_more_is_left_out(tmp_path):
    for name in ("export/digits/export.json", "export/other/export.json"):
        (tmp_path / name).parent.mkdir(parents=True)
        (tmp_path / name).touch()
    config = tiny_with(datasets={**TINY["datasets"], "other": {"kind": "digits", **TINY["datasets"]["digits"]}})
    assert results_of(load_study(config), tmp_path).keys() == {"export/digits/export.json", "export/other/export.json"}
    config = {**config, "deploy": {"dataset": "digits"}}
    assert results_of(load_study(config), tmp_path).keys() == {"export/digits/export.json"}


def test_a_link_among_the_results_is_refused_and_not_passed_over(tmp_path):
    (tmp_path / "study/train").mkdir(parents=True)
    (tmp_path / "study/train/digits").symlink_to(tmp_path)
    with pytest.raises(UserError, match=r"train/digits is a link, which no archive can hold; put what it leads to"):
        results_of(load_study(TINY), tmp_path / "study")


@pytest.mark.slow
def test_what_snakemake_refuses_is_told(study, tmp_path):
    (tmp_path / "broken.yaml").write_text("study: broken\n")
    with pytest.raises(UserError, match=r"Snakemake refuses the study, so that nothing was archived: .*datasets"):
        jobs_left(ROOT, tmp_path / "broken.yaml", [], tmp_path)


@pytest.fixture
def exported(study, tmp_path) -> Path:
    """The tiny study's results with an exported model, as export and model_card leave it."""
    results = study.copy(tmp_path / "project").folder / "results/tiny"
    export = results / "export/digits"
    export.mkdir(parents=True)
    shutil.copy(results / "train/digits/cnn/seed-2/model.keras", export)
    spec = json.loads((results / "train/digits/cnn/seed-2/run.json").read_text())["spec"]
    write_json(export / "export.json", {"variant": "cnn", "seed": 2, "spec": spec})
    (export / "MODEL_CARD.md").write_text("# Model card: CNN on digits\n\n---\n\nIts limits.\n")
    (export / "labels.json").write_text("[]")
    for name in ("model.tar.gz", ".made_from", "export.json.checksums", "code/inference.py"):
        (export / name).parent.mkdir(exist_ok=True)
        (export / name).write_text("{}")
    return results


@pytest.mark.slow
def test_an_exported_model_is_a_folder_that_keras_loads_as_from_the_hub(exported, tmp_path):
    from convlab.runtime.keras_runtime import keras

    members = hub_folder(load_study(TINY), "digits", exported, Deposit())
    unzipped = {"config.json", "metadata.json", "model.weights.h5"}
    assert members.keys() == unzipped | {"README.md", "export.json", "labels.json", "model.keras"}
    for name, member in members.items():
        with member.open() as stream:
            (tmp_path / name).write_bytes(stream.read())
    images = np.random.default_rng(0).integers(0, 17, (4, 8, 8, 1)).astype(np.uint8)
    model, trained = (keras.saving.load_model(path) for path in (tmp_path, tmp_path / "model.keras"))
    assert np.array_equal(model.predict(images, verbose=0), trained.predict(images, verbose=0))


@pytest.mark.slow
def test_the_card_of_a_model_is_valid_for_the_hub_and_has_the_studys_test_results(exported):
    import huggingface_hub  # not before Keras, which would be slower to import

    deposit = Deposit("CC-BY-4.0", "https://doi.org/10.5281/zenodo.1")
    study = load_study(tiny_with(datasets={"digits": TINY["datasets"]["digits"]}))
    text = hub_folder(study, "digits", exported, deposit)["README.md"].content.decode()
    card = huggingface_hub.ModelCard(text)  # which parses the metadata and validates model-index
    assert card.data.model_name == "tiny-digits-cnn-seed-2"
    assert (card.data.library_name, card.data.pipeline_tag) == ("keras", "image-classification")
    assert card.data.license == "cc-by-4.0"
    runs = (exported / "compare/runs.csv").read_text().splitlines()
    header, row = runs[0].split(","), next(line.split(",") for line in runs if ",cnn,2," in line)
    measured = {result.metric_type: result.metric_value for result in card.data.eval_results}
    assert measured["accuracy"] == float(row[header.index("test_accuracy")])
    assert {result.dataset_split for result in card.data.eval_results} == {"test"}
    assert {result.source_url for result in card.data.eval_results} == {deposit.url}
    assert "Its limits." in card.content


def test_a_study_without_an_exported_model_has_no_folder_for_the_hub(tmp_path):
    assert hub_folder(load_study(TINY), "digits", tmp_path, Deposit()) == {}


def git(folder: Path, *arguments: str) -> str:
    identity = ("-c", "user.name=somebody", "-c", "user.email=somebody@example.org", "-c", "init.defaultBranch=main")
    return subprocess.run(["git", *identity, *arguments], cwd=folder, check=True, capture_output=True, text=True).stdout


@pytest.fixture
def checkout(tmp_path) -> Path:
    """A repository with two committed files, a script and a file that git ignores."""
    (tmp_path / "scripts").mkdir()
    for name, text in (("Snakefile", "rule"), ("scripts/a.py", "a = 1\n"), (".gitignore", "results/\n")):
        (tmp_path / name).write_text(text)
    (tmp_path / "scripts/run.sh").write_text("true")
    (tmp_path / "scripts/run.sh").chmod(0o755)
    (tmp_path / "results").mkdir()
    (tmp_path / "results/x.csv").write_text("1")
    git(tmp_path, "init", "-q")
    git(tmp_path, "add", "-A")
    git(tmp_path, "commit", "-qm", "first")
    return tmp_path


def test_code_is_what_git_tracks_with_its_commit(checkout):
    code = code_of(checkout)
    assert code.files.keys() == {".gitignore", "Snakefile", "scripts/a.py", "scripts/run.sh"}
    assert code.commit == {"commit": git(checkout, "rev-parse", "HEAD").strip(), "modified": False}
    assert code.changes == b""
    assert [name for name, member in code.files.items() if member.executable] == ["scripts/run.sh"]


def test_code_that_was_changed_comes_as_it_is_with_the_difference(checkout):
    (checkout / "scripts/a.py").write_text("a = 2\n")
    (checkout / "scripts/new.py").write_text("b = 1\n")
    (checkout / "notes.txt").write_text("mine")
    code = code_of(checkout)
    assert code.commit["modified"] and b"-a = 1\n+a = 2\n" in code.changes
    assert code.files["scripts/a.py"].sha256() == hashlib.sha256(b"a = 2\n").hexdigest()
    assert "scripts/new.py" in code.files and "notes.txt" not in code.files


def test_the_difference_is_one_that_git_applies_whatever_the_users_settings(checkout, tmp_path_factory, monkeypatch):
    settings = '[diff]\n noprefix = true\n context = 0\n renames = copies\n[diff "loud"]\n textconv = tr a-z A-Z <\n'
    home = tmp_path_factory.mktemp("home")
    (home / ".gitconfig").write_text(f"{settings}[core]\n attributesFile = {home}/attributes\n")
    (home / "attributes").write_text("*.py diff=loud\n")
    monkeypatch.setenv("HOME", str(home))
    files = {"scripts/a.py": b"a = 1\n", "report/lines.csv": b"a\r\nb\r\n", "report/mark.png": b"\0\1"}
    (checkout / "report").mkdir()
    for contents in (files, {name: content + content[:1] for name, content in files.items()}):
        for name, content in contents.items():
            (checkout / name).write_bytes(content)
        if contents is files:
            git(checkout, "add", "-A")
            git(checkout, "commit", "-qm", "second")
    os.utime(checkout / "Snakefile", (1, 1))
    changes = code_of(checkout).changes
    assert changes.count(b"diff --git") == 3, "what was only touched is no difference"
    git(checkout, "checkout", "--", ".")
    (home / "code.diff").write_bytes(changes)
    git(checkout, "apply", str(home / "code.diff"))
    assert {name: (checkout / name).read_bytes() for name in files} == contents


def test_code_without_a_repository_is_what_belongs_to_convlab(checkout):
    shutil.rmtree(checkout / ".git")
    (checkout / "scripts/__pycache__").mkdir()
    (checkout / "scripts/__pycache__/a.pyc").write_text("")
    (checkout / "notes.txt").write_text("mine")
    code = code_of(checkout)
    assert code.files.keys() == {".gitignore", "Snakefile", "scripts/a.py", "scripts/run.sh"} and code.commit is None


def test_images_and_what_is_not_convlabs_are_no_code_though_git_tracks_them(checkout):
    images = {"scripts/faces/a.png", "studies/photos/b.png", "studies/other.npz", "photos/c.png", "results/x.npz"}
    for name in (*images, "studies/mine.yaml"):
        (checkout / name).parent.mkdir(parents=True, exist_ok=True)
        (checkout / name).write_text("first")
    git(checkout, "add", "-f", "-A")
    git(checkout, "commit", "-qm", "second")
    for name in images:
        (checkout / name).write_text("second")
    (checkout / "scripts/faces/new.png").write_text("new")
    read = {checkout / "scripts/faces", checkout / "studies/photos/b.png", checkout, checkout.parent, Path("/else")}
    code = code_of(checkout, read)
    assert code.files.keys() == {".gitignore", "Snakefile", "scripts/a.py", "scripts/run.sh", "studies/mine.yaml"}
    assert code.changes == b"" and not code.commit["modified"], "nor are they in what differs from the commit"
    assert "scripts/faces/a.png" in code_of(checkout).files, "it is the study that tells which they are"
    shutil.rmtree(checkout / ".git")
    assert code_of(checkout, read).files.keys() == code.files.keys()


def test_a_study_tells_the_files_that_its_images_are_read_from(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("photos").mkdir()
    Path("train.csv").write_text("label,pixel1\n0,1\n")
    Path("linked").symlink_to("photos")
    pets = {"@type": "cr:FileObject", "@id": "pets.npz", "contentUrl": "pets.npz", "encodingFormat": "application/zip"}
    version = "http://mlcommons.org/croissant/1.1"
    metadata = {"@type": "sc:Dataset", "name": "Pets", "conformsTo": version, "distribution": [pets], "recordSet": []}
    write_json(tmp_path / "pets.json", metadata)
    Path("pets.npz").touch()
    specs = {
        "table": {"kind": "csv", "path": "train.csv"},
        "linked": {"kind": "image_folder", "path": "linked", "image_size": [8, 8]},
        "described": {"kind": "croissant", "path": "pets.json"},
        "published": {"kind": "mnist", "path": str(tmp_path / "idx")},
        "fetched": {"kind": "mnist"},
        "digits": {"kind": "digits"},
    }
    study = SimpleNamespace(datasets={name: as_dataset(spec) for name, spec in specs.items()})
    assert data_paths(study) == {tmp_path / name for name in ("train.csv", "photos", "pets.json", "pets.npz", "idx")}


def test_that_a_report_shows_the_users_images_is_told_when_it_is_archived(tmp_path, capsys):
    payload = {"data/a": assembly.Member(b"a")}
    described = {"@id": "a", "@type": "File", "sha256": payload["data/a"].sha256()}
    payload[CRATE] = assembly.Member(json.dumps({"@graph": [described]}).encode())
    tags = bag.tag_files(payload, {name: member.sha256() for name, member in payload.items()}, {})
    specs = {"digits": {"kind": "digits"}, "photos": {"kind": "image_folder", "path": "photos", "image_size": [8, 8]}}
    study = SimpleNamespace(study="tiny", datasets={name: as_dataset(spec) for name, spec in specs.items()})
    archive.write(assembly.Contents(payload, tags, TIME), study, tmp_path / "tiny.zip")
    assert "note: report and figures show images of photos; publish them only if" in capsys.readouterr().out


@pytest.mark.parametrize("name", ["code/scripts/a\\b.py", "code/docs/\u2028.md", "code/docs/\udcff.md"])
def test_a_name_that_not_every_system_unpacks_is_refused_before_anything_is_written(name):
    with pytest.raises(UserError, match=r"cannot be archived, since a zip file for all systems .* rename it"):
        refuse_names(["code/é %.py", name])


def test_the_code_of_this_checkout_can_verify_archives():
    files = code_of(ROOT).files
    assert {
        "scripts/verify.py",
        "scripts/convlab/archive/reading.py",
        "requirements/cpu.txt",
        "LICENSE",
    } <= files.keys()
    assert not [name for name in files if name.startswith(("results/", ".snakemake/", ".venv"))]


@pytest.mark.skipif(provenance.commit(ROOT) is None, reason="this checkout is no repository")
def test_all_that_convlabs_repository_tracks_is_its_code():
    tracked = {name for name in provenance._git(ROOT, "ls-files", "-z").split("\0") if name}
    assert code_of(ROOT).files.keys() >= tracked


def test_a_study_is_cited_by_its_question_with_the_software_that_made_it():
    config = tiny_with(report={"author": "Ada Lovelace"}, description="Small.", question="Is the\nmachinery exact?")
    text = citation(load_study(config), code_of(ROOT), TIME, Deposit("CC-BY-4.0", "https://doi.org/10.1/x"))
    content = yaml.safe_load(text)
    assert content["title"] == "Is the machinery exact?" and content["type"] == "dataset"
    assert content["authors"] == [{"name": "Ada Lovelace"}]
    assert (content["license"], content["url"]) == ("CC-BY-4.0", "https://doi.org/10.1/x")
    assert content["date-released"] == "2026-11-26" and content["abstract"] == "Small."
    (software,) = content["references"]
    assert software["type"] == "software" and software["title"].startswith("convlab")
    assert "references" not in yaml.safe_load(citation(load_study(TINY), Code({}, None), TIME, Deposit()))


def test_the_readme_names_any_config_so_that_a_shell_takes_it_and_says_what_else_is_needed():
    facts = Facts(
        study="tiny", title="Does it pay?", config="my study.yaml", code="commit ab", changed=True, hub_models=(),
        data=False, models=True, own_images={"photos": "my photos"}, outside=("net.py",), looks=True,
        processor="a chip", versions="keras 3",
    )  # fmt: skip
    text = readme(facts)
    assert "mkdir ../tiny-again && cp -r data/code data/config ../tiny-again && cd ../tiny-again/code\n" in text
    assert "make run STUDY='../config/my study.yaml'\n" in text and "`data/code.diff`" in text
    for needed in ("put them at `my photos`", "`net.py`, which builds a model", "schedule.json", "--until prepare"):
        assert needed in text
    plain = readme(replace(facts, changed=False, own_images={}, outside=(), looks=False, data=True))
    assert not [word for word in ("code.diff", "photos", "net.py", "schedule.json", "--until prepare") if word in plain]


def test_account_numbers_of_the_config_are_left_out(tmp_path):
    account = "123456789012"
    sagemaker = {"role_arn": f"arn:aws:iam::{account}:role/convlab", "bucket": f"b-{account}x"}
    config = tiny_with(deploy={"target": "sagemaker", "sagemaker": sagemaker})
    (tmp_path / "c.yaml").write_text(f"# mine\n{yaml.safe_dump(config)}")
    text = config_text(load_study(config), tmp_path / "c.yaml")
    assert account not in text and text.startswith("# mine\n")


def test_a_config_without_account_numbers_is_read_as_it_was(tmp_path):
    account = "123456789012"
    text = f"a: arn:aws:iam::{account}:role/x\nb: {account}.dkr.ecr.eu-west-1.amazonaws.com/x:1\n"
    (tmp_path / "c.yaml").write_text(text)
    hidden = config_text(load_study(TINY), tmp_path / "c.yaml")
    zeros = "0" * 12
    assert yaml.safe_load(hidden) == yaml.safe_load(text.replace(account, zeros)) and account not in hidden


def test_account_numbers_are_left_out_of_the_configs_among_the_code_and_of_what_was_changed():
    account = "123456789012"
    files = {"config.yaml": f"role: x:{account}:y", "scripts/a.py": f"n = {account}", "b.yml": "a: 1"}
    files |= {"c.json": f'{{"role": "x:{account}:y"}}'}
    members = {name: assembly.Member(text.encode(), executable=True) for name, text in files.items()}
    hidden = assembly.without_accounts(members)
    starred = {"config.yaml": f"role: x:{'*' * 12}:y", "c.json": f'{{"role": "x:{"*" * 12}:y"}}'}
    assert hidden == members | {name: assembly.Member(text.encode(), executable=True) for name, text in starred.items()}
    changes = assembly.changes_of(Code({}, None, f"-a{account}b\n+role: {account}\n\udcff".encode(errors="replace")))
    assert account.encode() not in changes and changes.startswith(b"-a************b\n+role: ************\n")


def test_files_that_name_folders_of_this_machine_are_told():
    files = {
        "data/results/a.json": assembly.Member(b'"/home/ada/photos"'),
        "data/results/b.json": assembly.Member(b"/home/adam"),
        "data/code/c.txt": assembly.Member(b"/home/ada/x"),
    }
    assert list(assembly.naming_this_machine(files, ["/home/ada/"])) == [("data/results/a.json", "/home/ada/")]


def test_a_user_without_a_home_has_no_name_of_it_in_results(monkeypatch):
    monkeypatch.delenv("HOME", raising=False)
    monkeypatch.setattr("pwd.getpwuid", lambda number: {}[number])  # as for a user's number that a container is given
    assert archive.names_of_this_machine() == sorted({f"{Path.cwd()}/", f"{ROOT}/"})


def test_the_time_of_its_files_is_the_end_of_the_last_run_or_what_reproducible_builds_ask_for(monkeypatch):
    summary = {"training": {"last_finished": "2026-01-02T04:04:05+00:00"}}
    assert archive_time(summary).isoformat() == "2026-01-02T04:04:05+00:00"
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "86400")
    assert archive_time(summary).isoformat() == "1970-01-02T00:00:00+00:00"
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "yesterday")
    with pytest.raises(UserError, match="SOURCE_DATE_EPOCH is 'yesterday'; give seconds since 1970, or unset it"):
        archive_time(summary)


def test_a_licence_that_is_no_identifier_is_refused():
    with pytest.raises(UserError, match=r"'CC BY 4' is no SPDX identifier; write one such as CC-BY-4.0"):
        archive.main(["config.yaml", "--licence", "CC BY 4"])


def test_own_model_code_comes_along_where_the_config_will_look_for_it(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("mine").mkdir()
    for path in ("mine/net.py", str(tmp_path / "outside.py")):
        text = "from blocks import x\n" if path == "mine/net.py" else ""
        Path(path).write_text(
            f"{text}import keras\n\ndef build(input_shape, classes):\n    return keras.Sequential([])\n"
        )
    Path("mine/blocks.py").write_text("x = 1\n")
    models = {
        name: {"family": "python", "file": file, "function": "build"}
        for name, file in (("a", "mine/net.py"), ("b", str(tmp_path / "outside.py")))
    }
    members, outside = own_code(load_study(tiny_with(models=models, experiments={}, comparisons={})))
    assert members.keys() == {"mine/net.py", "mine/blocks.py"} and outside == ("outside.py",)


def test_the_zip_file_has_one_folder_and_no_extra_entries(tmp_path):
    contents = assembly.Contents({"data/a": assembly.Member(b"a")}, {"bagit.txt": b"x"}, TIME)
    archive.write_bag(tmp_path / "x.zip", "tiny", contents.payload, contents.tags, contents.time)
    with zipfile.ZipFile(tmp_path / "x.zip") as content:
        assert content.namelist() == ["tiny/bagit.txt", "tiny/tagmanifest-sha256.txt", "tiny/data/a"]
        assert {entry.date_time for entry in content.infolist()} == {(2026, 11, 26, 12, 0, 0)}
