"""The HTTP server around an exported model's handlers: SageMaker's container contract.

``GET /ping`` and ``POST /invocations``, as a SageMaker container answers them; ``POST /endpoints/<name>/invocations``
as the service itself does, so that an ordinary ``boto3`` client works with ``endpoint_url``; ``GET /`` says what is
served. Whatever is sent is answered with 2xx or with 4xx and a sentence. Nothing heavy is imported: no TensorFlow
unless the SavedModel is asked for, no pandas, no pydantic.
"""

import importlib.util
import json
from pathlib import Path
from types import ModuleType
from typing import Any

from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import Route

MAX_BODY = 6 * 2**20
"""Bytes of a request's body at most."""

DRAINED = 16 * MAX_BODY
"""Bytes of a body that is too large which are still read, so that its sender sees the answer and not a reset."""

Handlers = ModuleType


def load_handlers(model_dir: Path) -> Handlers:
    """The archive's own ``code/inference.py``, unchanged. Like every model server this runs the code of its archive."""
    path = model_dir / "code" / "inference.py"
    spec = importlib.util.spec_from_file_location("inference", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def application(
    model: Any, handlers: Handlers, about: dict[str, Any] | None = None, max_body: int = MAX_BODY
) -> Starlette:
    """The ASGI application.

    Args:
        model: what ``handlers.model_fn`` gave.
        handlers: the module with ``input_fn``, ``predict_fn``, ``output_fn`` and ``BadRequest``.
        about: what ``GET /`` tells beside the form of a request.
        max_body: bytes of a request's body at most.
    """
    described = {
        **(about or {}),
        "input_shape": model.input_shape,
        "pixels": [0, 255],
        "labels": model.labels,
        "runtime": model.runtime,
        "content_types": [handlers.JSON, handlers.CSV, handlers.NPY],
        "max_images": handlers.MAX_IMAGES,
        "max_body_bytes": max_body,
    }

    def answer(body: bytes, content_type: str | None, accept: str | None) -> Response:
        try:
            text, kind = handlers.output_fn(handlers.predict_fn(handlers.input_fn(body, content_type), model), accept)
        except handlers.BadRequest as error:
            return refusal(error.status, str(error))
        return Response(text, media_type=kind)

    async def invocations(request: Request) -> Response:
        try:
            body = await read(request, max_body)
        except ClientDisconnect:
            return Response(status_code=400)  # nobody is left to read it
        if body is None:
            return refusal(413, f"the body has more than {max_body:,} bytes; send fewer images at once")
        headers = request.headers
        # In a thread: the runtimes compute without the interpreter's lock, and /ping stays prompt.
        return await run_in_threadpool(answer, body, headers.get("content-type"), headers.get("accept"))

    async def ping(request: Request) -> Response:
        return Response(status_code=200)

    async def root(request: Request) -> Response:
        return Response(json.dumps(described, indent=1), media_type="application/json")

    async def no_such_place(request: Request, error: HTTPException) -> Response:
        text = "GET /ping, POST /invocations and GET / are what there is"
        return refusal(
            error.status_code, f"{request.method} {request.url.path[:100]} is not served; {text}", error.headers
        )

    return Starlette(
        routes=[
            Route("/ping", ping),
            Route("/invocations", invocations, methods=["POST"]),
            Route("/endpoints/{name}/invocations", invocations, methods=["POST"]),
            Route("/", root),
        ],
        exception_handlers={HTTPException: no_such_place},
    )


async def read(request: Request, limit: int) -> bytes | None:
    """The request's body, or None if it has more than ``limit`` bytes; no more than that is ever held."""
    parts, size = [], 0
    async for part in request.stream():
        size += len(part)
        if size <= limit:
            parts.append(part)
        elif size > DRAINED:
            break
    return b"".join(parts) if size <= limit else None


def refusal(status: int, message: str, headers: Any = None) -> Response:
    """An error as JSON; ``code`` and ``message`` are also where AWS clients look for them."""
    body = {"code": "ValidationError" if status < 500 else "InternalFailure", "message": message}
    return Response(json.dumps(body), status, headers=headers, media_type="application/json")
