"""Folding: the counts of ended processes are added up in a single file, so that the number of files is bounded."""

import logging
import os
from collections.abc import Sequence
from pathlib import Path

from prometheus_client.mmap_dict import MmapedDict

from app.domain.errors import LockTimeout
from app.domain.ports import Locks
from app.services.telemetry.files import NOBODY, SIZES, remove_cut

log = logging.getLogger(__name__)

# Held while files are read or folded. A reader in between would count values twice, or not at all.
LOCK = "files"
_WAIT_SECONDS = 1.0


def fold(place: Path, locks: Locks) -> None:
    """Fold the files of all ended processes. A failure is logged, and the next end of a process tries again."""
    try:
        with locks.hold(LOCK, _WAIT_SECONDS):
            fold_held(place)
    except (LockTimeout, OSError) as error:
        log.warning("What processes that have ended counted stays in files of their own: %s", error)


def fold_held(place: Path) -> None:
    """As `fold`, for a caller that holds the lock. Raises OSError where a file cannot be written."""
    remove_cut(place)
    for kind in SIZES:
        ended = [file for file in sorted(place.glob(f"{kind}_*.db")) if _is_of_the_dead(file)]
        folded = place / f"{kind}_{NOBODY}.db"
        if ended and not folded.exists():
            # Renaming needs no room on a disk that may be full.
            ended.pop(0).rename(folded)
        if ended:
            _add(ended, folded)


def _add(files: Sequence[Path], folded: Path) -> None:
    sums = MmapedDict(str(folded))  # type: ignore[no-untyped-call]  # of prometheus_client
    try:
        for file in files:
            for key, value, _, _ in MmapedDict.read_all_values_from_file(str(file)):  # type: ignore[no-untyped-call]  # of prometheus_client
                before, _ = sums.read_value(key)  # type: ignore[no-untyped-call]  # of prometheus_client
                sums.write_value(key, before + value, 0.0)  # type: ignore[no-untyped-call]  # of prometheus_client
            file.unlink()
    finally:
        sums.close()  # type: ignore[no-untyped-call]  # of prometheus_client


def _is_of_the_dead(file: Path) -> bool:
    process = file.stem.rpartition("_")[2]
    if not process.isdecimal() or int(process) == NOBODY:
        return False
    try:
        os.kill(int(process), 0)
    except ProcessLookupError:
        return True
    except OSError:
        # The number now belongs to a process of another user.
        return False
    return False
