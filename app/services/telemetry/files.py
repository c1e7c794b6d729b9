"""The files in which each process counts, where several do: their place, and room in them.

prometheus_client maps them into memory and makes them longer without writing: on a full disk that kills who counts.
"""

import errno
import logging
import os
from pathlib import Path

log = logging.getLogger(__name__)

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
    place.mkdir(mode=0o700, parents=True, exist_ok=True)
    for kind, size in SIZES.items():
        file = place / f"{kind}_{process}.db"
        if not _is_whole(file, size):
            # Whole at once, or not there: a scrape may read it at any time.
            new = file.with_suffix(".new")
            try:
                _fill(new, size)
                new.rename(file)
            finally:
                new.unlink(missing_ok=True)


def are_whole(place: Path, process: int) -> bool:
    """Whether a process's files are there in full length: to count in what was cut off kills the process."""
    return all(_is_whole(place / f"{kind}_{process}.db", size) for kind, size in SIZES.items())


def remove_cut(place: Path) -> None:
    """Remove what was cut by somebody: to read one of them would fail the reading of all."""
    for kind, size in SIZES.items():
        for file in place.glob(f"{kind}_*.db"):
            if not _is_whole(file, size):
                log.warning("%s was cut: what it counted is lost", file)
                file.unlink(missing_ok=True)


def _is_whole(file: Path, size: int) -> bool:
    try:
        return file.stat().st_size >= size
    except OSError:
        return False


def _fill(file: Path, size: int) -> None:
    with file.open("wb", buffering=0) as writing:
        if writing.write(bytes(size)) < size:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(file))
