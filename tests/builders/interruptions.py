"""Scripts that are killed, or held up, at a certain point of their work: no test races with what it interrupts.

The point is when a file or a folder gets its name, which backups and results do as soon as they are whole.
"""

from pathlib import Path

PROGRAM = """\
import os, runpy, signal, sys
from pathlib import Path

def watched(move):
    def moved(path, target):
        result = move(path, target)
        if Path(target).name == {name!r}:
            {act}
        return result
    return moved

Path.rename, Path.replace = watched(Path.rename), watched(Path.replace)
sys.path[0] = os.path.dirname({script!r})
runpy.run_path({script!r}, run_name="__main__")
"""

KILL = "os.kill(os.getpid(), signal.SIGKILL)"

HOLD = 'os.write(1, b"held\\n"), os.read(0, 1)'


def killed_at(name: str, command: list[str], folder: Path) -> list[str]:
    """A command that does what ``command`` does, a script's path second, and is killed as soon as there is ``name``.

    ``folder``: for the program that does so.
    """
    return _changed(command, folder, PROGRAM.format(name=name, act=KILL, script=command[1]))


def held_at(name: str, command: list[str], folder: Path) -> list[str]:
    """As :func:`killed_at`, but it writes a line to standard output and goes on when standard input is closed."""
    return _changed(command, folder, PROGRAM.format(name=name, act=HOLD, script=command[1]))


def _changed(command: list[str], folder: Path, program: str) -> list[str]:
    # Under the script's own name in a folder called scripts: by these, jobs are known that run in forks.
    script = folder / "interrupted/scripts" / Path(command[1]).name
    script.parent.mkdir(parents=True)
    script.write_text(program)
    return [command[0], str(script), *command[2:]]
