"""Jobs of a study in forks of processes that have imported what they import: a job without seconds of imports.

A stand-in for the ``python`` that Snakemake's jobs call. A script of convlab is handed, with its arguments, folder,
environment and streams, to one of two processes; its fork runs the project's own script and modules, of which nothing
has been imported before. Everything else is started as it is. A job whose caller is killed is killed as well.

What only a real start shows (the environment, kills of jobs, an unprepared Python) is tested with real starts:
``Project.snakemake`` with an ``env``.
"""

import atexit
import gc
import json
import os
import select
import shlex
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import types
from importlib import import_module
from pathlib import Path
from typing import NoReturn

SCRIPTS = Path(__file__).resolve().parent.parent.parent / "scripts"

IMPORTS = {
    "computing": ("numpy", "pydantic", "convlab.runtime.keras_runtime"),
    "drawing": ("pydantic", "yaml", "pandas", "scipy.stats", "sklearn.datasets", "matplotlib.pyplot", "PIL.Image"),
}
"""What each of the two processes imports; of convlab it forgets it again."""

FORKED = {
    **dict.fromkeys(("train", "evaluate", "probe", "export", "time_training"), "computing"),
    **dict.fromkeys(("prepare", "explore", "compare", "report"), "drawing"),
}
"""Scripts that are run in forks; the others are too rare or too light to pay."""

CLIENT = """
import json, os, socket, sys
from pathlib import Path

python, servers = {python!r}, {servers!r}
script = Path(sys.argv[1]) if len(sys.argv) > 1 else Path()
kind = servers.get(script.stem) if script.parent.name == "scripts" else None
if kind is None:
    os.execv(python, [python, *sys.argv[1:]])
request = {{"arguments": sys.argv[1:], "folder": os.getcwd(), "env": dict(os.environ)}}
os.chdir({folder!r})  # a socket's address has 107 characters at most
with socket.socket(socket.AF_UNIX) as connection:
    connection.connect(kind)
    os.chdir(request["folder"])  # where tests look for jobs
    socket.send_fds(connection, [b"fds"], [0, 1, 2])
    connection.sendall(json.dumps(request).encode() + b"\\n")
    status = connection.makefile().readline()
sys.exit(int(status) % 256 if status else 1)
"""


class JobForks:
    """Two processes to fork jobs from, and ``python``, the program that has jobs run there; end with this process."""

    def __init__(self) -> None:
        from convlab.common import environment

        self.folder = Path(tempfile.mkdtemp(prefix="jobs-"))
        program = self.folder / "bin/python"
        program.parent.mkdir()
        client = self.folder / "client.py"
        client.write_text(CLIENT.format(python=sys.executable, servers=FORKED, folder=str(self.folder)))
        program.write_text(f'#!/bin/sh\nexec {shlex.quote(sys.executable)} -IS {shlex.quote(str(client))} "$@"\n')
        program.chmod(0o755)
        self.python = str(program)
        self.servers = [
            subprocess.Popen(
                [sys.executable, str(Path(__file__).resolve()), kind],
                cwd=self.folder, env=environment.prepared(os.environ),
                stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
            )
            for kind in IMPORTS
        ]  # fmt: skip
        atexit.register(self.stop)
        for server in self.servers:
            assert server.stdout.readline() == "ready\n"

    def stop(self) -> None:
        for server in self.servers:
            server.stdin.close()
            server.wait()
            server.stdout.close()
        shutil.rmtree(self.folder, ignore_errors=True)


def serve(kind: str) -> dict:
    """Fork a job for each request; returns, in a job's process only, what it was asked to do."""
    os.fsync = lambda descriptor: None  # no test cuts the power
    path = list(sys.path[1:])  # without this folder, where ``tables`` and others are
    sys.path[:] = [str(SCRIPTS), *path]
    for name in IMPORTS[kind]:
        import_module(name)
    for name in [name for name in sys.modules if name.partition(".")[0] == "convlab"]:
        del sys.modules[name]
    sys.path[:] = path
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # nobody waits for those that wait for a job
    gc.freeze()  # else each fork looks through all that is shared, and copies it by doing so
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(kind)
        listener.listen()
        print("ready", flush=True)
        while True:
            if sys.stdin in select.select([listener, sys.stdin], [], [])[0]:
                sys.exit()  # the tests have ended, in whatever way
            connection, _ = listener.accept()
            if os.fork() == 0:
                break
            connection.close()
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    _, streams, _, _ = socket.recv_fds(connection, 3, 3)
    request = json.loads(connection.makefile().readline())
    job = os.fork()
    if job != 0:
        wait_for(job, connection)
    connection.close()
    for number, stream in enumerate(streams):
        os.dup2(stream, number)
        os.close(stream)
    return request


def wait_for(job: int, connection: socket.socket) -> NoReturn:
    """Tell the caller how the job ended, or kill it when its caller is gone; ends this process."""
    ended = os.pidfd_open(job)
    if ended not in select.select([ended, connection], [], [])[0]:
        os.kill(job, signal.SIGKILL)
    status = os.waitstatus_to_exitcode(os.waitpid(job, 0)[1])
    try:
        connection.sendall(f"{status if status >= 0 else 128 - status}\n".encode())
    finally:
        os._exit(0)


def run(request: dict) -> None:
    """Make a fork look like a new process that runs this script, and run it."""
    script = request["arguments"][0]
    os.chdir(request["folder"])
    os.environ.clear()
    os.environ.update(request["env"])
    sys.argv = request["arguments"]
    sys.orig_argv = [sys.executable, *sys.argv]
    sys.path.insert(0, str(Path(script).parent))
    main = types.ModuleType("__main__")
    main.__file__ = script
    sys.modules["__main__"] = main
    sys.modules["numpy"].random.seed()  # by chance, as in a new process; all forks would draw the same numbers else
    exec(compile(Path(script).read_bytes(), script, "exec"), main.__dict__)  # noqa: S102  as Python does with a script


if __name__ == "__main__":
    run(serve(*sys.argv[1:]))
