"""Verification of an archive: everything that differs is named, nothing leaves it, and nothing but Python is needed."""

import csv
import io
import json
import os
import re
import shutil
import stat
import subprocess
import sys
import zipfile
from datetime import UTC, datetime
from pathlib import Path

import pytest

import verify
from builders.project import ROOT
from convlab.archive import bag, reading
from convlab.archive.bag import Member, write_bag
from convlab.archive.comparison import MEASURED_COLUMNS, weights
from convlab.archive.reading import opened, unpack
from convlab.archive.verification import CRATE, problems
from convlab.errors import UserError

TIME = datetime(2026, 11, 26, tzinfo=UTC)

RUN = "data/results/tiny/train/digits/cnn/seed-1"


def keras_file(weights: bytes, config: bytes = b"{}") -> bytes:
    """What a .keras file is: a zip file with the weights and what differs from process to process."""
    with zipfile.ZipFile(stream := io.BytesIO(), "w") as archive:
        archive.writestr("config.json", config)
        archive.writestr("model.weights.h5", weights)
    return stream.getvalue()


def table(**columns) -> bytes:
    stream = io.StringIO(newline="")
    csv.writer(stream).writerows([columns.keys(), columns.values()])
    return stream.getvalue().encode()


def results(**changes: bytes) -> dict[str, bytes]:
    """A few results of a study by path below its folder; ``changes`` by the file's stem."""
    files = {
        "train/digits/cnn/seed-1/run.json": b'{"status": "finished", "train_seconds": 3.0}',
        "train/digits/cnn/seed-1/history.csv": table(epoch=1, loss=0.5, seconds=2.5),
        "train/digits/cnn/seed-1/model.keras": keras_file(b"weights"),
        "evaluate/digits/cnn/predictions.npz": b"probabilities",
        "evaluate/digits/cnn/metrics.json": b'{"runs": [{"accuracy": 0.9, "latency_ms": {"p50": 1.0}}]}',
        "compare/runs.csv": table(variant="cnn", test_accuracy=0.9, train_seconds=3.0, energy_joules=7),
    }
    return {path: changes.get(Path(path).stem, content) for path, content in files.items()}


def checksum(content: bytes) -> str:
    return Member(content).sha256()


def write_archive(path: Path, crate_has=None, more: dict[str, Member] | None = None, **changes: bytes) -> Path:
    """An archive as ``make archive`` writes it, with few files."""
    payload = {f"data/results/tiny/{name}": Member(content) for name, content in results(**changes).items()}
    record = {"run.json": {"bytes": 1, "sha256": payload[f"{RUN}/run.json"].sha256()}, "left_out.npz": {"sha256": "0"}}
    payload[f"{RUN}/run.json.checksums"] = Member(json.dumps(record).encode())
    payload |= {"data/code/é %.py": Member(b"code"), "data/code/run.sh": Member(b"run", executable=True)} | (more or {})
    entities = [
        {"@id": name.removeprefix("data/").replace("é %", "%C3%A9%20%25"), "@type": "File", "sha256": member.sha256()}
        for name, member in payload.items()
    ]
    payload[CRATE] = Member(json.dumps({"@graph": [*entities, *(crate_has or [])]}).encode())
    checksums = {name: member.sha256() for name, member in payload.items()}
    tags = bag.tag_files(payload, checksums, {"External-Identifier": "tiny"}) | {"README.md": b"A study"}
    write_bag(path, "tiny", payload, tags, TIME)
    return path


@pytest.fixture
def packed(tmp_path) -> Path:
    return write_archive(tmp_path / "tiny.zip")


@pytest.fixture
def unpacked(packed, tmp_path) -> Path:
    with opened(packed) as archive:
        unpack(archive, tmp_path / "somewhere/tiny")
    return tmp_path / "somewhere/tiny"


def verified(*arguments, capsys) -> tuple[int, list[str]]:
    """Exit status and printed lines."""
    with pytest.raises(SystemExit) as ended:
        verify.main([str(argument) for argument in arguments])
    return ended.value.code, capsys.readouterr().out.splitlines()


def test_a_whole_archive_is_told_so_packed_and_unpacked_with_the_same_checksum_of_its_content(packed, unpacked, capsys):
    status, lines = verified(packed, capsys=capsys)
    assert status == 0 and lines[-1].endswith("all as its manifests, its crate and the study's records say")
    assert lines[0] == f"SHA-256 of the file: {checksum(packed.read_bytes())}"
    for folder in (unpacked, unpacked.parent):
        assert verified(folder, capsys=capsys)[1][0] == lines[1]
    assert lines[1] == f"SHA-256 of the content: {checksum((unpacked / bag.TAG_MANIFEST).read_bytes())}"


def test_equal_content_gives_equal_bytes_whatever_the_order_and_the_times_of_files(tmp_path):
    (tmp_path / "file").write_bytes(b"x")
    for number, names in enumerate((["a", "b"], ["b", "a"])):
        os.utime(tmp_path / "file", (number, number))
        payload = {f"data/{name}": Member(tmp_path / "file") for name in names}
        write_bag(tmp_path / f"{number}.zip", "tiny", payload, {bag.DECLARATION: b"x"}, TIME)
    assert (tmp_path / "0.zip").read_bytes() == (tmp_path / "1.zip").read_bytes()


def test_coreutils_verify_an_unpacked_archive_without_us(unpacked):
    command = ["sha256sum", "--check", "--quiet", bag.MANIFEST, bag.TAG_MANIFEST]
    (unpacked / "data/code/é %.py").rename(unpacked / "data/code/é %25.py")  # BagIt's manifests escape percent signs
    assert subprocess.run(command, cwd=unpacked, capture_output=True).returncode == 0
    (unpacked / "README.md").write_text("Another study")
    assert subprocess.run(command, cwd=unpacked, capture_output=True).returncode == 1


def test_nothing_but_python_is_needed(packed):
    command = [sys.executable, "-I", "-S", str(ROOT / "scripts/verify.py"), str(packed)]
    result = subprocess.run(command, capture_output=True, text=True)
    assert result.returncode == 0 and "all as its manifests" in result.stdout, result.stderr


def test_an_archive_that_verifies_itself_adds_nothing_to_itself(packed, tmp_path):
    shutil.copytree(ROOT / "scripts", tmp_path / "scripts", ignore=shutil.ignore_patterns("__pycache__"))
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
    command = [sys.executable, str(tmp_path / "scripts/verify.py"), str(packed)]
    assert subprocess.run(command, env=environment, capture_output=True).returncode == 0
    assert not list(tmp_path.rglob("__pycache__"))


def edit(path: str, content: str = "changed"):
    return lambda folder: (folder / path).write_text(content)


DAMAGES = {
    "changed": (edit(f"{RUN}/history.csv"), [f"{RUN}/history.csv was changed: its SHA-256 is "]),
    "missing": (lambda folder: (folder / f"{RUN}/run.json").unlink(), [f"{RUN}/run.json is missing, which manifest"]),
    "added": (edit("data/results/tiny/more.csv"), ["data/results/tiny/more.csv was added: manifest-sha256.txt does"]),
    "added beside": (edit("more.txt"), ["more.txt was added: tagmanifest-sha256.txt does not list it"]),
    "README": (edit("README.md"), ["README.md was changed: its SHA-256 is "]),
    "no manifest": (
        lambda folder: (folder / bag.MANIFEST).unlink(),
        ["manifest-sha256.txt is missing or damaged", "manifest-sha256.txt is missing, which tagmanifest"],
    ),
    "manifest": (
        edit(bag.MANIFEST, f"{'0' * 64}  data/other\n"),
        ["manifest-sha256.txt was changed: its SHA-256 is ", "data/other is missing", "data/code/é %.py was added"],
    ),
    "no lines": (edit(bag.MANIFEST, "nonsense\n"), ["manifest-sha256.txt is no manifest: line 1 is not a SHA-256"]),
    "line twice": (
        edit(bag.TAG_MANIFEST, f"{'0' * 64}  a\n" * 2),
        ["tagmanifest-sha256.txt is no manifest: line 2 names a a second time"],
    ),
    "crate": (edit(CRATE), [f"{CRATE} was changed", f"{CRATE} is missing or no RO-Crate"]),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_what_differs_is_named_and_the_status_is_1(damage, unpacked, capsys):
    change, expected = DAMAGES[damage]
    change(unpacked)
    status, lines = verified(unpacked, capsys=capsys)
    assert status == 1 and re.search(r", (1 problem|([2-9]|[1-9][0-9]) problems)$", lines[-1])
    for beginning in expected:
        assert any(line.startswith(beginning) for line in lines), (beginning, lines)


def test_manifests_that_were_made_again_are_told_by_the_crate_the_records_and_the_published_checksum(tmp_path, capsys):
    path = write_archive(tmp_path / "a.zip", crate_has=[{"@id": "results/none", "@type": ["File"], "sha256": "0"}])
    status, lines = verified(path, capsys=capsys)
    assert status == 1 and f"data/results/none is described in {CRATE} and not in {bag.MANIFEST}" in lines
    other = {"@id": "code/run.sh", "@type": "File", "sha256": "0" * 64}
    _, lines = verified(write_archive(tmp_path / "b.zip", crate_has=[other]), capsys=capsys)
    assert f"data/code/run.sh has another SHA-256 in {CRATE} than in {bag.MANIFEST}" in lines
    assert "data/code/run.sh is described 2 times in data/ro-crate-metadata.json" in lines
    record = Member(json.dumps({"run.json": {"sha256": "0"}}).encode())
    _, lines = verified(write_archive(tmp_path / "c.zip", more={f"{RUN}/run.json.checksums": record}), capsys=capsys)
    assert any(line.startswith(f"{RUN}/run.json has another SHA-256 in {RUN}/run.json.checksums") for line in lines)
    record = Member(b"\xff")
    _, lines = verified(write_archive(tmp_path / "e.zip", more={f"{RUN}/run.json.checksums": record}), capsys=capsys)
    assert f"{RUN}/run.json.checksums is no record of checksums" in lines
    path = write_archive(tmp_path / "d.zip")
    status, lines = verified(path, "--sha256", "0" * 64, capsys=capsys)
    assert status == 1 and lines[0] == f"its SHA-256 is not the one that was given, {'0' * 64}"
    assert verified(path, "--sha256", "", capsys=capsys)[0] == 1, "a variable of the shell that is not set"
    assert verified(path, "--sha256", checksum(path.read_bytes()).upper(), capsys=capsys)[0] == 0


def with_entry(name: str, content: bytes = b"x", kind: int = stat.S_IFREG, times: int = 1):
    def change(archive: zipfile.ZipFile) -> None:
        for _ in range(times):
            entry = zipfile.ZipInfo("placeholder")
            entry.filename, entry.external_attr = name, (kind | 0o644) << 16
            archive.writestr(entry, content, zipfile.ZIP_DEFLATED)

    return change


HOSTILE = {
    "parent": (with_entry("tiny/../../evil"), "leads out of the archive"),
    "absolute": (with_entry("/etc/evil"), "leads out of the archive"),
    "backslash": (with_entry("tiny\\..\\evil"), "leads out of the archive"),
    "drive": (with_entry("C:evil"), "leads out of the archive"),
    "link": (with_entry("tiny/link", b"/etc/passwd", stat.S_IFLNK), "is a link or a device"),
    "pipe": (with_entry("tiny/pipe", b"", stat.S_IFIFO), "is a link or a device"),
    "twice": (with_entry("tiny/bagit.txt"), "is there twice"),
    "dot": (with_entry("tiny/./x"), "has a name that no file of ours has"),
    "terminal": (with_entry("tiny/\x1b[2Jx"), "has a name that no file of ours has"),
    "below a file": (with_entry("tiny/bagit.txt/x"), "is a file and the folder of another"),
    "second folder": (with_entry("other/x"), "is no archive of a study"),
}


@pytest.mark.filterwarnings("ignore:Duplicate name")
@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_zip_file_is_refused_in_one_sentence(name, packed):
    change, expected = HOSTILE[name]
    with zipfile.ZipFile(packed, "a") as archive:
        change(archive)
    before = sorted(packed.parent.rglob("*"))
    with pytest.raises(UserError, match=expected), opened(packed):
        pass
    assert sorted(packed.parent.rglob("*")) == before


def test_a_bomb_is_refused_before_anything_is_inflated(packed, monkeypatch):
    with zipfile.ZipFile(packed, "a") as archive:
        with_entry("tiny/zeros", bytes(10**7))(archive)
    monkeypatch.setattr(reading, "ALWAYS_ALLOWED_BYTES", 10**6)
    monkeypatch.setattr(zipfile.ZipFile, "open", None)
    with (
        pytest.raises(UserError, match=r"would become 10,0.* which no study does; nothing was unpacked"),
        opened(packed),
    ):
        pass


def test_an_encrypted_entry_and_an_unusual_compression_are_refused(tmp_path, packed):
    content = bytearray(packed.read_bytes())
    at = content.index(b"PK\x01\x02")
    for offset, value, expected in ((8, 1, "is encrypted"), (10, 12, "is compressed in a way")):
        changed = content.copy()
        changed[at + offset] = value
        (tmp_path / "changed.zip").write_bytes(changed)
        with pytest.raises(UserError, match=expected), opened(tmp_path / "changed.zip"):
            pass


def test_a_damaged_entry_is_named_and_a_file_that_is_no_zip_refused(tmp_path, packed):
    content = bytearray(packed.read_bytes())
    at = content.index(b"README.md") + len("README.md") + 1
    content[at] ^= 0xFF
    (tmp_path / "damaged.zip").write_bytes(content)
    with opened(tmp_path / "damaged.zip") as archive:
        assert any(line.startswith("tiny/README.md"[5:]) for line in problems(archive))
    for name, text in (("text.zip", b"no zip"), ("half.zip", packed.read_bytes()[:-40])):
        (tmp_path / name).write_bytes(text)
        with pytest.raises(UserError, match="is not a whole zip file"), opened(tmp_path / name):
            pass
    with pytest.raises(UserError, match="does not exist"), opened(tmp_path / "none.zip"):
        pass


def test_a_name_in_no_encoding_and_a_version_of_the_future_are_refused_or_named(tmp_path, packed):
    content = packed.read_bytes()
    head, tail = content.split(b"PK\x01\x02", 1)
    name, other = "é".encode(), b"\xff\xff"
    for written, expected in (
        (head + b"PK\x01\x02" + tail.replace(name, other), "is not a whole zip file"),
        (head + b"PK\x01\x02" + tail[:2] + b"\xeb" + tail[3:], "is not a whole zip file .zip file version 23.5"),
    ):
        (tmp_path / "changed.zip").write_bytes(written)
        with pytest.raises(UserError, match=expected), opened(tmp_path / "changed.zip"):
            pass
    (tmp_path / "changed.zip").write_bytes(head.replace(name, other) + b"PK\x01\x02" + tail)
    with opened(tmp_path / "changed.zip") as archive:
        assert "data/code/é %.py cannot be read: it is damaged" in problems(archive)


def test_an_error_while_an_archive_is_open_is_not_taken_for_one_of_opening_it(packed):
    with pytest.raises(FileNotFoundError), opened(packed):
        raise FileNotFoundError("something else")


def test_a_pipe_is_not_waited_for(unpacked):
    os.mkfifo(unpacked / "data/pipe")
    with (
        pytest.raises(UserError, match="pipe is a pipe or a device, which no archive of a study has"),
        opened(unpacked),
    ):
        pass
    with pytest.raises(UserError, match="pipe is no file; name the zip file"), opened(unpacked / "data/pipe"):
        pass


def test_weights_that_would_grow_out_of_proportion_are_not_inflated():
    with zipfile.ZipFile(stream := io.BytesIO(), "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("model.weights.h5", bytes(10**6))
    with pytest.raises(ValueError, match="would become too large"):
        weights(io.BytesIO(stream.getvalue()))
    assert weights(io.BytesIO(keras_file(b"weights"))) == b"weights"


def test_links_in_a_folder_are_not_followed(unpacked):
    (unpacked / "data/link").symlink_to("/etc")
    with pytest.raises(UserError, match="is a link, which no archive of a study has"), opened(unpacked):
        pass


def test_programs_stay_programs(unpacked):
    assert os.access(unpacked / "data/code/run.sh", os.X_OK)
    assert not os.access(unpacked / "data/code/é %.py", os.X_OK)


def written_results(folder: Path, **changes: bytes) -> Path:
    for name, content in results(**changes).items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)
    return folder


def test_results_of_a_second_run_may_differ_in_times_alone(packed, tmp_path, capsys):
    again = written_results(
        tmp_path / "again",
        run=b'{"status": "finished", "train_seconds": 4.0}',
        history=table(epoch=1, loss=0.5, seconds=9),
        model=keras_file(b"weights", b'{"built": "later"}'),
        metrics=b'{"runs": [{"accuracy": 0.9, "latency_ms": {"p50": 2.0}}]}',
        runs=table(variant="cnn", test_accuracy=0.9, train_seconds=4.0, energy_joules=8),
    )
    status, lines = verified(packed, "--against", again, capsys=capsys)
    assert status == 0 and lines[-1] == f"{again}: no result differs"
    assert (
        "weights (1), histories (1), records of runs (1), predictions and features (1), measures (1), tables (1)"
        in lines[-2]
    )


@pytest.mark.parametrize(
    ("stem", "content", "kind"),
    [
        ("run", b'{"status": "diverged"}', "records of runs"),
        ("run", b"no JSON", "records of runs"),
        ("history", table(epoch=1, loss=0.6, seconds=2.5), "histories"),
        ("model", keras_file(b"other weights"), "weights"),
        ("predictions", b"other probabilities", "predictions and features"),
        ("metrics", b'{"runs": [{"accuracy": 0.8, "latency_ms": {"p50": 1.0}}]}', "measures"),
        ("runs", table(variant="cnn", test_accuracy=0.8, train_seconds=3.0, energy_joules=7), "tables"),
        ("runs", b"variant\n" + b"x" * 200_000, "tables"),
    ],
)
def test_other_results_of_a_second_run_are_named(stem, content, kind, packed, tmp_path, capsys):
    again = written_results(tmp_path / "again", **{stem: content})
    status, lines = verified(packed, "--against", again, capsys=capsys)
    assert status == 1 and lines[-1] == f"{again}: 1 result differs"
    (line,) = (line for line in lines if line.endswith(f" differs ({kind})"))
    assert Path(line.split(" differs")[0]).stem == stem


def test_runs_on_one_side_only_are_named(packed, tmp_path, capsys):
    again = written_results(tmp_path / "again")
    (again / "train/digits/cnn/seed-1").rename(again / "train/digits/cnn/seed-2")
    _, lines = verified(packed, "--against", again, capsys=capsys)
    assert "train/digits/cnn/seed-1/model.keras is in the archive only" in lines
    assert "train/digits/cnn/seed-2/model.keras is not in the archive" in lines


WRITES_RESULTS = """
import sys
from pathlib import Path
assert Path(sys.argv[sys.argv.index("--configfile") + 1]).read_text() == "study: tiny"
assert Path("results/tiny/registration/schedule.json").read_text() == "{{}}"
for name, content in {results}.items():
    Path("results/tiny", name).parent.mkdir(parents=True, exist_ok=True)
    Path("results/tiny", name).write_bytes(content)
sys.exit({status})
"""
"""In the place of Snakemake, in the archive's code: `python -m` looks in the working folder first."""


@pytest.mark.parametrize(
    ("changes", "snakemake", "expected"),
    [({}, 0, "no result differs"), ({"predictions": b"x"}, 0, "1 result differs"), ({}, 1, "could not be run again")],
)
def test_a_study_is_run_again_in_a_new_folder_with_the_code_config_and_looks_of_its_archive(
    changes, snakemake, expected, tmp_path, capsys, monkeypatch
):
    script = WRITES_RESULTS.format(results=results(**changes), status=snakemake)
    more = {
        "data/code/snakemake.py": Member(script.encode()),
        "data/config/mine.yaml": Member(b"study: tiny"),
        "data/results/tiny/registration/schedule.json": Member(b"{}"),
    }
    path = write_archive(tmp_path / "tiny.zip", more=more)
    monkeypatch.chdir(tmp_path)
    if snakemake:
        with pytest.raises(UserError, match=expected):
            verify.main([str(path), "--rerun"])
    else:
        status, lines = verified(path, "--rerun", capsys=capsys)
        assert lines[-1].endswith(expected) and status == (1 if changes else 0)
    assert list(tmp_path.iterdir()) == [path]


def test_an_archive_without_a_config_cannot_be_run_again(packed):
    with pytest.raises(UserError, match="the archive has no config in data/config/, so that its study cannot be run"):
        verify.main([str(packed), "--rerun"])


def test_what_a_machine_measures_of_itself_is_known_by_its_unit():
    assert {"train_seconds", "seconds_per_epoch_sd", "latency_ms", "energy_joules"} <= MEASURED_COLUMNS
    assert not {"test_accuracy", "test_loss", "parameters", "epochs_run", "difference"} & MEASURED_COLUMNS
