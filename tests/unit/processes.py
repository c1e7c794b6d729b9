"""Processes over one cache directory that cannot be used: an agent and two workers, in one process."""

from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any

from app.domain.errors import MlflowUnavailable
from app.domain.held import News
from app.services.host.file_cache import FileCache
from app.services.host.holding_cache import HoldingCache, ReadingCache
from app.services.host.marks import Marks


class Link:
    """What a worker asks the agent; cut while the agent is not there."""

    def __init__(self, agent: HoldingCache) -> None:
        self.agent = agent
        self.is_cut = False
        self.asked = 0

    def within(self, _: float) -> AbstractContextManager[None]:
        self.asked += 1
        if self.is_cut:
            raise MlflowUnavailable("There is no agent.")
        return nullcontext()

    def news(self, holder: str, serial: int) -> News:
        return self.agent.news(holder, serial)


class Processes:
    """An agent and two workers over one directory, where a file may stand in the way."""

    def __init__(self, directory: Path, marks: Marks | None = None) -> None:
        self.directory = directory
        self.agent = HoldingCache(FileCache(directory, marks))
        self.link = Link(self.agent)
        self.one, self.two = (ReadingCache(FileCache(directory, marks), self.link) for _ in range(2))

    def block(self) -> None:
        if self.directory.exists():
            self.directory.rename(self.directory.with_name("moved"))
        self.directory.write_text("in the way")

    def free(self) -> None:
        self.directory.unlink()

    def values(self, key: str = "k") -> list[Any]:
        """What each process has once it has looked."""
        for process in (self.agent, self.one, self.two):
            process.look()
        return [process.get(key) for process in (self.agent, self.one, self.two)]
