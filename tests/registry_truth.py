"""A script that moves the registry of a real MLflow and writes down the truth, which the history is compared with.

Half of what it does goes over MLflow's own API, and the other half through the tower.
"""

import random
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any
from urllib.parse import quote

from mlflow import MlflowClient

from app.domain.times import parse_rfc3339, rfc3339
from tests.servers import Tower, until

BURST = 12
ACTOR = "robot"
"""The name of the access key with which the script asks the tower."""
ALIASES = ("blue", "3", "history")
STAGES = ("Staging", "Production", "Archived", "None")
Shape = tuple[dict[str, str], dict[str, str]]
"""The stages of a model's versions, and its aliases."""
Row = tuple[str, str, str | None, str | None, str | None]
"""Of a row of the history: the kind, the model, the version or alias, what was, and what is."""


def now() -> int:
    return time.time_ns() // 1_000_000


@dataclass(frozen=True)
class Move:
    """A move that MLflow made between two times, in milliseconds, and the row of the history that it must lead to.

    The interval of the row begins after `since`, and ends before `until`: that is the look that saw it, or the request
    to the tower that asked for it. `until` is None for the look that ends the burst. `shapes` is what was there then.
    """

    began: int
    ended: int
    row: Row
    since: int
    until: int | None
    actor: str | None
    shapes: dict[str, Shape]


@dataclass
class Script:
    """Moves some registered models, a burst at a time. What others move is not moved again before the tower has looked.

    The tower may move it at any time.
    """

    client: MlflowClient
    running: Tower | None = None
    chance: random.Random = field(default_factory=lambda: random.Random(15))
    moves: list[Move] = field(default_factory=list)
    # After each burst: since when the tower began a look, and when that was recorded.
    looks: list[tuple[int, int]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.prefix = f"moved {uuid.uuid4().hex[:6]} "
        self.models: dict[str, Shape] = {}
        self.moved: set[tuple[str, str]] = set()
        self.numbers = iter(range(10_000))
        for _ in range(3):
            self.make()

    def name(self) -> str:
        return f"{self.prefix}{next(self.numbers)} é%2F.."

    def make(self) -> str:
        """A model with four versions."""
        name = self.name()
        self.client.create_registered_model(name)
        self.models[name] = (
            {str(self.client.create_model_version(name, "mem:/x").version): "None" for _ in range(4)},
            {},
        )
        return name

    def burst(self) -> None:
        """Some moves at once."""
        self.moved = set()
        aim = len(self.moves) + BURST
        for _ in range(BURST * 20):
            if len(self.moves) >= aim:
                break
            self.move(self.chance.choice(sorted(self.models)))

    def move(self, name: str) -> None:
        if (name, "model") in self.moved:
            return
        through_tower = sum(move.actor is not None for move in self.moves)
        if through_tower * 2 <= len(self.moves):
            ways = [self.promote_alias] * 4 + [self.promote_stage] * 2 + [self.roll_back_alias] * 2
            self.chance.choice([*ways, self.roll_back_stage])(name)
            return
        kinds = [self.move_alias] * 4 + [self.move_stage] * 3 + [self.add_version]
        self.chance.choice([*kinds, self.delete_version, self.rename, self.replace])(name)

    def move_alias(self, name: str) -> None:
        stages, aliases = self.models[name]
        alias = self.chance.choice(ALIASES)
        old, new = aliases.get(alias), self.chance.choice([*stages, None])
        if old != new and self.may(name, alias):
            with self.moving("alias", name, alias, old, new):
                if new is None:
                    self.client.delete_registered_model_alias(name, alias)
                    del aliases[alias]
                else:
                    self.client.set_registered_model_alias(name, alias, new)
                    aliases[alias] = new

    def move_stage(self, name: str) -> None:
        stages, _ = self.models[name]
        version, stage = self.chance.choice(sorted(stages)), self.chance.choice(STAGES)
        old = stages[version]
        if old != stage and self.may(name, version):
            with self.moving("stage", name, version, old, stage):
                self.client.transition_model_version_stage(name, version, stage)
                stages[version] = stage

    def promote_alias(self, name: str) -> None:
        stages, aliases = self.models[name]
        alias, new = self.chance.choice(ALIASES), self.chance.choice(sorted(stages))
        if aliases.get(alias) != new:
            wanted = {"alias": alias, "version": new, "reason": "It is wanted.", "override": True}
            self.ask_tower(name, "promotions", wanted)

    def promote_stage(self, name: str) -> None:
        stages, _ = self.models[name]
        stage, new = self.chance.choice(STAGES[:2]), self.chance.choice(sorted(stages))
        if [version for version, of in stages.items() if of == stage] != [new]:
            wanted = {"stage": stage, "version": new, "reason": "It is wanted.", "override": True}
            self.ask_tower(name, "promotions", wanted)

    def roll_back_alias(self, name: str) -> None:
        _, aliases = self.models[name]
        if aliases:
            alias = self.chance.choice(sorted(aliases))
            self.ask_tower(name, "rollback", {"alias": alias, "from": aliases[alias]})

    def roll_back_stage(self, name: str) -> None:
        stages, _ = self.models[name]
        stage = self.chance.choice(STAGES[:2])
        held = [version for version, of in stages.items() if of == stage]
        if len(held) == 1:
            self.ask_tower(name, "rollback", {"stage": stage, "from": held[0]})

    def ask_tower(self, name: str, what: str, wanted: dict[str, Any]) -> None:
        """Have the tower move something, which it does at once. A way back that it does not know moves nothing."""
        assert self.running
        began = now()
        answer = self.running.post(f"/model/{quote(name, safe='')}/{what}", json=wanted)
        ended = now()
        if what == "rollback" and answer.status_code == 409:
            return
        done = answer.json()
        assert (answer.status_code, done["state"]) == (201, "done"), answer.text
        stages, aliases = self.models[name]
        version, rows = done["version"], list[Row]()
        if alias := wanted.get("alias"):
            rows.append(("alias", name, alias, aliases.get(alias), version))
            aliases[alias] = version
        else:
            stage = wanted["stage"]
            left = [other for other, of in stages.items() if of == stage and other != version]
            rows += [("stage", name, other, stage, "Archived") for other in left]
            rows += [("stage", name, version, stages[version], stage)] if stages[version] != stage else []
            stages |= dict.fromkeys(left, "Archived") | {version: stage}
        for row in rows:
            self.note(began, ended, row, began, ended, ACTOR)
            # Nothing of it is left to be seen. What happens to the model itself waits for the look.
            self.moved.discard((name, str(row[2])))
        self.moved.add((name, "through the tower"))

    def add_version(self, name: str) -> None:
        version = str(max(map(int, self.models[name][0])) + 1)
        if self.may(name, version):
            with self.moving("created", name, version):
                self.client.create_model_version(name, "mem:/x")
                self.models[name][0][version] = "None"

    def delete_version(self, name: str) -> None:
        stages, aliases = self.models[name]
        version = self.chance.choice(sorted(stages))
        is_newest = version == max(stages, key=int)
        # A deletion takes the aliases with it, and would hide what was moved before.
        if not is_newest and version not in aliases.values() and self.is_still(name) and self.may(name, version):
            with self.moving("deleted", name, version):
                self.client.delete_model_version(name, version)
                del stages[version]

    def rename(self, name: str) -> None:
        if self.is_still(name):
            new = self.name()
            self.moved |= {(name, "model"), (new, "model")}
            with self.moving("renamed", new, None, name, new):
                self.client.rename_registered_model(name, new)
                self.models[new] = self.models.pop(name)

    def replace(self, name: str) -> None:
        """Delete a model, and make another."""
        if self.is_still(name):
            new = self.name()
            self.moved |= {(name, "model"), (new, "model")}
            with self.moving("deleted", name, None, name):
                self.client.delete_registered_model(name)
                del self.models[name]
            with self.moving("created", new):
                self.client.create_registered_model(new)
                self.models[new] = {}, {}
            with self.moving("created", new, "1"):
                self.client.create_model_version(new, "mem:/x")
                self.models[new] = {"1": "None"}, {}

    def may(self, name: str, what: str) -> bool:
        """Whether this was not moved yet in this burst."""
        is_new = (name, what) not in self.moved
        self.moved.add((name, what))
        return is_new

    def is_still(self, name: str) -> bool:
        """Whether nothing of a model was moved yet in this burst."""
        return not any(of == name for of, _ in self.moved)

    @contextmanager
    def moving(
        self, kind: str, name: str, what: str | None = None, old: str | None = None, new: str | None = None
    ) -> Iterator[None]:
        began = now()
        yield
        self.note(began, now(), (kind, name, what, old, new), self.looks[-1][0], None, None)

    def note(self, began: int, ended: int, row: Row, since: int, until: int | None, actor: str | None) -> None:
        """Write down a move, and what is there after it."""
        shapes = {model: (dict(stages), dict(aliases)) for model, (stages, aliases) in self.models.items()}
        self.moves.append(Move(began, ended, row, since, until, actor, shapes))

    def await_look(self) -> None:
        """Wait until all that happened so far is recorded."""
        since, running = now(), self.running
        assert running

        def is_recorded() -> bool:
            as_of = running.get("/history?page_size=1").headers.get("X-Data-As-Of")
            return as_of is not None and _ms(as_of) > since

        until(is_recorded, "a look at the registry")
        self.looks.append((since, now()))

    def check_rows(self) -> None:
        """Every move is a row of the history, whose interval holds the true time and no look besides."""
        rows = self.rows()
        for move in self.moves:
            recorded = next(end for since, end in self.looks if since >= move.ended)
            fitting = [row for row in rows if _is_of(row, move) and _holds(row, move)]
            assert len(fitting) == 1, (move.row, [row for row in rows if _is_of(row, move)])
            assert _ms(fitting[0]["not_before"]) >= move.since, (move, fitting)
            assert _ms(fitting[0]["not_after"]) <= (move.until or recorded), (move, fitting)
            assert fitting[0]["actor"] == move.actor, (move, fitting)
            assert (fitting[0]["through"] == "tower") == (move.actor is not None), (move, fitting)
        assert len(rows) == len(self.moves), [row for row in rows if not any(_is_of(row, move) for move in self.moves)]

    def rows(self) -> list[dict[str, Any]]:
        assert self.running
        rows: list[dict[str, Any]] = []
        page = 1
        while True:
            more = self.running.get(f"/history?page_size=100&page={page}").json()
            rows += [row for row in more if row["model_name"].startswith(self.prefix)]
            if len(more) < 100:
                return rows
            page += 1

    def check_moments(self) -> int:
        """Compare the states with the truth between any two moves. Returns how many are said to be known."""
        known = 0
        names = sorted({name for move in self.moves for name in move.shapes})
        for move, after in pairwise(self.moves):
            ended = after.began
            # Between bursts there is time for looks: something is known only in a part of it.
            many = 3 if ended - move.ended > 500 else 1
            for number in range(1, many + 1):
                at = move.ended + (ended - move.ended) * number // (many + 1)
                if move.ended < at < ended:
                    # What is there, and one name that was there once, or comes later.
                    asked = dict.fromkeys([*move.shapes, names[at % len(names)]])
                    known += sum(self.check(name, at, move.shapes) for name in asked)
        return known

    def check(self, name: str, at: int, shapes: dict[str, Shape]) -> bool:
        assert self.running
        answer = self.running.get(f"/model/{quote(name, safe='')}/state?at={rfc3339(at)}")
        found = answer.json()
        if not found["known"]:
            # On a busy machine the tower may look too late.
            assert found["why"] in ("between_looks", "not_looked"), found
            assert _ms(found["not_before"]) < at < _ms(found["not_after"]), found
            return False
        if found["exists"] and found["name_then"] == name:
            stages = {row["version"]: row["stage"] for row in found["versions"]}
            assert shapes.get(name) == (stages, found["aliases"]), (name, at, found)
        else:
            assert name not in shapes, (name, at, found)
        return True


def _is_of(row: dict[str, Any], move: Move) -> bool:
    kind, name, what, old, new = move.row
    is_same = (row["kind"], row["model_name"], row["alias"] or row["version"]) == (kind, name, what)
    return is_same and (kind in ("created", "deleted") or (row["from"], row["to"]) == (old, new))


def _holds(row: dict[str, Any], move: Move) -> bool:
    return _ms(row["not_before"]) <= move.ended and _ms(row["not_after"]) >= move.began


def _ms(text: str) -> int:
    """Milliseconds: as texts, times with a fraction and times without one have another order."""
    return parse_rfc3339(text, "time")
