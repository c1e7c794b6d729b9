"""The checker: what it writes into MLflow, what it owes to whom, and that nothing newer is undone."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from app.domain.errors import LockTimeout, MlflowUnavailable, TowerError
from app.domain.monitoring.alerts import VerdictChange
from app.domain.ports import Locks
from app.domain.registry.models import ModelVersion
from app.services.alerts import Announcer
from app.services.alerts.outbox import Notifications
from app.services.monitoring.checker import Checker
from app.services.monitoring.verdict_record import VerdictRecord
from app.wiring.agent import build_agent
from tests.api.service import settings_of
from tests.fakes.memory_mlflow import MemoryGateway, MemoryWorld
from tests.fakes.memory_world import memory_world
from tests.servers import until

LOW = {"limits": {"accuracy": {"min": 0.9}}}


@dataclass
class Nobody:
    """A receiver that no message reaches: the announcer is not started."""

    id: str
    name: str = ""

    def deliver(self, changes: Sequence[VerdictChange]) -> None:
        raise AssertionError(changes)


class Owed(Announcer):
    """An announcer that remembers what it is to tell to whom."""

    def __init__(self, receivers: Sequence[str], notifications: Notifications) -> None:
        super().__init__([Nobody(receiver) for receiver in receivers], notifications)
        self.owed: list[tuple[str, str, str]] = []
        self.changes: list[VerdictChange] = []

    def owe(self, receiver_id: str, changes: Sequence[VerdictChange]) -> None:
        self.owed += [(receiver_id, one.before, one.verdict) for one in changes]
        self.changes += changes


class Place:
    """A world with a model of accuracy 0.5, and checkers over it."""

    def __init__(self, directory: Path) -> None:
        self.gateway = MemoryGateway()
        self.world: MemoryWorld = self.gateway.world
        self.provided = memory_world(directory, self.gateway)
        self.settings = settings_of(cache_directory=directory / "cache")
        self.agent = build_agent(self.settings, self.provided)
        self.writer = self.agent.services.writer
        self.world.add_version("m", {"accuracy": 0.5})
        self.locks: Locks = self.provided.monitoring_locks

    def checker(self, *receivers: str) -> tuple[Checker, Owed]:
        made = build_agent(self.settings, self.provided)
        own, shared = made.services, made.stores
        announcer = Owed(receivers, own.writer)
        checker = Checker(
            self.gateway, own.tracker, shared.checks, VerdictRecord(own.writer, own.registrations, receivers),
            announcer, self.locks, shared.journal, self.provided.clock, 60, shared.snapshots.ticket,
            own.registrations,
        )  # fmt: skip
        return checker, announcer

    def register(self, **settings: object) -> str:
        return self.writer.register("m", "1", "classifier", "ada", settings or LOW).monitor_run_id


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(tmp_path)


def test_a_change_is_written_once_and_owed_to_each_receiver_until_it_was_told(place: Place) -> None:
    run = place.register()
    checker, announcer = place.checker("slack", "mail")
    checker.round()
    assert [v.verdict for v in place.world.verdicts[run]] == ["degraded"]
    assert sorted(announcer.owed) == [
        ("mail", "insufficient_data", "degraded"),
        ("slack", "insufficient_data", "degraded"),
    ]
    place.writer.mark_notified("slack", announcer.changes[:1])
    announcer.owed.clear()
    checker.round()
    assert announcer.owed == [("mail", "insufficient_data", "degraded")]
    assert len(place.world.verdicts[run]) == 1


def test_what_is_owed_survives_a_restart_also_of_a_change_to_healthy(place: Place) -> None:
    place.register(limits={"accuracy": {"min": 0.1}})
    place.checker("slack")[0].round()
    again, announcer = place.checker("slack")
    again.round()
    assert announcer.owed == [("slack", "insufficient_data", "healthy")]
    place.writer.mark_notified("slack", announcer.changes)
    third, announcer = place.checker("slack")
    third.round()
    assert announcer.owed == []


def test_a_new_receiver_is_told_what_is_bad_now_and_no_old_stories(place: Place) -> None:
    place.register()
    place.checker()[0].round()
    checker, announcer = place.checker("new")
    checker.round()
    assert announcer.owed == [("new", "insufficient_data", "degraded")]
    place.writer.change_settings("m", "1", {"limits": {"accuracy": {"min": 0.1}}})
    place.checker()[0].round()
    checker, announcer = place.checker("newer")
    checker.round()
    assert announcer.owed == []


def test_changes_that_came_while_a_receiver_was_away_are_all_owed(place: Place) -> None:
    place.register()
    checker, announcer = place.checker("slack")
    checker.round()
    place.writer.change_settings("m", "1", {"limits": {"accuracy": {"min": 0.1}}})
    announcer.owed.clear()
    checker.round()
    assert announcer.owed == [("slack", "insufficient_data", "degraded"), ("slack", "degraded", "healthy")]


def test_a_check_of_older_evidence_does_not_undo_a_later_one(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    run = place.register(limits={"accuracy": {"min": 0.4}})
    checker, _ = place.checker()
    read = place.gateway.readable_evidence
    between: list[Callable[[], object]] = []

    def slow(*args: object, **more: object) -> object:
        found = read(*args, **more)  # type: ignore[arg-type]
        if between:
            between.pop()()
        return found

    def observed() -> None:
        place.world.log_metric(place.world.run_of("m", 1), "accuracy", 0.1, place.world.now)
        checker.start()
        checker.check_soon("m", 1)
        until(lambda: run in place.agent.stores.checks.all())
        checker.stop()

    monkeypatch.setattr(place.gateway, "readable_evidence", slow)
    between.append(observed)
    checker.round()
    assert [v.verdict for v in place.world.verdicts[run]] == ["degraded"]
    assert place.agent.stores.checks.all()[run].verdict == "degraded"


def test_what_is_registered_and_checked_during_a_round_keeps_its_verdict(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    place.register()
    place.world.add_version("new", {"accuracy": 0.5})
    checker, _ = place.checker()
    read = place.gateway.readable_evidence
    runs: list[str] = []

    def slow(*args: object, **more: object) -> object:
        found = read(*args, **more)  # type: ignore[arg-type]
        if not runs:
            runs.append(place.writer.register("new", "1", "classifier", "ada", LOW).monitor_run_id)
            checker.start()
            checker.check_soon("new", 1)
            until(lambda: runs[0] in place.agent.stores.checks.all())
            checker.stop()
        return found

    monkeypatch.setattr(place.gateway, "readable_evidence", slow)
    checker.round()
    assert place.agent.stores.checks.all()[runs[0]].verdict == "degraded"
    place.writer.remove("new", "1", "ada")
    checker.round()
    assert runs[0] not in place.agent.stores.checks.all()


def test_with_mlflow_down_in_mid_round_the_next_round_finishes(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    run = place.register()
    checker, announcer = place.checker("slack")
    with monkeypatch.context() as patch:

        def down(*_: object) -> None:
            raise MlflowUnavailable("MLflow is down.")

        patch.setattr(place.gateway, "write_verdict", down)
        checker.round()
    assert announcer.owed == []
    checker.round()
    assert [v.verdict for v in place.world.verdicts[run]] == ["degraded"]
    assert len(announcer.owed) == 1


@pytest.fixture
def fleet(place: Place) -> list[str]:
    """The monitor runs of twelve versions of accuracy 0.5 that were checked once."""
    for number in range(12):
        place.world.add_version(f"model {number}", {"accuracy": 0.5})
    settings = {"limits": {"accuracy": {"min": 0.4}}}
    return [
        place.writer.register(f"model {number}", "1", "classifier", "ada", settings).monitor_run_id
        for number in range(12)
    ]


def shown(place: Place) -> list[str]:
    checks = place.agent.stores.checks.all()
    return [checks[run].verdict for run in place.world.registrations]


def fall(place: Place) -> None:
    for number in range(12):
        place.world.log_metric(place.world.run_of(f"model {number}", 1), "accuracy", 0.1, place.world.tick())


def test_versions_whose_evidence_cannot_be_read_keep_their_verdicts_and_the_others_are_judged(
    place: Place, fleet: list[str]
) -> None:
    checker, _ = place.checker()
    checker.round()
    fall(place)
    bad = {("model 0", 1), ("model 7", 1)}
    place.gateway.unread_versions = {key: MlflowUnavailable("MLflow failed.") for key in bad}
    checker.round()
    expected = ["healthy" if (f"model {n}", 1) in bad else "degraded" for n in range(12)]
    assert shown(place) == expected
    assert [place.world.verdicts[run][-1].verdict for run in fleet] == expected
    assert "model 0 v1 and 1 more could not be checked" in place.provided.cache.get("last-checks")["error"]
    place.gateway.unread_versions = {}
    checker.round()
    assert shown(place) == ["degraded"] * 12


def test_a_part_of_a_long_round_that_cannot_be_read_takes_nothing_from_the_parts_before_and_after(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(250):
        place.world.add_version(f"model {number:03}", {"accuracy": 0.5})
        place.writer.register(f"model {number:03}", "1", "classifier", "ada", LOW)
    checker, _ = place.checker()
    read = place.gateway.readable_evidence

    def failing(rows: Sequence[ModelVersion], *more: Any) -> object:
        if any(row.name == "model 150" for row in rows):
            raise MlflowUnavailable("MLflow failed.")
        return read(rows, *more)

    with monkeypatch.context() as patch:
        patch.setattr(place.gateway, "readable_evidence", failing)
        checker.round()
    assert sorted(place.agent.stores.checks.all()) == sorted(
        run for run, verdicts in place.world.verdicts.items() if verdicts
    )
    assert len(place.agent.stores.checks.all()) == 150
    assert "and 99 more could not be checked" in place.provided.cache.get("last-checks")["error"]
    checker.round()
    assert shown(place) == ["degraded"] * 250


@pytest.mark.parametrize("failure", [MlflowUnavailable("MLflow failed."), LockTimeout("Another process writes.")])
def test_a_verdict_that_cannot_be_written_does_not_end_the_round_for_the_others(
    place: Place, fleet: list[str], monkeypatch: pytest.MonkeyPatch, failure: TowerError
) -> None:
    checker, _ = place.checker()
    checker.round()
    fall(place)
    write = place.gateway.write_verdict

    def failing(run_id: str, *more: Any) -> None:
        if run_id == fleet[3]:
            raise failure
        write(run_id, *more)

    with monkeypatch.context() as patch:
        patch.setattr(place.gateway, "write_verdict", failing)
        checker.round()
    assert shown(place) == ["degraded"] * 3 + ["healthy"] + ["degraded"] * 8
    checker.round()
    assert shown(place) == ["degraded"] * 12


def test_that_somebody_was_told_is_noted_of_all_versions_but_those_where_it_fails(
    place: Place, fleet: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    checker, announcer = place.checker("slack")
    checker.round()
    mark = place.gateway.mark_notified

    def failing(run_id: str, notified: Any) -> None:
        if run_id == fleet[0]:
            raise MlflowUnavailable("MLflow failed.")
        mark(run_id, notified)

    monkeypatch.setattr(place.gateway, "mark_notified", failing)
    before = dict(place.world.notified[fleet[0]])
    with pytest.raises(MlflowUnavailable):
        place.writer.mark_notified("slack", announcer.changes)
    assert place.world.notified[fleet[0]] == before
    assert all(place.world.notified[run]["slack"] == place.world.verdicts[run][-1].at for run in fleet[1:])


def test_what_was_removed_while_it_was_judged_gets_no_verdict_any_more(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = place.register()
    checker, announcer = place.checker("slack")
    read = place.gateway.readable_evidence

    def removing(*args: object, **more: object) -> object:
        place.writer.remove("m", "1", "ada")
        return read(*args, **more)  # type: ignore[arg-type]

    monkeypatch.setattr(place.gateway, "readable_evidence", removing)
    checker.round()
    assert run not in place.world.verdicts
    assert announcer.owed == []


def test_one_process_checks_at_a_time(place: Place) -> None:
    run = place.register()
    checker, _ = place.checker()
    with place.locks.hold("checks", 0):
        checker.round()
    assert run not in place.world.verdicts


def test_a_version_that_is_gone_or_made_anew_is_not_judged(place: Place) -> None:
    run = place.register()
    place.world.registrations[run] = replace(place.world.registrations[run], version_created=5)
    place.checker()[0].round()
    assert run not in place.world.verdicts


def test_another_version_as_the_baseline_is_read_too(place: Place) -> None:
    for n in range(12):
        place.world.log_metric(place.world.run_of("m", 1), "f1", 0.9 + n / 1000, n)
    place.world.add_version("m", {})
    second = place.world.run_of("m", 2)
    for n in range(3):
        place.world.log_metric(second, "f1", 0.5, n)
    made = place.writer.register("m", "2", "classifier", "ada", {"baseline": {"version": "1"}})
    place.checker()[0].round()
    assert place.world.verdicts[made.monitor_run_id][-1].verdict == "drifting"
