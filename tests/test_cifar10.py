"""CIFAR-10's binary version: fetched or given, packed or not, it is read whole or not at all."""

import hashlib
import io
import tarfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from builders.served_folder import served
from convlab.datasets import cifar_batches
from convlab.datasets.cifar_batches import Batches, read_batches
from convlab.datasets.kinds.cifar10 import BATCHES
from convlab.errors import UserError

IMAGES = 20
RECORD_BYTES, CLASS_NAMES_FILE = BATCHES.record_bytes, BATCHES.names_file
CLASS_NAMES = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")
GENERATOR = np.random.default_rng(0)
RECORDS = {name: GENERATOR.integers(0, 256, (IMAGES, RECORD_BYTES), np.uint8) for name in BATCHES.images}
for records in RECORDS.values():
    records[:, 0] = np.arange(IMAGES) % 10
FILES = {
    **{name: records.tobytes() for name, records in RECORDS.items()},
    CLASS_NAMES_FILE: "\n".join([*CLASS_NAMES, "", ""]).encode(),
}


def packed(files: dict[str, bytes], change=lambda member: member) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as tar:
        for name, content in files.items():
            member = tarfile.TarInfo(f"{BATCHES.folder}/{name}")
            member.size = len(content)
            tar.addfile(change(member), io.BytesIO(content))
    return buffer.getvalue()


def source(content: bytes, mirror: str = "http://127.0.0.1:1/", images: int = IMAGES) -> Batches:
    """The publisher's archive, but with this content and its checksums."""
    archive = replace(
        BATCHES.archive, checksums={BATCHES.packed_name: hashlib.sha256(content).hexdigest()}, mirrors=(mirror,)
    )
    sums = {name: hashlib.md5(FILES[name], usedforsecurity=False).hexdigest() for name in BATCHES.images}
    return replace(BATCHES, archive=archive, checksums=sums, images=dict.fromkeys(BATCHES.images, images))


PACKED = packed(FILES)


@pytest.fixture
def serve(tmp_path):
    """Serve content as the archive; gives the mirror's address."""
    folder = tmp_path / "served"
    folder.mkdir()

    with served(folder) as address:

        def start(content: bytes) -> str:
            (folder / BATCHES.packed_name).write_bytes(content)
            return address

        yield start


def check(data) -> None:
    assert data.classes == CLASS_NAMES
    assert data.x_train.shape == (5 * IMAGES, 32, 32, 3) and data.x_test.shape == (IMAGES, 32, 32, 3)
    assert data.y_train.tolist() == list(range(10)) * 10 and data.y_train.dtype == np.int64
    red, green = (RECORDS["data_batch_2.bin"][3, 1 + plane * 1024 + 5 * 32 + 7] for plane in (0, 1))
    assert data.x_train[IMAGES + 3, 5, 7, :2].tolist() == [red, green]
    assert data.x_test[0, 0, 1, 2] == RECORDS["test_batch.bin"][0, 1 + 2048 + 1]


def test_it_is_downloaded_checked_and_kept(serve, tmp_path):
    there = source(PACKED, serve(PACKED))
    check(read_batches(there, "c", None, tmp_path / "cache"))
    assert [path.name for path in (tmp_path / "cache/cifar-10").iterdir()] == [BATCHES.packed_name]
    check(read_batches(source(PACKED), "c", None, tmp_path / "cache"))  # a mirror that is gone: from the cache


def test_a_truncated_download_is_not_taken(serve, tmp_path):
    there = source(PACKED, serve(PACKED[: len(PACKED) // 2]))
    with pytest.raises(UserError, match=r"cannot get CIFAR-10 .*damaged.*cifar-10-binary\.tar\.gz.*datasets\.c\.path"):
        read_batches(there, "c", None, tmp_path / "cache")
    assert not list((tmp_path / "cache/cifar-10").iterdir())


def unpack(folder: Path) -> Path:
    folder.mkdir(parents=True)
    for name, content in FILES.items():
        (folder / name).write_bytes(content)
    return folder


def test_the_users_own_files_are_read_packed_or_not(tmp_path):
    (tmp_path / BATCHES.packed_name).write_bytes(PACKED)
    check(read_batches(source(PACKED), "c", str(tmp_path / BATCHES.packed_name)))
    check(read_batches(source(PACKED), "c", str(tmp_path)))  # the folder with the packed archive
    check(read_batches(source(PACKED), "c", str(unpack(tmp_path / "a"))))
    check(read_batches(source(PACKED), "c", str(unpack(tmp_path / "b" / BATCHES.folder).parent)))


def test_a_truncated_archive_of_the_users_is_named_and_kept(tmp_path):
    path = tmp_path / "mine.tar.gz"
    path.write_bytes(PACKED[:-100])
    with pytest.raises(UserError, match=r"datasets\.c\.path: .*mine\.tar\.gz has the wrong sha256.*cut short"):
        read_batches(source(PACKED), "c", str(path))
    assert path.exists()


def test_a_folder_with_other_files_is_refused(tmp_path):
    with pytest.raises(UserError, match=r"datasets\.c\.path: .*nowhere does not exist"):
        read_batches(source(PACKED), "c", str(tmp_path / "nowhere"))
    folder = unpack(tmp_path / "a")
    batch = folder / "data_batch_3.bin"
    changed = bytearray(FILES["data_batch_3.bin"])
    changed[100] ^= 1
    for content, message in ((bytes(changed), "wrong MD5"), (FILES["data_batch_3.bin"][:-1], "bytes and not 61,460")):
        batch.write_bytes(content)
        with pytest.raises(UserError, match=rf"data_batch_3\.bin has .*{message}"):
            read_batches(source(PACKED), "c", str(folder))
    batch.unlink()
    with pytest.raises(UserError, match=r"lacks data_batch_3\.bin"):
        read_batches(source(PACKED), "c", str(folder))


def linked(member: tarfile.TarInfo) -> tarfile.TarInfo:
    if member.name.endswith("test_batch.bin"):
        member.type, member.linkname, member.size = tarfile.SYMTYPE, "/etc/passwd", 0
    return member


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (
            packed({name: raw for name, raw in FILES.items() if name != CLASS_NAMES_FILE}),
            "lacks cifar-10-batches-bin/batches",
        ),
        (packed({**FILES, "data_batch_1.bin": b"x" * 99}), "data_batch_1.bin .* not a file of the right size"),
        (packed(FILES, linked), "test_batch.bin .* not a file of the right size"),
        (packed({**FILES, CLASS_NAMES_FILE: b"cat\ndog\n"}), "batches.meta.txt .* does not name 10 classes"),
        (packed({**FILES, "test_batch.bin": b"\x0b" + FILES["test_batch.bin"][1:]}), "has the label 11"),
        (b"no archive", "cannot be unpacked"),
        (PACKED[: len(PACKED) // 2], "cannot be unpacked"),
    ],
)
def test_an_archive_with_other_content_is_refused_even_if_its_checksum_were_right(tmp_path, content, message):
    (tmp_path / "c.tar.gz").write_bytes(content)
    with pytest.raises(UserError, match=message):
        read_batches(source(content), "c", str(tmp_path / "c.tar.gz"))


def test_nothing_is_unpickled():
    assert "pickle" not in {name.split(".")[0] for name in vars(cifar_batches)}
    sizes = {images * RECORD_BYTES for images in BATCHES.images.values()}
    assert sizes == {30_730_000}  # as the publisher's page gives it
