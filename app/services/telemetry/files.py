"""The files in which each process counts, where several do: their place, and room in them.

prometheus_client maps them into memory and makes them longer without writing: on a full disk that kills who counts.
"""

import errno
import os
from pathlib import Path

VARIABLE = "PROMETHEUS_MULTIPROC_DIR"
# More than is ever counted: see `_MOST_SETS` of the instruments.
SIZES = {"counter": 1 << 16, "histogram": 1 << 20}
# What processes that have ended counted stands in the files of this one, which there is not.
NOBODY = 0


def shared_place() -> Path | None:
    """The directory of the files; None where each process counts for itself."""
    found = os.environ.get(VARIABLE)
    return Path(found) if found else None


def reserve(place: Path, process: int) -> None:
    """Make a process's files as large as they ever get. Raises OSError where there is no room."""
    for kind, size in SIZES.items():
        file = place / f"{kind}_{process}.db"
        if not file.exists():
            # Whole at once, or not there: a scrape may read it at any time.
            new = file.with_suffix(".new")
            try:
                _fill(new, size)
                new.rename(file)
            finally:
                new.unlink(missing_ok=True)


def _fill(file: Path, size: int) -> None:
    with file.open("wb", buffering=0) as writing:
        if writing.write(bytes(size)) < size:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(file))
