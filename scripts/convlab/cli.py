"""What every script's command line shares: logging to standard error, and errors told in one sentence."""

import errno
import logging
import os
import sys
from collections.abc import Callable
from pathlib import Path

from convlab.code_inputs import code_digest
from convlab.errors import UserError

PLANNED = "CONVLAB_CODE"
"""Environment variable: the digest of the script's code when Snakemake planned the job, which is what it records."""

REMEDY = "free space or choose another folder, then run again"


def run(main: Callable[[], None]) -> None:
    """Run a script's ``main``: a UserError or a full or read-only disk ends it with one line and exit status 1.

    Anything else is a defect of ours and keeps its traceback, which Snakemake leads the user to.
    """
    logging.basicConfig(stream=sys.stderr, level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s")
    try:
        check_code(Path(sys.modules[main.__module__].__file__).resolve())
        main()
    except UserError as error:
        sys.exit(f"error: {error}")
    except KeyboardInterrupt:  # Ctrl-C reaches every job at once; what was finished is kept
        sys.exit("interrupted")
    except BrokenPipeError:  # the reader of our output has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES):
            raise
        where = f" at {error.filename}" if error.filename else ""
        sys.exit(f"error: cannot write{where}: {error.strerror or error}; {REMEDY}")
    except Exception as error:
        if os.strerror(errno.ENOSPC) not in str(error):
            raise
        # Libraries in C++ have exceptions of their own for a full disk, and some crash when they clean up.
        print(f"error: cannot write: {os.strerror(errno.ENOSPC)}; {REMEDY}", file=sys.stderr, flush=True)
        os._exit(1)


def check_code(script: Path) -> None:
    """Raise UserError where the code was edited since Snakemake planned this job, which records what it was then."""
    planned = os.environ.pop(PLANNED, None)
    if planned is not None and planned != code_digest(script):
        raise UserError(
            f"the code of {script.name} was edited after Snakemake had planned this job; run the same command again"
        )
