"""Serve an exported model over HTTP until interrupted: GET /ping and POST /invocations, as a SageMaker container does.

The folder is what `export` wrote, or any unpacked model.tar.gz of it. It runs the folder's own code/inference.py.
"""

import argparse
import contextlib
import json
import os
import socket
import sys
import threading
from pathlib import Path

from convlab import checksums
from convlab.cli import run
from convlab.errors import UserError


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model_dir", type=Path, help="folder of the exported model, results/<study>/export/<dataset>")
    parser.add_argument(
        "--host", default="127.0.0.1", help="address to listen on; only this machine reaches the default"
    )
    parser.add_argument("--port", type=int, default=8080, help="port to listen on; 0 takes a free one")
    parser.add_argument("--runtime", choices=["onnx", "saved_model"], help="what computes; onnx where there is one")
    parser.add_argument("--threads", type=int, default=1, help="threads of one prediction")
    parser.add_argument("--max-body-mb", type=float, default=6, help="size of a request's body at most, MiB")
    parser.add_argument("--until-stdin-closes", action="store_true", help="end when standard input does, for programs")
    arguments = parser.parse_args(argv)

    folder = arguments.model_dir
    for name in ("export.json", "labels.json", "code/inference.py"):
        if not (folder / name).is_file():
            raise UserError(f"{folder} holds no exported model: {name} is missing; make one with: make export")
    checksums.verify_all(folder / "export.json")
    os.environ["CONVLAB_THREADS"] = str(arguments.threads)
    if arguments.runtime:
        os.environ["CONVLAB_RUNTIME"] = arguments.runtime
    listening = listen(arguments.host, arguments.port)
    host, port = listening.getsockname()[:2]
    address = f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"

    try:
        import uvicorn

        from convlab.serving import server

        handlers = server.load_handlers(folder)
        model = handlers.model_fn(folder)
    except ImportError as error:
        raise UserError(f"{error.name} is not installed; `make serve` installs what serving needs") from None
    except Exception as error:  # each runtime has exceptions of its own for a file that it cannot read
        raise UserError(f"the model in {folder} cannot be loaded: {str(error)[:300]}; export it again") from None
    app = server.application(model, handlers, about(folder), int(arguments.max_body_mb * 2**20))
    quiet = {"log_level": "warning", "access_log": False, "server_header": False}
    http = uvicorn.Server(uvicorn.Config(app, **quiet, lifespan="off", ws="none", timeout_graceful_shutdown=3))
    if arguments.until_stdin_closes:
        threading.Thread(target=stop_with_stdin, args=(http,), daemon=True).start()
    print(f"Serving {folder} with {model.runtime} at {address} (Ctrl-C ends it)", flush=True)
    print(f"What it takes: curl {address}/", flush=True)
    with contextlib.suppress(KeyboardInterrupt):
        http.run(sockets=[listening])


def about(folder: Path) -> dict:
    """What of ``export.json`` is told to whom asks what is served."""
    exported = json.loads((folder / "export.json").read_text(encoding="utf-8"))
    return {name: exported[name] for name in ("dataset", "variant", "seed", "spec_hash") if name in exported}


def listen(host: str, port: int) -> socket.socket:
    """A bound socket; UserError where the address is taken or is none."""
    try:
        family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0][0]
        listening = socket.create_server((host, port), family=family, backlog=2048)
    except OSError as error:
        raise UserError(f"cannot listen on {host}:{port}: {error.strerror}; choose another with --port") from None
    except OverflowError:
        raise UserError(f"{port} is no port; choose 1 to 65535, or 0 for a free one") from None
    # Connections inherit it. Without it an answer's body waits 40 ms for the headers to be acknowledged: asyncio sets
    # it only on sockets that were made with the protocol's number.
    listening.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return listening


def stop_with_stdin(http) -> None:
    """Ends the server when standard input does: a program that started it and died, however, takes it along."""
    sys.stdin.buffer.read()
    http.should_exit = True


if __name__ == "__main__":
    run(main)
