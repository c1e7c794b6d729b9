"""The parts of the service for tests in one process: an MLflow in memory, real files, a clock to turn."""

from pathlib import Path

from app.services.file_cache import FileCache
from app.services.file_locks import FileLocks
from app.wiring import Parts
from tests.fakes.memory_mlflow import MemoryGateway


class Clock:
    """Milliseconds since 1970, turned by the test; shares the world's time, which never stands still."""

    def __init__(self, gateway: MemoryGateway) -> None:
        self._world = gateway.world

    def __call__(self) -> int:
        return self._world.tick()

    def forward(self, seconds: float) -> None:
        self._world.now += int(seconds * 1000)


def memory_parts(directory: Path, gateway: MemoryGateway | None = None) -> Parts:
    """Parts whose cache and locks lie in `directory`: two applications over one directory are two workers."""
    gateway = gateway or MemoryGateway()
    return Parts(
        gateway=gateway,
        cache=FileCache(directory / "cache"),
        refresh_locks=FileLocks(directory / "locks", "refresh"),
        monitoring_locks=FileLocks(directory / "locks", "monitoring"),
        clock=Clock(gateway),
    )
