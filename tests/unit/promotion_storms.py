"""Storms: random proposals, approvals, rollbacks and moves by others, in which the process is killed anywhere.

Somebody also turns the clock.
"""

import itertools
from collections.abc import Callable
from pathlib import Path
from typing import Any

from hypothesis.stateful import RuleBasedStateMachine, invariant, rule
from hypothesis.strategies import sampled_from

from app.domain.errors import Conflict
from app.domain.promotion.promotions import DONE, WAITING
from tests.fakes.memory_mlflow import MemoryGateway
from tests.unit.machines import try_machine
from tests.unit.promoters import STEPS, Killed, Promoter


class Storm(RuleBasedStateMachine):
    """Proposals, approvals, rollbacks and moves by others, killed anywhere."""

    directory: Path
    gateway_of: Callable[[], Any]
    places = itertools.count()

    def __init__(self) -> None:
        super().__init__()
        self.host = Promoter(self.directory / str(next(self.places)), type(self).gateway_of())
        for _ in range(3):
            self.host.gateway.world.add_version("m")
        self.host.look()

    @rule(version=sampled_from([1, 2, 3]))
    def propose(self, version: int) -> None:
        self._try(lambda: self.host.propose(version))

    @rule(which=sampled_from([0, 1, 2]))
    def approve(self, which: int) -> None:
        waiting = [one for one in self.host.promotions if one.state == WAITING]
        if which < len(waiting):
            self._try(lambda: self.host.desk.approve("m", waiting[which].run_id, "bob", ""))

    @rule()
    def roll_back(self) -> None:
        self._try(lambda: self.host.roll_back(self.host.champion or 9))

    @rule(step=sampled_from(STEPS))
    def kill_at_the_next(self, step: str) -> None:
        self.host.kill_at = step

    @rule(version=sampled_from([1, 2, 3]))
    def move_outside(self, version: int) -> None:
        if self.host.champion != version:
            self.host.gateway.world.set_alias("m", "champion", version)
            self.host.look()

    @rule(minutes=sampled_from([-120, -1, 1, 120]))
    def turn_clock(self, minutes: int) -> None:
        self.host.behind_ms += minutes * 60_000

    @rule()
    def look(self) -> None:
        self.host.look()

    @rule()
    def tick(self) -> None:
        self._try(self.host.desk.tick)

    def _try(self, work: object) -> None:
        try:
            work()  # type: ignore[operator]
        except Conflict:
            pass
        except Killed:
            self.host.start()

    @invariant()
    def what_is_done_is_recorded_and_what_is_not_done_is_not(self) -> None:
        self.host.kill_at, kill_at = None, self.host.kill_at
        self.host.desk.tick()
        self.host.kill_at = kill_at
        done = [one for one in self.host.promotions if one.state == DONE]
        recorded = self.host.tower_changes()
        assert len(recorded) == len(done) == self.host.gateway.calls.count("set_alias")
        assert not [one for one in self.host.promotions if one.is_open and one.state != WAITING]
        last = [change.new for change in self.host.changes() if change.subject == "alias champion"]
        assert (last[-1] if last else None) == self.host.champion


def try_storms(directory: Path, examples: int, gateway_of: Callable[[], Any] = MemoryGateway, steps: int = 12) -> None:
    """Let some storms rage."""
    Storm.directory = directory
    Storm.gateway_of = staticmethod(gateway_of)
    try_machine(Storm, examples, steps)
