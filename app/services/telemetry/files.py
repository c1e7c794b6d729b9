"""The files in which the processes of a gunicorn count: their directory and their size.

prometheus_client maps the files into memory and extends them without writing. On a full disk that would kill the
process, so the files are written in full length beforehand.
"""

import errno
import logging
import os
from pathlib import Path

log = logging.getLogger(__name__)

VARIABLE = "PROMETHEUS_MULTIPROC_DIR"
# More bytes than are ever needed: see `_MOST_SETS` of the instruments.
SIZES = {"counter": 1 << 16, "histogram": 1 << 20}
# The counts of ended processes are in the files with this number, which no process has.
NOBODY = 0


def shared_place() -> Path | None:
    """The directory of the files; None where each process counts for itself."""
    place = os.environ.get(VARIABLE)
    return Path(place) if place else None


def reserve(place: Path, process: int) -> None:
    """Make the files of a process in full length. Raises OSError where there is no room."""
    place.mkdir(mode=0o700, parents=True, exist_ok=True)
    for kind, size in SIZES.items():
        file = place / f"{kind}_{process}.db"
        if not _is_whole(file, size):
            # The file appears complete, since a scrape may read it at any time.
            new = file.with_suffix(".new")
            try:
                _fill(new, size)
                new.rename(file)
            finally:
                new.unlink(missing_ok=True)


def are_whole(place: Path, process: int) -> bool:
    """Whether the files of a process have their full length. Counting in a truncated file kills the process."""
    return all(_is_whole(place / f"{kind}_{process}.db", size) for kind, size in SIZES.items())


def remove_cut(place: Path) -> None:
    """Remove truncated files, since one of them would make the reading of all files fail."""
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
