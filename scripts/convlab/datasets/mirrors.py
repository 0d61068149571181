"""Asking mirrors for a published file, and bounds for what they send."""

import queue
import threading
import time
from collections.abc import Iterable
from typing import BinaryIO

from convlab.datasets.watched_process import DOWNLOAD_SECONDS

FIRST_BYTES = (b"\x1f\x8b", b"\x00\x00", b"PK", b"MA")
"""How files that are asked for begin: gzip, IDX, zip and NumPy's npz, MATLAB."""


class EndlessDownloadError(ValueError):
    """A download that is larger, or takes longer, than any file that is asked for; the message says which."""


class LimitedFile:
    """A file to which no more than ``max_bytes`` bytes can be written, for ``DOWNLOAD_SECONDS``."""

    def __init__(self, stream: BinaryIO, max_bytes: int) -> None:
        self._stream, self._max_bytes, self._written = stream, max_bytes, 0
        self._end_at = time.monotonic() + DOWNLOAD_SECONDS

    def write(self, data: bytes) -> int:
        self._written += len(data)
        if self._written > self._max_bytes:
            raise EndlessDownloadError(f"sends more than {self._max_bytes // 2**20} MiB")
        if time.monotonic() > self._end_at:
            raise EndlessDownloadError(f"takes more than {DOWNLOAD_SECONDS:.0f} s")
        return self._stream.write(data)

    def flush(self) -> None:
        self._stream.flush()


def probe_mirrors(mirrors: Iterable[str], file_name: str, seconds: float) -> dict[str, str | None]:
    """Request the start of ``file_name`` from all mirrors in parallel; for each None if it is good, else the reason.

    Daemon threads, since nothing else can bound a name look-up that hangs; ``requests`` honours the proxy settings.
    The content counts, not only the status: a hotel's log-in page answers everything with 200.
    """
    import requests

    def ask(mirror: str) -> None:
        try:
            with requests.get(mirror + file_name, stream=True, timeout=(seconds, seconds)) as response:
                if response.status_code != requests.codes.ok:
                    reason = f"HTTP {response.status_code}"
                else:
                    start = next(response.iter_content(4), b"")
                    reason = None if start[:2] in FIRST_BYTES else "does not serve the file"
        except (requests.RequestException, OSError, ValueError) as error:
            reason = short_reason(error)
        answers.put((mirror, reason))

    answers: queue.Queue[tuple[str, str | None]] = queue.Queue()
    result: dict[str, str | None] = dict.fromkeys(mirrors, "no answer")
    for mirror in result:
        threading.Thread(target=ask, args=(mirror,), daemon=True).start()
    give_up_at = time.monotonic() + seconds
    for _ in range(len(result)):
        try:
            mirror, reason = answers.get(timeout=max(0.0, give_up_at - time.monotonic()))
        except queue.Empty:
            break
        result[mirror] = reason
    return result


def short_reason(error: Exception) -> str:
    """Short message for an error of ``requests``, whose own text is a paragraph of nested exceptions."""
    import requests

    if isinstance(error, EndlessDownloadError):
        return str(error)
    if isinstance(error, requests.HTTPError) and error.response is not None:
        return f"HTTP {error.response.status_code}"
    if isinstance(error, requests.Timeout):
        return "no answer"
    if isinstance(error, requests.exceptions.ProxyError):
        return "the proxy refuses"
    if isinstance(error, requests.exceptions.SSLError):
        return "its certificate is not trusted"
    if isinstance(error, requests.ConnectionError):
        return "no connection"
    return type(error).__name__
