"""Endpoint on this machine: starts a server process, sends requests, stops it."""

import http.client
import subprocess
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import psutil

from convlab.errors import UserError
from convlab.serving import endpoint_test
from convlab.serving.endpoint_test import Reply
from convlab.serving.record import ImagePrediction

SERVE = Path(__file__).resolve().parent.parent.parent / "serve.py"

START_SECONDS = 60
"""Seconds in which the server must respond to /ping; importing TensorFlow on a busy machine is slow."""

STOP_SECONDS = 10
"""Seconds in which the server must exit before it is killed."""


class LocalEndpoint:
    """Context manager: starts the server on entry, stops it on exit.

    The server reads from a pipe and exits when it closes, so that it does not outlive this process even if that is
    killed.
    """

    def __init__(self, model_dir: Path, runtime: str, threads: int = 1) -> None:
        self.model_dir, self.runtime, self.threads = model_dir, runtime, threads
        self.url: str | None = None
        self.start_seconds: float | None = None
        self.memory_mb: float | None = None
        self.teardown: dict[str, Any] = {"remaining": []}
        self.meanwhile: Callable[[], None] | None = None  # it ends in a moment
        self._output: deque[str] = deque(maxlen=50)
        self._process: subprocess.Popen | None = None
        self._connection: http.client.HTTPConnection | None = None

    def __enter__(self) -> "LocalEndpoint":
        begin = time.perf_counter()
        command = [sys.executable, str(SERVE), str(self.model_dir), "--port", "0", "--runtime", self.runtime]
        command += ["--threads", str(self.threads), "--until-stdin-closes"]
        self._process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        )
        try:
            threading.Thread(target=self._listen, daemon=True).start()
            self._wait()
        except BaseException:
            self.__exit__()
            raise
        self.start_seconds = time.perf_counter() - begin
        return self

    @property
    def pid(self) -> int:
        """Number of the server's process."""
        return self._process.pid

    def _listen(self) -> None:
        """Read the server's output: its first line has the address, the last lines are kept for messages."""
        for line in self._process.stdout:
            self._output.append(line.rstrip())
            if self.url is None and line.startswith("Serving ") and " at http://" in line:
                self.url = line.rsplit(" at ", 1)[1].split()[0]

    def _wait(self) -> None:
        """Wait until /ping responds."""
        deadline = time.monotonic() + START_SECONDS
        while time.monotonic() < deadline:
            if self._process.poll() is not None:
                raise UserError(f"the server ended before it answered{self._last_words()}")
            if self.url is not None:
                host, port = self.url.removeprefix("http://").rsplit(":", 1)
                self._connection = http.client.HTTPConnection(host, int(port), timeout=30)
                try:
                    self._connection.request("GET", "/ping")
                    response = self._connection.getresponse()
                    response.read()
                    if response.status == 200:
                        return
                except OSError:
                    self._connection.close()
            time.sleep(0.005)
        raise UserError(f"the server did not answer within {START_SECONDS} s")

    def answers(self, images: np.ndarray, indices: Sequence[int], labels: np.ndarray) -> Iterator[ImagePrediction]:
        """As :func:`endpoint_test.ask`."""
        return endpoint_test.ask(self.invoke, images, indices, labels)

    def invoke(self, body: bytes, content_type: str) -> Reply:
        """Send a request over a persistent connection. Raises UserError if the server does not respond."""
        headers = {"Content-Type": content_type, "Accept": "application/json"}
        try:
            try:
                return self._answer(body, headers)
            except ConnectionError:  # the server waits ten seconds for the next request, a suspended machine for longer
                self._connection.close()
                return self._answer(body, headers)  # over a new one
        except (OSError, http.client.HTTPException) as error:
            self._connection.close()
            raise UserError(f"the server stopped answering ({error!r}){self._last_words()}") from None

    def _answer(self, body: bytes, headers: dict[str, str]) -> Reply:
        self._connection.request("POST", "/invocations", body, headers)
        response = self._connection.getresponse()
        return Reply(response.status, response.read())

    def _last_words(self) -> str:
        """The server's last lines of output, for a message; empty without any."""
        time.sleep(0.1)
        lines = [line for line in self._output if not line.startswith(("Serving ", "What it takes: "))]
        return f": {' '.join(lines[-3:])}" if lines else ""

    def further(self) -> None:
        """None: the answers are all that is measured."""

    def look(self) -> None:
        """Nothing comes late."""

    def reference(self) -> None:
        """None: the served model is the evaluated one."""

    def facts(self) -> dict[str, Any]:
        """Description of the endpoint for the evidence: process, runtime, threads, start-up time, memory."""
        return {
            "kind": "process on this machine",
            "url": self.url,
            "runtime": self.runtime,
            "threads": self.threads,
            "start_seconds": self.start_seconds,
            "memory_mb": self.memory_mb,
        }

    def __exit__(self, *exception: object) -> None:
        begin = time.perf_counter()
        process = self._process
        with suppress(Exception):  # it only informs
            self.memory_mb = psutil.Process(process.pid).memory_info().rss / 1e6
        try:
            with suppress(OSError):
                process.stdin.close()  # which ends it
            process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            pass
        finally:
            if process.poll() is None:
                process.kill()
                process.wait()
            if self._connection:
                self._connection.close()
            self.teardown = {
                "remaining": [f"process {process.pid}"] if psutil.pid_exists(process.pid) else [],
                "about": {"exit_status": process.returncode, "seconds": time.perf_counter() - begin},
            }
