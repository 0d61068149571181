"""What every script's command line shares."""

import signal
import subprocess
import sys

from builders.project import ROOT

SCRIPT = """
import sys, time
sys.path.insert(0, {scripts!r})
from convlab.common.cli import run

def main():
    print("started", flush=True)
    time.sleep(60)

run(main)
"""


def test_ctrl_c_is_told_in_one_line(tmp_path):
    script = tmp_path / "script.py"
    script.write_text(SCRIPT.format(scripts=str(ROOT / "scripts")))
    process = subprocess.Popen(
        [sys.executable, script],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={"PATH": ""},
    )
    assert process.stdout.readline() == "started\n"
    process.send_signal(signal.SIGINT)
    assert process.communicate()[1] == "interrupted\n"
    assert process.returncode == 1
