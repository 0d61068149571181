"""What surrounds the writing of a job's results: one process at a time, and checksums when all is written."""

from collections.abc import Callable, Collection, Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from convlab.common import checksums
from convlab.common.locks import locked


@contextmanager
def job_results(main: Path, others: Callable[[], Iterable[Path]] = tuple) -> Iterator[None]:
    """Around all that a job computes and writes: ``main``, and ``others``, which is called in the end.

    A job that has outlived its Snakemake may still make the same results: it is waited for, so that what is written
    last is of the job that began last.
    """
    waiting = f"another process makes {main}; waiting for it"
    try:
        with locked(main.with_name(f".{main.name}.lock"), waiting):
            checksums.drop_record(main)
            yield
            checksums.write_record(main, others())
    except BaseException:
        with suppress(OSError):
            main.parent.rmdir()  # which it only does where nothing was written
        raise


def files_below(folder: Path, leave_out: Collection[str] = ()) -> list[Path]:
    """All results in ``folder``, hidden files and those that were set aside apart, without the names to leave out."""
    return [
        path
        for path in folder.rglob("*")
        if path.is_file()
        and not path.name.endswith((checksums.SUFFIX, checksums.DAMAGED))
        and not any(part.startswith(".") for part in path.relative_to(folder).parts)
        and path.relative_to(folder).parts[0] not in leave_out
    ]
