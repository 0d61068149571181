"""Data are fetched from the first source that has them, checked, cached, and written in one form."""

import gzip
import hashlib
import http.server
import json
import os
import subprocess
import sys
import threading
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import pytest

import prepare
from convlab.common.registry import names
from convlab.datasets import fetching
from convlab.datasets.fetching import Archive, fetch
from convlab.datasets.idx import parse_idx, read_idx_archive
from convlab.datasets.kinds import digits, fashion_mnist, mnist
from convlab.datasets.prepared import load
from convlab.datasets.specs import KINDS
from convlab.errors import UserError

SCRIPTS = Path(prepare.__file__).parent


def idx(array: np.ndarray) -> bytes:
    return bytes([0, 0, 8, array.ndim]) + np.array(array.shape, ">u4").tobytes() + array.astype(np.uint8).tobytes()


GENERATOR = np.random.default_rng(0)
CONTENT = {
    "train-images-idx3-ubyte": idx(GENERATOR.integers(0, 256, (40, 6, 6))),
    "train-labels-idx1-ubyte": idx(np.arange(40) % 10),
    "t10k-images-idx3-ubyte": idx(GENERATOR.integers(0, 256, (20, 6, 6))),
    "t10k-labels-idx1-ubyte": idx(np.arange(20) % 10),
}
ARCHIVE = Archive("Tiny", "tiny", {name: hashlib.sha256(content).hexdigest() for name, content in CONTENT.items()})
KEY = "datasets.tiny.path"


def put(folder: Path, packed: bool = True, **changed: bytes) -> Path:
    """The four files in ``folder``, some with other bytes (by the part of the name before the first hyphen twice)."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in CONTENT.items():
        raw = gzip.compress(content, mtime=0) if packed else content
        short = "_".join(name.split("-")[:2])
        (folder / (name + (".gz" if packed else ""))).write_bytes(changed.get(short, raw))
    return folder


class Mirror(http.server.BaseHTTPRequestHandler):
    """One server, a mirror per first folder of the address; it notes what it was asked for."""

    def do_GET(self):
        _, mirror, name = self.path.split("/")
        self.server.asked.append((mirror, name))
        content = gzip.compress(CONTENT.get(name.removesuffix(".gz"), b""), mtime=0)
        if mirror == "hangs":
            if not self.server.finished.wait(30):
                self.server.waited_out.append(name)
            return
        if mirror == "corrupt":
            content = gzip.compress(b"not the images", mtime=0)
        if mirror == "truncated":
            content = content[: len(content) // 2]
        if mirror == "login":
            content = b"<html>please log in</html>"
        self.send_response(404 if mirror == "gone" else 200)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *_):
        pass


@pytest.fixture
def server():
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Mirror) as server:
        server.asked, server.waited_out, server.finished, server.daemon_threads = [], [], threading.Event(), True
        threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
        server.mirrors = lambda *names: tuple(f"http://127.0.0.1:{server.server_port}/{name}/" for name in names)
        yield server
        server.finished.set()
        server.shutdown()


@pytest.fixture
def commands(tmp_path, monkeypatch):
    """A folder in front of PATH for stand-ins of system commands, written in Python."""
    folder = tmp_path / "commands"
    folder.mkdir()
    monkeypatch.setenv("PATH", f"{folder}{os.pathsep}{os.environ['PATH']}")

    def write(name: str, source: str) -> None:
        (folder / name).write_text(f"#!{sys.executable}\nimport os, pathlib, shutil, sys, time\n{source}")
        (folder / name).chmod(0o755)

    return write


def test_mirrors_that_are_gone_corrupt_or_truncated_are_passed_over(server, tmp_path, caplog):
    caplog.set_level("INFO")
    archive = replace(ARCHIVE, mirrors=server.mirrors("gone", "corrupt", "truncated", "good"))
    assert fetch(archive, key=KEY, cache=tmp_path) == CONTENT
    assert "HTTP 404" in caplog.text
    assert "has the wrong sha256" in caplog.text
    assert "cannot be read" in caplog.text


def test_a_second_fetch_needs_no_network(server, tmp_path):
    archive = replace(ARCHIVE, mirrors=server.mirrors("good"))
    fetch(archive, key=KEY, cache=tmp_path)
    server.asked.clear()
    assert fetch(archive, key=KEY, cache=tmp_path) == CONTENT
    assert server.asked == []
    assert sorted(path.name for path in (tmp_path / "tiny").iterdir()) == sorted(f"{name}.gz" for name in CONTENT)


def test_a_mirror_that_hangs_costs_the_probe_and_no_more(server, tmp_path):
    archive = replace(ARCHIVE, mirrors=server.mirrors("hangs", "good"))
    assert fetch(archive, key=KEY, cache=tmp_path, patience=2) == CONTENT
    assert server.waited_out == []
    assert [name for mirror, name in server.asked if mirror == "hangs"] == ["t10k-labels-idx1-ubyte.gz"]


def test_a_log_in_page_is_not_taken_for_a_mirror(server, tmp_path):
    with pytest.raises(UserError, match="does not serve the file"):
        fetch(replace(ARCHIVE, mirrors=server.mirrors("login")), key=KEY, cache=tmp_path)


@pytest.mark.parametrize("damage", [lambda raw: raw[:-20], lambda raw: b"", lambda raw: gzip.compress(b"other")])
def test_a_damaged_cached_file_is_reported_dropped_and_fetched_again(server, tmp_path, caplog, damage):
    cached = put(tmp_path / "tiny") / "t10k-images-idx3-ubyte.gz"
    cached.write_bytes(damage(cached.read_bytes()))
    archive = replace(ARCHIVE, mirrors=server.mirrors("good"))
    assert fetch(archive, key=KEY, cache=tmp_path) == CONTENT
    assert f"{cached} " in caplog.text
    assert "fetched again" in caplog.text
    assert gzip.decompress(cached.read_bytes()) == CONTENT["t10k-images-idx3-ubyte"]
    assert {name for _, name in server.asked} == {"t10k-images-idx3-ubyte.gz"}  # the three good ones are kept


def test_when_everything_fails_the_error_says_what_was_tried_and_what_to_do(server, tmp_path, commands):
    commands("apt-get", "sys.exit('E: Unable to locate package dataset-tiny')")
    commands("dpkg-deb", "sys.exit(1)")
    archive = replace(
        ARCHIVE,
        mirrors=(*server.mirrors("gone", "corrupt"), "http://127.0.0.1:1/"),
        debian_package="dataset-tiny",
        debian_folder=tmp_path / "nowhere",
    )
    with pytest.raises(UserError) as caught:
        fetch(archive, key=KEY, cache=tmp_path / "cache")
    message = str(caught.value)
    for part in (
        "the cache: empty",
        "installed Debian package: empty",
        "HTTP 404",
        "damaged",
        "no connection",
        "Unable to locate package",
        f"set {KEY} to that folder",
        *CONTENT,
    ):
        assert part in message
    assert "\n" not in message


def test_a_silent_network_is_given_up_on_in_time_and_leaves_no_process(server, tmp_path, commands):
    pid, slept = tmp_path / "pid", tmp_path / "slept"
    write_pid = f"pathlib.Path({str(pid)!r}).write_text(str(os.getpid()))"
    commands("apt-get", f"{write_pid}\ntime.sleep(60)\npathlib.Path({str(slept)!r}).touch()")
    commands("dpkg-deb", "")
    archive = replace(ARCHIVE, mirrors=server.mirrors("hangs", "hangs"), debian_package="dataset-tiny")
    with pytest.raises(UserError, match=r"no answer.*Debian package dataset-tiny: no answer"):
        fetch(archive, key=KEY, cache=tmp_path / "cache", patience=4)
    assert server.waited_out == [] and not slept.exists(), "neither the 30 s nor the 60 s of the stand-ins passed"
    with pytest.raises(ProcessLookupError):
        os.kill(int(pid.read_text()), 0)


def test_the_debian_package_is_unpacked_without_installing_it(tmp_path, commands):
    source = put(tmp_path / "packaged")
    commands(
        "apt-get", "assert sys.argv[-2:] == ['download', 'dataset-tiny']\npathlib.Path('tiny.deb').write_text('x')"
    )
    commands("dpkg-deb", f"shutil.copytree({str(source)!r}, pathlib.Path(sys.argv[3]) / 'usr/share/datasets/tiny')")
    archive = replace(ARCHIVE, debian_package="dataset-tiny")
    assert fetch(archive, key=KEY, cache=tmp_path / "a cache; with 'odd' name") == CONTENT
    assert len(list((tmp_path / "a cache; with 'odd' name" / "tiny").iterdir())) == 4


def test_missing_package_lists_are_replaced_by_lists_of_our_own(tmp_path, commands):
    source = put(tmp_path / "packaged")
    commands(
        "apt-get",
        "lists = [a.split('=', 1)[1] for a in sys.argv if a.startswith('Dir::State::Lists=')]\n"
        "if not lists: sys.exit('E: Unable to locate package dataset-tiny')\n"
        "known = pathlib.Path(lists[0], 'Packages')\n"
        "if sys.argv[-1] == 'update': known.write_text('dataset-tiny')\n"
        "elif known.exists(): pathlib.Path('tiny.deb').write_text('x')\n"
        "else: sys.exit('E: no lists')\n",
    )
    commands("dpkg-deb", f"shutil.copytree({str(source)!r}, sys.argv[3], dirs_exist_ok=True)")
    assert fetch(replace(ARCHIVE, debian_package="dataset-tiny"), key=KEY, cache=tmp_path / "cache") == CONTENT


def test_an_installed_package_is_used_before_the_network(server, tmp_path):
    archive = replace(ARCHIVE, mirrors=server.mirrors("good"), debian_folder=put(tmp_path / "installed"))
    assert fetch(archive, key=KEY, cache=tmp_path / "cache") == CONTENT
    assert server.asked == []


@pytest.mark.parametrize("packed", [True, False])
def test_the_users_own_folder_comes_first_packed_or_not(server, tmp_path, packed):
    archive = replace(ARCHIVE, mirrors=server.mirrors("good"))
    assert fetch(archive, key=KEY, path=put(tmp_path / "mine", packed), cache=tmp_path / "cache") == CONTENT
    assert server.asked == []


@pytest.mark.parametrize("suffix", ["", ".gz"])
@pytest.mark.parametrize("form", ["kaggle", "folders", "kaggle_folders"])
def test_the_names_that_kaggle_and_its_archives_give_are_found(tmp_path, suffix, form):
    """Files with a full stop for the hyphen, and folders that are called like the file that they hold."""
    for name, content in CONTENT.items():
        spelled = name if form == "folders" else name.replace("-idx", ".idx")
        path = tmp_path / (f"{spelled}/{name}" if form != "kaggle" else spelled)
        path.parent.mkdir(exist_ok=True)
        path.with_name(path.name + suffix).write_bytes(gzip.compress(content, mtime=0) if suffix else content)
    assert fetch(ARCHIVE, key=KEY, path=tmp_path) == CONTENT


def test_what_is_said_of_a_folder_is_true(tmp_path, caplog):
    caplog.set_level("INFO")
    (tmp_path / "other.txt").write_text("x")
    with pytest.raises(UserError, match=r"lacks train-images-idx3-ubyte\.gz.*packed or not"):
        fetch(ARCHIVE, key=KEY, path=tmp_path)
    assert "has none of the files" in caplog.text and "empty" not in caplog.text
    os.mkfifo(tmp_path / "train-images-idx3-ubyte")
    with pytest.raises(UserError, match="train-images-idx3-ubyte is no file, so it is not Tiny's"):
        fetch(ARCHIVE, key=KEY, path=tmp_path)


def test_a_mirror_that_sends_more_than_any_file_of_ours_is_passed_over(server, tmp_path, monkeypatch):
    monkeypatch.setattr(fetching, "MAX_FILE_BYTES", 1000)
    with pytest.raises(UserError, match=r"train-images-idx3-ubyte\.gz: sends more than 0 MiB"):
        fetch(replace(ARCHIVE, mirrors=server.mirrors("good")), key=KEY, cache=tmp_path)
    assert not list(tmp_path.rglob("*ubyte*"))


def test_a_wrong_folder_is_an_error_and_never_a_reason_to_look_elsewhere(server, tmp_path):
    archive = replace(ARCHIVE, mirrors=server.mirrors("good"))
    with pytest.raises(UserError, match=rf"{KEY}: .*nowhere is not a folder"):
        fetch(archive, key=KEY, path=tmp_path / "nowhere", cache=tmp_path)
    incomplete = put(tmp_path / "incomplete")
    (incomplete / "train-labels-idx1-ubyte.gz").unlink()
    with pytest.raises(UserError, match=r"incomplete lacks train-labels-idx1-ubyte\.gz"):
        fetch(archive, key=KEY, path=incomplete, cache=tmp_path)
    truncated = put(tmp_path / "truncated", train_images=gzip.compress(CONTENT["train-images-idx3-ubyte"])[:-9])
    with pytest.raises(UserError, match=r"train-images-idx3-ubyte\.gz cannot be read"):
        fetch(archive, key=KEY, path=truncated, cache=tmp_path)
    other = put(tmp_path / "other", t10k_labels=gzip.compress(CONTENT["train-labels-idx1-ubyte"]))
    with pytest.raises(UserError, match=r"t10k-labels-idx1-ubyte\.gz has the wrong sha256"):
        fetch(archive, key=KEY, path=other, cache=tmp_path)
    assert server.asked == []
    assert (other / "t10k-labels-idx1-ubyte.gz").exists()  # the user's files are never deleted


def test_a_cache_that_cannot_be_written_costs_the_cache_only(server, tmp_path, caplog):
    (tmp_path / "file").write_text("in the way")
    archive = replace(ARCHIVE, mirrors=server.mirrors("good"))
    assert fetch(archive, key=KEY, cache=tmp_path / "file") == CONTENT
    assert "is not kept" in caplog.text


def test_two_processes_at_once_leave_one_good_cache(server, tmp_path):
    archive = asdict(replace(ARCHIVE, mirrors=server.mirrors("good")))
    code = (
        "import json, sys\nfrom pathlib import Path\nfrom convlab.datasets.fetching import Archive, fetch\n"
        "archive = Archive(**json.loads(sys.argv[1]))\n"
        "print(sum(map(len, fetch(archive, key='k', cache=Path(sys.argv[2])).values())))"
    )
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", code, json.dumps(archive), str(tmp_path)],
            env={**os.environ, "PYTHONPATH": str(SCRIPTS)},
            stdout=subprocess.PIPE,
            text=True,
        )
        for _ in range(2)
    ]
    expected = str(sum(map(len, CONTENT.values())))
    assert [process.communicate(timeout=60)[0].strip() for process in processes] == [expected] * 2
    files = {path.name: path.read_bytes() for path in (tmp_path / "tiny").iterdir()}
    assert {name.removesuffix(".gz"): gzip.decompress(raw) for name, raw in files.items()} == CONTENT


def test_idx_files_become_a_data_set(tmp_path):
    data = read_idx_archive(ARCHIVE, fashion_mnist.CLASSES, "tiny", str(put(tmp_path)))
    assert data.x_train.shape == (40, 6, 6, 1)
    assert data.x_train.tobytes() == CONTENT["train-images-idx3-ubyte"][16:]
    assert data.y_test.tolist() == list(range(10)) * 2


@pytest.mark.parametrize("content", [b"", b"\0\0\x08", idx(np.zeros((3, 2)))[:-1], b"\0\0\x0d\1\0\0\0\0"])
def test_half_an_idx_file_is_refused(content):
    with pytest.raises(UserError, match="x is not a whole IDX file"):
        parse_idx(content, "x")


def run_prepare(output: Path, spec: dict) -> None:
    prepare.main(["--dataset", "digits", "--spec", json.dumps(spec), "--output-dir", str(output)])


def test_digits_end_to_end(tmp_path):
    command = [sys.executable, str(SCRIPTS / "prepare.py"), "--dataset", "digits", "--spec", '{"kind": "digits"}']
    subprocess.run([*command, "--output-dir", str(tmp_path / "a")], check=True, cwd=tmp_path, timeout=120)
    data = load(tmp_path / "a")
    assert data.x_train.shape == (1442, 8, 8, 1)
    assert len(data.x_test) == 355
    assert data.x_train.max() == 255
    assert set(np.unique(data.x_train)) <= {round(value * 255 / 16) for value in range(17)}
    shares = np.bincount(data.y_test) / (np.bincount(data.y_test) + np.bincount(data.y_train))
    assert np.all(np.abs(shares - 0.2) < 0.01)
    manifest = json.loads((tmp_path / "a" / "manifest.json").read_text())
    assert manifest["input_shape"] == [8, 8, 1]
    assert sum(manifest["counts"]["train"].values()) == 1442
    assert {"source", "homepage", "licence", "excluded", "arrays", "classes"} <= set(manifest)

    run_prepare(tmp_path / "b", {"kind": "digits"})
    for name in ("data.npz", "manifest.json"):
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()


def test_a_slice_takes_the_first_images_of_each_class(tmp_path):
    run_prepare(tmp_path / "all", {"kind": "digits"})
    run_prepare(tmp_path / "slice", {"kind": "digits", "train_images": 50, "test_images": 20})
    everything, part = load(tmp_path / "all"), load(tmp_path / "slice")
    assert np.bincount(part.y_train).tolist() == [5] * 10
    assert np.bincount(part.y_test).tolist() == [2] * 10
    for label in range(10):
        first = everything.x_train[everything.y_train == label][:5]
        assert np.array_equal(part.x_train[part.y_train == label], first)


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        (
            {"kind": "cats"},
            rf"datasets\.digits\.kind: choose one of {', '.join(names(KINDS))}",
        ),
        ({}, r"datasets\.digits\.kind: choose one of"),
        ({"kind": "digits", "path": "x"}, r"datasets\.digits\.path: Extra inputs"),
        ({"kind": "digits", "train_images": 99999}, r"datasets\.digits\.train_images 99999 .* to 1442"),
        ({"kind": "digits", "test_images": 3}, r"datasets\.digits\.test_images 3 .*choose 10 \(one per class\)"),
    ],
)
def test_a_mistake_in_the_spec_is_named_and_nothing_is_written(tmp_path, spec, message):
    with pytest.raises(UserError, match=message):
        run_prepare(tmp_path / "out", spec)
    assert not [path for path in tmp_path.rglob("*") if path.is_file() and not path.name.startswith(".")]


def test_the_message_names_the_config_key_for_the_users_folder(tmp_path):
    with pytest.raises(UserError, match=r"datasets\.digits\.path: .*nowhere is not a folder"):
        run_prepare(tmp_path / "out", {"kind": "fashion_mnist", "path": str(tmp_path / "nowhere")})


def test_mnist_comes_in_the_same_four_files_as_fashion_mnist_and_from_its_mirrors_only():
    assert list(mnist.ARCHIVE.checksums) == list(fashion_mnist.ARCHIVE.checksums)
    assert not set(mnist.ARCHIVE.checksums.values()) & set(fashion_mnist.ARCHIVE.checksums.values())
    assert mnist.ARCHIVE.folder != fashion_mnist.ARCHIVE.folder
    assert mnist.ARCHIVE.debian_package is None and all(mirror.endswith("/") for mirror in mnist.ARCHIVE.mirrors)


def test_the_threads_of_the_command_line_reach_the_reader(tmp_path, monkeypatch):
    given = []
    slow = replace(digits.KIND, read=lambda *asked: given.append(asked[-1]) or digits.read(*asked))
    monkeypatch.setattr(digits, "KIND", slow)
    spec = ["--dataset", "digits", "--spec", '{"kind": "digits"}']
    prepare.main([*spec, "--output-dir", str(tmp_path), "--threads", "3"])
    assert given == [3]
