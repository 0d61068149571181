"""Entry point of all scripts: logging to standard error, one-line error messages, exit status."""

import errno
import logging
import os
import sys
from collections.abc import Callable
from pathlib import Path

from convlab.common import environment
from convlab.common.code_digests import matches
from convlab.errors import UserError, printable

PLANNED_CODE_VARIABLE = "CONVLAB_CODE"
"""Environment variable: the digest of the script's code when Snakemake planned the job, which is what it records."""

DISK_FULL_HINT = "free space or choose another folder, then run again"


ALLOWED_CONTROL_CHARACTERS = "\n\t"
"""Control characters that a log may hold."""


class PrintableFormatter(logging.Formatter):
    """Log formatter that escapes control characters, so that user data cannot send commands to the terminal."""

    def format(self, record: logging.LogRecord) -> str:
        return printable(super().format(record), keep=ALLOWED_CONTROL_CHARACTERS)


def run(main: Callable[[], None]) -> None:
    """Run a script's ``main``: a UserError or a full or read-only disk ends it with one line and exit status 1.

    Anything else is a defect of ours and keeps its traceback, which Snakemake leads the user to.
    """
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(PrintableFormatter("%(asctime)s %(levelname)s %(message)s"))
    logging.basicConfig(level=logging.INFO, handlers=[handler])
    if names := environment.removed_at_start():
        logging.getLogger("environment").warning(environment.removed_message(names))
    try:
        check_code(getattr(sys.modules[main.__module__], "__file__", None))
        main()
    except UserError as error:
        sys.exit(f"error: {printable(str(error), keep=ALLOWED_CONTROL_CHARACTERS)}")
    except KeyboardInterrupt:  # Ctrl-C reaches every job at once; what was finished is kept
        sys.exit("interrupted")
    except BrokenPipeError:  # stdout was closed early, e.g. by head
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES):
            raise
        where = f" at {error.filename}" if error.filename else ""
        sys.exit(f"error: cannot write{where}: {error.strerror or error}; {DISK_FULL_HINT}")
    except Exception as error:
        if os.strerror(errno.ENOSPC) not in str(error):
            raise
        # C++ libraries raise other exceptions for a full disk, and some crash during clean-up.
        print(f"error: cannot write: {os.strerror(errno.ENOSPC)}; {DISK_FULL_HINT}", file=sys.stderr, flush=True)
        os._exit(1)


def check_code(script: str | None) -> None:
    """Raise UserError if the code was edited after Snakemake planned this job: it would record the wrong digest."""
    planned = os.environ.pop(PLANNED_CODE_VARIABLE, None)
    if planned is not None and script is not None and not matches(planned, Path(script).resolve()):
        raise UserError(
            f"the code of {Path(script).name} was edited after Snakemake had planned this job; run the same command "
            "again"
        )
