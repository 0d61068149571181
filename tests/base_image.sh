#!/usr/bin/env bash
# A base image for containers/ where no registry of images is reached: Debian 13 with its Python 3.13, from Debian's packages.
# Python's own images have the same Debian and another Python. As root, with debootstrap and docker or podman:
#   base_image.sh ENGINE NAME
set -euo pipefail
engine=${1:?usage: base_image.sh ENGINE NAME} name=${2:?usage: base_image.sh ENGINE NAME}
root=$(mktemp -d)
trap 'rm -rf --one-file-system "$root"' EXIT
debootstrap --variant=minbase --include=python3,python3-venv,ca-certificates trixie "$root" >&2
# As in Python's own images: `python` and `pip` in /usr/local, where nothing else keeps pip from installing.
chroot "$root" python3 -m venv /usr/local
rm -rf "$root"/var/cache/apt/* "$root"/var/lib/apt/lists/* "$root"/usr/share/{doc,man,locale}
tar -C "$root" -c . | "$engine" import --change "ENV PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin" \
  --change "ENV LANG=C.UTF-8" --change "CMD python3" - "$name" >&2
