#!/usr/bin/env bash
# install.sh VENV PYTHON REQUIREMENTS: make VENV if need be and install hashed requirements, with uv where it is there.
set -euo pipefail
venv=$1 python=$2 requirements=$3

"$python" - <<'PY' || exit 1
import sys
if not (3, 11) <= sys.version_info[:2] <= (3, 13):
    sys.exit(f"error: convlab needs Python 3.11 to 3.13, this is {sys.version.split()[0]}; name another one: make PYTHON=python3.12 ...")
PY

if command -v uv > /dev/null; then
    [ -x "$venv/bin/python" ] || uv venv --quiet --seed --python "$python" "$venv"
    # TensorFlow is imported by every run: compiled once here.
    uv pip install --quiet --compile-bytecode --require-hashes --python "$venv/bin/python" -r "$requirements"
    exit
fi
if [ ! -x "$venv/bin/pip" ] && ! "$python" -m venv "$venv"; then
    rm -rf "$venv"
    echo "error: $python cannot make virtual environments; on Debian and Ubuntu: sudo apt-get install python3-venv" >&2
    exit 1
fi
echo "Installing $requirements into $venv (a minute or two) ..." >&2
"$venv/bin/pip" install --quiet --disable-pip-version-check --no-compile --require-hashes -r "$requirements"
# pip would compile on one core. Some packages have files that are templates, or for other versions of Python.
"$venv/bin/python" -m compileall -q -j 0 "$venv"/lib/python3.*/site-packages > /dev/null || true
