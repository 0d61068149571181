"""The folder for what is kept beside results: downloads, measured speeds, packages of training jobs."""

import os
from pathlib import Path

from convlab.errors import UserError


def cache_folder() -> Path:
    """Where downloads are kept: ``$CONVLAB_CACHE``, or convlab's folder in the user's cache.

    Raises UserError for a user without a home folder, as in a container that is run with an unknown user's number.
    """
    if os.environ.get("CONVLAB_CACHE"):
        try:
            return Path(os.environ["CONVLAB_CACHE"]).expanduser()
        except RuntimeError:
            raise UserError(
                f"CONVLAB_CACHE is {os.environ['CONVLAB_CACHE']!r}, in a home folder that is not known here; "
                "write the whole path"
            ) from None
    import pooch  # slow to import, and not needed by the other kinds

    try:
        return Path(pooch.os_cache("convlab"))
    except RuntimeError:
        raise UserError("this user has no home folder for what is kept; set CONVLAB_CACHE to a folder") from None
