"""The processes of a running tower, as the kernel sees them."""

from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from tests.servers import Tower


@dataclass(frozen=True)
class Use:
    """What a process holds."""

    kib: int
    files: int


def children(process: int) -> list[int]:
    with suppress(OSError):
        return [int(one) for one in Path(f"/proc/{process}/task/{process}/children").read_text().split()]
    return []


def workers(running: Tower) -> list[int]:
    return children(running.process.pid)


def use_of(process: int) -> Use:
    status = Path(f"/proc/{process}/status").read_text().splitlines()
    (kib,) = [int(line.split()[1]) for line in status if line.startswith("VmRSS:")]
    return Use(kib, len(list(Path(f"/proc/{process}/fd").iterdir())))
