"""Whether a study's results are those of its present config, code and data: what Snakemake would still do."""

import re
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from convlab.common import environment
from convlab.errors import UserError

JOB = re.compile(r"^Job \d+: (.+)$", re.MULTILINE)
"""A job of a dry run, with its rule's message."""


TRIGGERS = ("code", "input", "mtime", "params")
"""What makes results outdated: not that Conda or Apptainer, which this dry run knows nothing of, ran their jobs."""


def jobs_left(root: Path, config: Path, targets: Sequence[str], folder: Path) -> list[str]:
    """Messages of the jobs that a dry run of Snakemake names; empty for results that are up to date.

    Args:
        root: the checkout.
        config: the study's config file.
        targets: files that should be up to date, below ``folder``.
        folder: where Snakemake is run, the parent of results/.

    Raises:
        UserError: Snakemake refuses the study.
    """
    command = [
        *(sys.executable, "-m", "snakemake", "--dry-run", "--cores", "1", "--snakefile", str(root / "Snakefile")),
        *("--workflow-profile", str(root / "profiles/log"), "--directory", str(folder), *targets),
        *("--configfile", str(config.resolve()), "--rerun-triggers", *TRIGGERS),
    ]
    variables = {**environment.inherited(), "CONVLAB_NOTES": "printed"}
    result = subprocess.run(command, capture_output=True, text=True, env=variables, check=False)
    output = result.stdout + result.stderr
    if result.returncode:
        lines = [line.strip() for line in output.splitlines() if line.strip()]
        start = next((number for number, line in enumerate(lines) if "Error" in line), 0)
        raise UserError(
            f"Snakemake refuses the study, so that nothing was archived: {' '.join(lines[start : start + 2])}"
        )
    return list(dict.fromkeys(JOB.findall(output)))
