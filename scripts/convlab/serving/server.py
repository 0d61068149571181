"""The HTTP server around an exported model's handlers: SageMaker's container contract.

``GET /ping`` and ``POST /invocations``, as a SageMaker container serves them; ``POST /endpoints/<name>/invocations``
as the service does, so that an ordinary ``boto3`` client works with ``endpoint_url``; ``GET /`` describes the
model. Responses are 2xx, or 4xx with a sentence; 503 if there are too many requests at once, 500 if the model fails.
Nothing heavy is imported: no TensorFlow unless the SavedModel is asked for, no pandas, no pydantic.
"""

import asyncio
import importlib.util
import json
import logging
from collections.abc import Coroutine
from pathlib import Path
from types import ModuleType
from typing import Any

from anyio import to_thread
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import Route

from convlab.serving import limits

CODINGS = ("gzip", "x-gzip")
"""Content-Encodings that the handlers undo."""

MAX_BODY_BYTES = 6 * 2**20
"""Bytes of a request's body at most."""

MAX_DRAINED_BYTES = 16 * MAX_BODY_BYTES
"""Bytes of a too large body that are still read, so that the client gets the response and not a reset."""

Handlers = ModuleType

log = logging.getLogger("serve")


def load_handlers(model_dir: Path) -> Handlers:
    """Import the archive's ``code/inference.py``. Like every model server this runs the code of its archive."""
    path = model_dir / "code" / "inference.py"
    spec = importlib.util.spec_from_file_location("inference", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def application(
    model: Any, handlers: Handlers, metadata: dict[str, Any] | None = None, max_body: int = MAX_BODY_BYTES
) -> Starlette:
    """The ASGI application.

    Args:
        model: what ``handlers.model_fn`` returned.
        handlers: the module with ``input_fn``, ``predict_fn``, ``output_fn`` and ``BadRequest``.
        metadata: fields that ``GET /`` returns beside the form of a request.
        max_body: bytes of a request's body at most.
    """
    served = _Served(model, handlers, metadata or {}, max_body)
    app = Starlette(
        routes=[
            Route("/ping", served.ping),
            Route("/invocations", served.invocations, methods=["POST"]),
            Route("/endpoints/{name}/invocations", served.invocations, methods=["POST"]),
            Route("/", served.root),
        ],
        exception_handlers={HTTPException: not_served},
    )
    app.router.redirect_slashes = False  # a redirect would go where the client's Host header says
    return app


class _Served:
    """Request handlers of one model, with limits on concurrent computations and on bytes in memory."""

    def __init__(self, model: Any, handlers: Handlers, metadata: dict[str, Any], max_body: int) -> None:
        self.model, self.handlers, self.metadata, self.max_body = model, handlers, metadata, max_body
        self.computing, self.overdue = asyncio.Semaphore(limits.COMPUTING), 0
        self.memory = limits.Memory(max(limits.HELD_BYTES, 2 * max_body))

    async def root(self, request: Request) -> Response:
        """What is served, and the form of a request."""
        handlers = self.handlers
        described = {
            **self.metadata,
            "input_shape": self.model.input_shape,
            "pixels": [0, 255],
            "labels": self.model.labels,
            "runtime": self.model.runtime,
            "content_types": list(handlers.forms.TYPES),
            "content_encodings": list(CODINGS[:1]),
            "examples": handlers.examples(self.model.input_shape),
            "answers": [handlers.JSON, handlers.LINES],
            "max_images": handlers.forms.MAX_IMAGES,
            "max_body_bytes": self.max_body,
        }
        return Response(json.dumps(described, indent=1, ensure_ascii=False), media_type="application/json")

    async def invocations(self, request: Request) -> Response:
        """Predictions for the images in a request's body."""
        headers, handlers = request.headers, self.handlers
        coding = headers.get("content-encoding", "").strip().lower()
        size = limits.promised(headers, self.max_body) + (self.max_body if coding in CODINGS else 0)
        try:
            async with self.memory.holding(size, limits.WAITING_SECONDS):
                body = await within(limits.BODY_SECONDS, read(request, self.max_body))
                if body is None:
                    return self.refused(
                        413, f"the body has more than {self.max_body:,} bytes; send fewer images at once"
                    )
                if coding not in (*CODINGS, "identity", ""):
                    way = "send it as it is, or with Content-Encoding: gzip"
                    return self.refused(415, f"the body is encoded with {coding[:50]}, which is not undone; {way}")
                if coding in CODINGS and not body.startswith(handlers.forms.GZIP):
                    return self.refused(400, f"the body is no gzip data, as Content-Encoding: {coding} says")
                return await self.computed(body, headers.get("content-type"), headers.get("accept"))
        except ClientDisconnect:
            return Response(status_code=400)  # the client has disconnected
        except BodyTimeout:
            message = f"the body did not come within {limits.BODY_SECONDS:g} s; send fewer images at once"
            return self.refused(408, message, CLOSE_HEADER)
        except ComputingTimeout:
            return refusal(503, f"the model did not answer within {limits.COMPUTING_SECONDS:g} s", CLOSE_HEADER)
        except TimeoutError:
            return refusal(503, "too many requests are at work; ask again later", {**CLOSE_HEADER, "Retry-After": "5"})
        except asyncio.CancelledError:
            return refusal(503, "the server is ending", CLOSE_HEADER)

    async def ping(self, request: Request) -> Response:
        """The health check: 503 where every thread computes longer than it may, so that a supervisor restarts it."""
        return Response(status_code=503 if self.overdue == limits.COMPUTING else 200)

    async def computed(self, *request: Any) -> Response:
        """``predict`` in a thread: the runtimes compute without the interpreter's lock, and /ping stays prompt.

        Raises TimeoutError if no thread is free, ComputingTimeout if the model takes too long: its thread cannot be
        ended, so it keeps its place among those that compute.
        """
        async with asyncio.timeout(0 if self.overdue == limits.COMPUTING else limits.WAITING_SECONDS):
            await self.computing.acquire()
        computing = asyncio.ensure_future(to_thread.run_sync(self.predict, *request, abandon_on_cancel=True))
        computing.add_done_callback(lambda _: self.computing.release())
        finished, _ = await asyncio.wait([computing], timeout=limits.COMPUTING_SECONDS)
        if finished:
            return computing.result()
        self.overdue += 1
        computing.add_done_callback(self.caught_up)
        log.error("the model has computed for %g s; restart the server if it hangs", limits.COMPUTING_SECONDS)
        raise ComputingTimeout

    def caught_up(self, _: asyncio.Future) -> None:
        """A request that took too long has been computed after all."""
        self.overdue -= 1

    def predict(self, body: bytes, content_type: str | None, accept: str | None) -> Response:
        """Read the images, run the model, write the predictions."""
        handlers = self.handlers
        try:
            images = handlers.read_images(body, content_type, self.model.input_shape, self.max_body)
            text, kind = handlers.output_fn(handlers.predict_fn(images, self.model), accept)
        except handlers.BadRequest as error:
            return self.refused(error.status, str(error))
        except handlers.NotFinite as error:
            return refusal(error.status, str(error))
        except Exception:
            log.exception("the model failed")
            return refusal(500, "the model failed on these images; what the server printed says why")
        return Response(text, media_type=kind)

    def refused(self, status: int, message: str, headers: Any = None) -> Response:
        """An error that the client can fix, with an example of a request that this model takes."""
        return refusal(status, message, headers, self.handlers.example(self.model.input_shape))


async def not_served(request: Request, error: HTTPException) -> Response:
    """The refusal of a path or method that there is no route for."""
    text = "GET /ping, POST /invocations and GET / are what there is"
    path = request.scope["path"]
    if path.rstrip("/") != path and path.strip("/"):
        text += ", without a slash at the end"
    if request.method == "OPTIONS":
        text += ", and pages of other origins are not answered (no CORS)"
    return refusal(error.status_code, f"{request.method} {path[:100]} is not served; {text}", error.headers)


CLOSE_HEADER = {"Connection": "close"}
"""Header of responses before the whole body has been read: the rest of it is no request."""


class BodyTimeout(Exception):
    """A body took too long."""


class ComputingTimeout(Exception):
    """The model took too long."""


async def within(seconds: float, reading: Coroutine[Any, Any, bytes | None]) -> bytes | None:
    """Await ``reading``. Raises BodyTimeout after ``seconds``."""
    try:
        async with asyncio.timeout(seconds):
            return await reading
    except TimeoutError:
        raise BodyTimeout from None


async def read(request: Request, limit: int) -> bytes | None:
    """The request's body, or None if it has more than ``limit`` bytes, which are never held in memory."""
    parts, size = [], 0
    async for part in request.stream():
        size += len(part)
        if size <= limit:
            parts.append(part)
        elif size > MAX_DRAINED_BYTES:
            break
    return b"".join(parts) if size <= limit else None


def refusal(status: int, message: str, headers: Any = None, example: str | None = None) -> Response:
    """An error as JSON; ``code`` and ``message`` are also where AWS clients look for them."""
    body = {"code": "ValidationError" if status < 500 else "InternalFailure", "message": message}
    body |= {"example": example} if example else {}
    return Response(json.dumps(body), status, headers=headers, media_type="application/json")
