"""benchmarks/scaling.py: what planning many runs is measured by."""

import os
import re

import scaling

from builders.project import fork_server


def planned(command: list, folder) -> str:
    """What a dry run prints."""
    arguments = [str(part) for part in command[3:]]
    result = fork_server().snakemake([*arguments, "-n", "--quiet", "--cores", "2"], folder, dict(os.environ))
    assert result.returncode == 0, result.stdout + result.stderr
    return result.stdout + result.stderr


def test_the_bare_snakefile_has_as_many_jobs_of_each_stage_as_the_study_and_none_is_printed(tmp_path):
    config = scaling.many(10)
    ours = planned(scaling.snakemake(tmp_path, config, profile="default"), tmp_path)
    bare = planned(scaling.bare(tmp_path, config), tmp_path)
    jobs = [dict(re.findall(r"^ *(\w+) +(\d+) *$", text, re.MULTILINE)) for text in (ours, bare)]
    stages = {"prepare": "1", "train": "10", "evaluate": "2", "compare": "1", "report": "1"}
    assert [{name: counts[name] for name in stages} for counts in jobs] == [stages, stages]
    assert "seed" not in ours
