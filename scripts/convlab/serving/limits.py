"""Limits of the server against slow or greedy clients: timeouts, connections, memory.

uvicorn has no timeout for receiving a request or sending a response; its keep-alive timeout is for idle connections.
"""

import asyncio
import resource
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol

HEAD_SECONDS = 10
"""Seconds from the connection, or the previous response, until a request's headers must be complete."""

BODY_SECONDS = 60
"""Seconds in which a body must arrive, once there is memory for it: 6 MiB at 100 kB/s."""

ANSWER_SECONDS = 30
"""Seconds for which a client may leave a response unread."""

WAITING_SECONDS = 30
"""Seconds for which a request waits for memory before the response is 503."""

CONNECTIONS = 256
"""Open connections at most, before the process runs out of file descriptors; beyond them the one is closed that has
kept the server waiting longest."""

COMPUTING = 2
"""Requests that are parsed and computed concurrently; more would only compete for memory."""

COMPUTING_SECONDS = 60
"""Seconds after which a request that is being computed is answered 503: SageMaker waits as long. Its thread, which
nothing can end, goes on."""

HELD_BYTES = 48 * 2**20
"""Bytes of all request bodies in memory; later requests wait, and their data stay in the connection's buffers."""

SMALL_BYTES = 64 * 2**10
"""Bodies up to this size need no share of ``HELD_BYTES``, so that slow senders of large ones hold up none of them; with
as many as there may be connections they take 16 MiB."""

DESCRIPTORS = 4096
"""Open files that the process asks for: all connections that can be waiting when it accepts, before it closes some."""


class BoundedProtocol(H11Protocol):
    """uvicorn's HTTP/1.1 protocol with timeouts, and a shutdown that does not wait for clients that are sending."""

    def connection_made(self, transport: asyncio.Transport) -> None:
        super().connection_made(transport)
        self._timers: dict[str, asyncio.TimerHandle] = {}
        self.waiting_since = self.loop.time()
        self._start("head", HEAD_SECONDS)
        if len(self.connections) > CONNECTIONS:
            waiting = [
                other for other in self.connections if other.waits_for_client and not other.transport.is_closing()
            ]
            min(waiting, key=lambda other: other.waiting_since).transport.abort()

    @property
    def waits_for_client(self) -> bool:
        """Whether the client has to act next: it owes headers, the rest of a body, or reading a response."""
        return bool(self._timers) or self.conn.their_state is h11.SEND_BODY

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        self._watch_head()

    def on_response_complete(self) -> None:
        self.waiting_since = self.loop.time()
        super().on_response_complete()
        self._watch_head()

    def pause_writing(self) -> None:
        super().pause_writing()
        self._start("answer", ANSWER_SECONDS)

    def resume_writing(self) -> None:
        super().resume_writing()
        self._stop("answer")

    def connection_lost(self, exc: Exception | None) -> None:
        for name in list(self._timers):
            self._stop(name)
        super().connection_lost(exc)

    def shutdown(self) -> None:
        """Finish a response that is being computed; drop clients that are still sending or do not read."""
        waits = self.cycle is not None and not self.cycle.response_complete
        if waits and self.conn.their_state is not h11.SEND_BODY and "answer" not in self._timers:
            super().shutdown()
        else:
            self.transport.abort()

    def _watch_head(self) -> None:
        """Run the timeout while headers are incomplete, or the rest of a refused body is awaited."""
        if self.cycle is None or self.cycle.response_complete:
            self._start("head", HEAD_SECONDS)
        else:
            self._stop("head")

    def _start(self, name: str, seconds: float) -> None:
        if name not in self._timers:
            self._timers[name] = self.loop.call_later(seconds, self.transport.abort)

    def _stop(self, name: str) -> None:
        if timer := self._timers.pop(name, None):
            timer.cancel()


def allow_descriptors() -> None:
    """Raise the process's limit of open files to DESCRIPTORS, as far as it may."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = DESCRIPTORS if hard == resource.RLIM_INFINITY else min(DESCRIPTORS, hard)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


class Memory:
    """A pool of bytes that requests share; a request waits until enough of them are released."""

    def __init__(self, size: int) -> None:
        self._free, self._changed = size, asyncio.Event()

    @asynccontextmanager
    async def holding(self, size: int, seconds: float) -> AsyncIterator[None]:
        """Reserve ``size`` bytes for the block, none of a small body. Raises TimeoutError if they are not free within
        ``seconds``."""
        size = size if size > SMALL_BYTES else 0
        async with asyncio.timeout(seconds):
            while self._free < size:
                self._changed.clear()
                await self._changed.wait()
        self._free -= size
        try:
            yield
        finally:
            self._free += size
            self._changed.set()


def promised(headers: Any, limit: int) -> int:
    """Bytes that a request's body may need: its Content-Length, ``limit`` at most."""
    length = headers.get("content-length", "")
    return min(int(length), limit) if length.isascii() and length.isdigit() and len(length) < 20 else limit
