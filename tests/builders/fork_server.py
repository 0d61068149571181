"""Snakemake's command line in a fork of a process that has imported it: a run without a second of imports.

What is run is what ``python -m snakemake`` runs, in a process of its own with its own folder, environment and
``sys.modules``: of the project nothing has been imported before. Only what a test says about starting Python, or about
an environment that is read on import, needs a real start.
"""

import atexit
import gc
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path


class ForkServer:
    """Runs one command at a time; ends with the process that started it."""

    def __init__(self) -> None:
        command = [sys.executable, str(Path(__file__).resolve())]
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        atexit.register(self.stop)

    def stop(self) -> None:
        self.process.stdin.close()
        self.process.wait()
        self.process.stdout.close()

    def snakemake(
        self, arguments: list[str], folder: Path, env: dict[str, str], python: str = sys.executable
    ) -> subprocess.CompletedProcess:
        """``python -m snakemake`` with these arguments in this folder, with exactly this environment.

        ``python``: the one that Snakemake takes for its own, and has its jobs started by.
        """
        with tempfile.TemporaryDirectory() as outputs:
            request = {
                "arguments": arguments, "folder": str(folder), "env": env, "outputs": outputs, "python": python
            }  # fmt: skip
            self.process.stdin.write(json.dumps(request) + "\n")
            self.process.stdin.flush()
            status = int(self.process.stdout.readline())
            texts = [(Path(outputs) / name).read_text() for name in ("stdout", "stderr")]
        return subprocess.CompletedProcess([sys.executable, "-m", "snakemake", *arguments], status, *texts)


def become(request: dict) -> None:
    """Make a fork look like a new process: its folder, environment, arguments and streams."""
    os.chdir(request["folder"])
    os.environ.clear()
    os.environ.update(request["env"])
    null = os.open(os.devnull, os.O_RDONLY)
    os.dup2(null, 0)
    for number, name in ((1, "stdout"), (2, "stderr")):
        os.dup2(os.open(Path(request["outputs"], name), os.O_WRONLY | os.O_CREAT), number)
    sys.argv = ["snakemake", *request["arguments"]]
    sys.executable = request["python"]
    sys.path[0] = request["folder"]


def serve() -> None:
    """Answer every line of stdin with an exit status; a fork leaves this loop and ends as any process does."""
    os.fsync = lambda descriptor: None  # no test cuts the power
    del sys.path[0]  # this folder, where ``tables`` and others are
    sys.path.insert(0, "")
    import smart_open  # noqa: F401  what parsing a Snakefile imports
    import snakemake.cli

    snakemake.cli.get_argument_parser()  # imports all plugins
    gc.freeze()  # else each fork looks through all that is shared, and copies it by doing so
    answers = os.fdopen(os.dup(1), "w")
    os.set_inheritable(answers.fileno(), False)
    for line in sys.stdin:
        child = os.fork()
        if child == 0:
            answers.close()
            become(json.loads(line))
            snakemake.cli.main(sys.argv[1:])
        _, status = os.waitpid(child, 0)
        print(os.waitstatus_to_exitcode(status), file=answers, flush=True)


if __name__ == "__main__":
    serve()
