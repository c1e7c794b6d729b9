"""Where nothing can be stored: what one process writes, the others have from the agent; the disk has it later."""

from pathlib import Path

import pytest

from app.services.host.file_cache import FileCache
from app.services.host.holding_cache import HoldingCache
from app.services.host.marks import shared_marks
from tests.unit.processes import Processes


@pytest.fixture
def processes(tmp_path: Path) -> Processes:
    return Processes(tmp_path / "cache")


def test_what_cannot_be_stored_is_seen_by_every_process(processes: Processes) -> None:
    processes.agent.set("k", "old")
    processes.block()
    marks = [process.mark("k") for process in (processes.agent, processes.one, processes.two)]
    assert processes.agent.set("k", {"new": 1})
    assert processes.values() == [{"new": 1}] * 3
    after = [process.mark("k") for process in (processes.agent, processes.one, processes.two)]
    assert all(new != old for new, old in zip(after, marks, strict=True))
    processes.agent.set("k", {"newer": 2})
    assert processes.values() == [{"newer": 2}] * 3


def test_with_marks_every_process_sees_it_at_once_without_a_look(tmp_path: Path) -> None:
    processes = Processes(tmp_path / "cache", shared_marks())
    everybody = (processes.agent, processes.one, processes.two)
    processes.agent.set("k", "old")
    processes.block()
    marks = [process.mark("k") for process in everybody]
    for value in ("new", "newer"):
        assert processes.agent.set("k", value)
        before, marks = marks, [process.mark("k") for process in everybody]
        assert [process.get("k") for process in everybody] == [value] * 3
        assert all(new != old for new, old in zip(marks, before, strict=True))
    processes.agent.delete("k")
    assert all(process.mark("k") != old for process, old in zip(everybody, marks, strict=True))
    assert [process.get("k") for process in everybody] == [None] * 3


def test_an_agent_that_does_not_answer_is_asked_once_and_again_with_the_next_look(tmp_path: Path) -> None:
    processes = Processes(tmp_path / "cache", shared_marks())
    processes.block()
    processes.agent.set("k", 1)
    processes.link.is_cut = True
    processes.one.mark("k")
    assert processes.link.asked == 1
    processes.one.mark("k")
    assert processes.link.asked == 1
    assert processes.one.get("k") is None
    processes.link.is_cut = False
    processes.one.look()
    assert processes.one.get("k") == 1


def test_it_is_stored_as_soon_as_that_goes_again_and_then_held_by_nobody(processes: Processes) -> None:
    processes.block()
    processes.agent.set("k", 1)
    processes.free()
    assert processes.values() == [1] * 3
    assert FileCache(processes.directory).get("k") == 1
    processes.agent.set("k", 2)
    assert processes.values() == [2] * 3
    assert FileCache(processes.directory).get("k") == 2


def test_an_old_directory_that_is_put_back_brings_nothing_old_back(processes: Processes) -> None:
    processes.agent.set("k", "old")
    processes.block()
    processes.agent.set("k", "new")
    processes.free()
    processes.directory.with_name("moved").rename(processes.directory)
    assert processes.values() == ["new"] * 3
    assert FileCache(processes.directory).get("k") == "new"


def test_a_new_agent_is_believed_and_what_the_old_one_held_is_gone(processes: Processes) -> None:
    processes.block()
    processes.agent.set("k", 1)
    processes.link.agent = HoldingCache(FileCache(processes.directory))
    assert processes.values()[1:] == [None, None]
    processes.link.agent.set("k", 2)
    assert processes.values()[1:] == [2, 2]


def test_what_is_deleted_is_gone_everywhere(processes: Processes) -> None:
    processes.block()
    processes.agent.set("k", 1)
    processes.two.look()
    assert processes.agent.delete("k")
    assert processes.values() == [None] * 3
