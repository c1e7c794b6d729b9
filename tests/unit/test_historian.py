"""The history of the registrations between the process that reads MLflow and a worker that cannot see its files."""

import logging
import shutil
from pathlib import Path

import pytest

from app.domain.errors import Busy
from app.domain.monitoring.monitor_history import MonitorHistory
from app.domain.registry.models import Registration
from app.domain.registry.query import ListQuery
from app.services.answers.history_report import HistoryReport
from app.services.host.file_cache import FileCache
from app.services.host.file_locks import FileLocks
from app.services.host.holding_cache import HoldingCache
from app.services.host.marks import shared_marks
from app.services.monitoring.historian import Historian
from app.services.monitoring.histories import Histories, HistoryStore
from tests.fakes.memory_mlflow import MemoryGateway
from tests.fakes.memory_world import Clock
from tests.unit.mirrors import MirrorProcess


class Full(FileCache):
    """A disk with room for nothing more."""

    full = False

    def set(self, key: str, value: object, timeout: object = 0, mgmt_element: bool = False) -> bool:
        return not self.full and super().set(key, value, timeout, mgmt_element)


class Pair:
    """The agent's historian, and a worker's report over caches that need not be the same."""

    def __init__(
        self, agents: FileCache, workers: FileCache, directory: Path, gateway: MemoryGateway | None = None
    ) -> None:
        self.gateway = gateway or MemoryGateway()
        clock, locks = Clock(self.gateway), FileLocks(directory / "locks", "x")
        self.store = HistoryStore(agents, locks, "x")
        mirror = MirrorProcess(self.gateway, HoldingCache(agents), locks)
        self.historian = Historian(self.gateway, self.store, mirror.snapshots, clock, 60)
        self.report = HistoryReport(
            self.gateway,
            mirror.tracker,
            Histories(workers, "x"),
            self.historian,
            clock,
            1000,
            10**9,
        )

    def open(self, name: str) -> Registration:
        wanted = Registration(name, 1, "classifier", "ada", self.gateway.world.tick(), "", 1)
        made = self.gateway.open_monitor_run(wanted)
        self.historian.opened(made)
        return made

    def total(self) -> int:
        prepared, _, _ = self.report.listed(ListQuery(page_size=1), None, None)
        assert prepared.pagination is not None
        return prepared.pagination["total"]


def test_where_nothing_can_be_stored_a_worker_asks_the_process_that_reads_mlflow(tmp_path: Path) -> None:
    disk = Full(tmp_path / "cache")
    pair = Pair(disk, FileCache(tmp_path / "cache"), tmp_path)
    pair.open("m")
    assert pair.total() == 1
    disk.full = True
    for number in range(2, 5):
        pair.open(f"m{number}")
        assert pair.total() == number
    disk.full = False
    pair.open("n")
    assert pair.total() == 5
    assert Histories(disk, "x").newest() is not None


def test_a_change_that_cannot_be_shared_a_moment_long_is_in_the_history_after_the_next_tick(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    pair = Pair(FileCache(tmp_path / "cache"), FileCache(tmp_path / "cache"), tmp_path)
    pair.open("m")

    def away(*_: object) -> None:
        raise Busy("Redis cannot be reached.")

    with monkeypatch.context() as patch:
        patch.setattr(pair.store, "change", away)
        pair.open("n")
    (said,) = (record for record in caplog.records if record.levelno >= logging.WARNING)
    assert (said.levelname, said.exc_info) == ("WARNING", None)
    pair.historian.tick()
    assert pair.total() == 2


def test_a_worker_that_sees_other_files_is_up_to_date_after_its_tick(tmp_path: Path) -> None:
    pair = Pair(FileCache(tmp_path / "agent"), FileCache(tmp_path / "worker"), tmp_path)
    made = pair.open("m")
    assert pair.total() == 1
    pair.historian.ended(made.monitor_run_id, 5, "bob", "enough")
    pair.report.catch_up()
    assert pair.total() == 2


def test_what_somebody_damaged_is_read_from_mlflow_again_and_written_anew(tmp_path: Path) -> None:
    disk = FileCache(tmp_path / "cache")
    pair = Pair(disk, disk, tmp_path)
    for number in range(20):
        pair.open(f"m{number}")
    assert pair.total() == 20
    for path in (tmp_path / "cache").iterdir():
        content = path.read_bytes()
        if b'"runs":' in content:
            path.write_bytes(content[:-9])
    again = Pair(FileCache(tmp_path / "cache"), FileCache(tmp_path / "cache"), tmp_path, pair.gateway)
    assert again.total() == 20
    assert Histories(disk, "x").newest() is not None


def test_after_the_loss_of_the_cache_directory_the_next_event_stores_the_whole_history_again(tmp_path: Path) -> None:
    disk = FileCache(tmp_path / "cache", shared_marks())
    pair = Pair(disk, disk, tmp_path)
    for number in range(20):
        pair.open(f"m{number}")
    shutil.rmtree(tmp_path / "cache")
    pair.open("n")
    stored = Histories(FileCache(tmp_path / "cache"), "x").newest()
    assert stored is not None
    assert sum(len(segment.runs) for segment in stored.segments) == 21


def test_one_event_writes_one_of_many_parts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    disk = FileCache(tmp_path / "cache")
    pair = Pair(disk, disk, tmp_path)
    for number in range(100):
        pair.open(f"m{number}")
    written: list[str] = []
    write = disk.set
    monkeypatch.setattr(disk, "set", lambda key, value: written.append(key) or write(key, value))
    pair.open("n")
    assert len(written) == 2
    assert written[-1] == "history"
    assert isinstance(pair.store.newest(), MonitorHistory)
