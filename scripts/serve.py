"""Serve an exported model over HTTP until interrupted: GET /ping and POST /invocations, as a SageMaker container does.

The folder is what `export` wrote, or any unpacked model.tar.gz of it. It runs the folder's own code/inference.py.
"""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))  # Python leaves it out with -P and PYTHONSAFEPATH
from convlab.common import environment

environment.start()

import argparse
import contextlib
import errno
import json
import os
import socket
import threading

from convlab.common import checksums
from convlab.common.cli import run
from convlab.errors import UserError


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model_dir", type=Path, help="folder of the exported model, results/<study>/export/<dataset>")
    parser.add_argument(
        "--host",
        default="127.0.0.1",
        help="address of this machine to listen on; only this machine reaches the default, everybody 0.0.0.0 or ::",
    )
    parser.add_argument("--port", type=int, default=8080, help="port to listen on; 0 takes a free one")
    parser.add_argument("--runtime", choices=["onnx", "saved_model"], help="what computes; onnx where there is one")
    parser.add_argument("--threads", type=int, help="threads of one prediction; CONVLAB_THREADS or 1 if absent")
    parser.add_argument("--max-body-mb", type=float, default=6, help="size of a request's body at most, MiB")
    parser.add_argument("--until-stdin-closes", action="store_true", help="end when standard input does, for programs")
    arguments = parser.parse_args(argv)
    if arguments.threads is not None and arguments.threads < 1:
        raise UserError(f"--threads is {arguments.threads}; it should be 1 or more")
    if not 0 < arguments.max_body_mb <= MAX_BODY_MB:
        raise UserError(f"--max-body-mb is {arguments.max_body_mb:g}; it should be above 0 and at most {MAX_BODY_MB}")

    with contextlib.suppress(KeyboardInterrupt):  # Ctrl-C is how it ends, also while the model is being loaded
        serve(arguments)


MAX_BODY_MB = 1024
"""Largest value of --max-body-mb."""


def serve(arguments: argparse.Namespace) -> None:
    """Load the model and serve it until interrupted."""
    folder = arguments.model_dir
    for name in ("export.json", "labels.json", "code/inference.py", "code/request_forms.py"):
        if not (folder / name).is_file():
            raise UserError(f"{folder} holds no exported model: {name} is missing; make one with: make export")
    checksums.verify_all(folder / "export.json")
    if arguments.threads is not None:
        os.environ["CONVLAB_THREADS"] = str(arguments.threads)
    if arguments.runtime:
        os.environ["CONVLAB_RUNTIME"] = arguments.runtime
    listening = listen(arguments.host, arguments.port)
    host, port = listening.getsockname()[:2]
    address = f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"

    try:
        import uvicorn

        from convlab.serving import limits, server

        handlers = server.load_handlers(folder)
        model = handlers.model_fn(folder)
        described = public_metadata(folder)
    except ImportError as error:
        raise UserError(f"{error.name} is not installed; `make serve` installs what serving needs") from None
    except Exception as error:  # the runtimes raise different exceptions for an unreadable file
        if str(error).startswith("CONVLAB_"):  # a variable, which the handlers read
            raise UserError(str(error)) from None
        raise UserError(f"the model in {folder} cannot be loaded: {str(error)[:300]}; export it again") from None
    app = server.application(model, handlers, described, int(arguments.max_body_mb * 2**20))
    quiet = {"log_level": "warning", "access_log": False, "server_header": False}
    http = uvicorn.Server(
        uvicorn.Config(
            app, **quiet, http=limits.BoundedProtocol, lifespan="off", ws="none", timeout_graceful_shutdown=3
        )
    )
    if arguments.until_stdin_closes:
        threading.Thread(target=stop_with_stdin, args=(http,), daemon=True).start()
    limits.allow_descriptors()
    print(f"Serving {folder} with {model.runtime} at {address} (Ctrl-C ends it)", flush=True)
    print(f"What it takes: curl {address}/", flush=True)
    http.run(sockets=[listening])


def public_metadata(folder: Path) -> dict:
    """Fields of ``export.json`` that ``GET /`` returns."""
    exported = json.loads((folder / "export.json").read_text(encoding="utf-8"))
    return {name: exported[name] for name in ("dataset", "variant", "seed", "spec_hash") if name in exported}


def listen(host: str, port: int) -> socket.socket:
    """Bind a socket. Raises UserError, with advice, for an address that is not this machine's or is in use."""
    if not 0 <= port <= 65535:
        raise UserError(f"--port {port} is no port; choose 1 to 65535, or 0 for a free one")
    elsewhere = (
        f"--host {host!r} is no address of this machine ({{reason}}); name one, such as 127.0.0.1 or ::1 (this machine "
        "only), or 0.0.0.0 (everybody who reaches it)"
    )
    if not host:
        raise UserError(elsewhere.format(reason="it is empty"))
    try:
        family, _, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
    except (OSError, UnicodeError) as error:
        raise UserError(elsewhere.format(reason=getattr(error, "strerror", None) or error)) from None
    try:
        listening = socket.create_server(address, family=family, backlog=2048)
    except OSError as error:
        if error.errno in (errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT, errno.EINVAL):
            raise UserError(elsewhere.format(reason=os.strerror(error.errno))) from None
        if error.errno == errno.EACCES:
            raise UserError(
                f"port {port} is for the system's own services; choose one from 1024 with --port (make serve PORT=8080)"
            ) from None
        reason = "is in use" if error.errno == errno.EADDRINUSE else f"cannot be had ({os.strerror(error.errno)})"
        raise UserError(f"port {port} of {host} {reason}; choose another with --port (make serve PORT=8081)") from None
    # Connections inherit it. Without it a response's body waits 40 ms for the headers to be acknowledged: asyncio sets
    # it only on sockets that were made with the protocol's number.
    listening.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return listening


def stop_with_stdin(http) -> None:
    """Stop the server when standard input closes, so that it does not outlive the program that started it."""
    sys.stdin.buffer.read()
    http.should_exit = True


if __name__ == "__main__":
    run(main)
