"""Frame of a job that writes results: one process at a time, checksums at the end."""

from collections.abc import Callable, Collection, Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from convlab.common import checksums
from convlab.common.locks import locked


@contextmanager
def job_results(main: Path, others: Callable[[], Iterable[Path]] = tuple) -> Iterator[None]:
    """Lock the results of a job, and record their checksums when the block ends: ``main``, and what ``others`` returns.

    A job that has outlived its Snakemake may still write the same results: it is waited for, so that the job that
    started last also writes last.
    """
    waiting = f"another process makes {main}; waiting for it"
    try:
        with locked(main.with_name(f".{main.name}.lock"), waiting):
            checksums.drop_record(main)
            yield
            checksums.write_record(main, others())
    except BaseException:
        with suppress(OSError):
            main.parent.rmdir()  # succeeds only if nothing was written
        raise


def files_below(folder: Path, leave_out: Collection[str] = ()) -> list[Path]:
    """All results in ``folder``, except hidden files, files that were set aside, and folders in ``leave_out``."""
    return [
        path
        for path in folder.rglob("*")
        if path.is_file()
        and not path.name.endswith((checksums.RECORD_SUFFIX, checksums.DAMAGED_SUFFIX))
        and not any(part.startswith(".") for part in path.relative_to(folder).parts)
        and path.relative_to(folder).parts[0] not in leave_out
    ]
