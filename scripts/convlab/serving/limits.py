"""What one client may take of the server: time for a request and its answer, connections, memory.

uvicorn has no time limit for what arrives and what is read: its keep-alive time counts between requests only.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol

HEAD_SECONDS = 10
"""From the connection, or the end of the answer before, until a request's head must be there."""

BODY_SECONDS = 60
"""In which a body must be there, once there is memory for it: 6 MiB at 100 kB a second."""

ANSWER_SECONDS = 30
"""For which a client may leave an answer unread."""

WAITING_SECONDS = 30
"""For which a request waits for memory before it is answered 503."""

CONNECTIONS = 256
"""At once at most; the next ones are closed as they come, before they use up the process' file descriptors."""

COMPUTING = 2
"""Requests that are parsed and computed at once; more only take memory from each other."""

HELD_BYTES = 48 * 2**20
"""Bytes of bodies that are held at once; who comes later waits, and the connection's buffers hold what it sends."""


class BoundedProtocol(H11Protocol):
    """uvicorn's HTTP/1.1 over one connection, with limits of time, and an end that waits for nobody who sends."""

    def connection_made(self, transport: asyncio.Transport) -> None:
        super().connection_made(transport)
        self._timers: dict[str, asyncio.TimerHandle] = {}
        if len(self.connections) > CONNECTIONS:
            transport.abort()
            return
        self._start("head", HEAD_SECONDS)

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        self._watch_head()

    def on_response_complete(self) -> None:
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
        """Let an answer that is being computed go out; drop whoever is still sending or does not read."""
        waits = self.cycle is not None and not self.cycle.response_complete
        if waits and self.conn.their_state is not h11.SEND_BODY and "answer" not in self._timers:
            super().shutdown()
        else:
            self.transport.abort()

    def _watch_head(self) -> None:
        """Time runs while a head is awaited, whether or not a part of it has come, or the rest of a refused body."""
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


class Memory:
    """Bytes that requests share; who needs more than are free waits until others have given theirs back."""

    def __init__(self, size: int) -> None:
        self._free, self._changed = size, asyncio.Event()

    @asynccontextmanager
    async def holding(self, size: int, seconds: float) -> AsyncIterator[None]:
        """Hold ``size`` bytes during the block. TimeoutError where they are not free within ``seconds``."""
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
    """Bytes that a request's body may need: what its head promises, ``limit`` at most."""
    length = headers.get("content-length", "")
    return min(int(length), limit) if length.isascii() and length.isdigit() and len(length) < 20 else limit
