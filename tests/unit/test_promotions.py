"""Promotions: moved once or not at all, and recorded, wherever the process ends and whatever else moves."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from unittest.mock import ANY

import pytest

from app.domain.errors import Conflict, Forbidden, MlflowRefused, MlflowTooSlow, MlflowUnavailable
from app.domain.promotion.promotions import ALIAS, DONE, EXPIRED, MOVING, STAGE, TAKEN_BACK, WAITING, Promotion, Wanted
from app.domain.times import HOUR_MS
from app.services.promotion.desk import PromotionDesk
from tests.fakes.memory_mlflow import MemoryGateway
from tests.unit.promoters import STEPS, Promoter
from tests.unit.promotion_storms import try_storms


@pytest.fixture
def host(tmp_path: Path) -> Promoter:
    """Version 1 of `m` is the champion and in Production; versions 2 and 3 want to be."""
    made = Promoter(tmp_path, MemoryGateway())
    for _ in range(3):
        made.gateway.world.add_version("m")
    made.gateway.world.set_alias("m", "champion", 1)
    made.gateway.world.set_stage("m", 1, "Production")
    made.look()
    return made


def moves(host: Promoter) -> int:
    return host.gateway.calls.count("set_alias") + host.gateway.calls.count("move_to_stage")


def test_a_proposal_moves_nothing_until_somebody_else_approves(host: Promoter) -> None:
    waiting = host.propose()
    assert (waiting.state, host.champion) == (WAITING, 1)
    with pytest.raises(Forbidden):
        host.desk.approve("m", waiting.run_id, "ada", "")
    done = host.desk.approve("m", waiting.run_id, "bob", "seen")
    assert (done.state, done.actor, host.champion) == (DONE, "bob", 2)
    assert host.tower_changes() == [("alias champion", 1, 2, "bob")]
    with pytest.raises(Conflict):
        host.desk.approve("m", waiting.run_id, "eve", "")
    assert moves(host) == 1


def test_a_stage_is_moved_and_the_old_version_archived_at_once(host: Promoter) -> None:
    waiting = host.propose(kind=STAGE, place="Production")
    host.desk.approve("m", waiting.run_id, "bob", "")
    assert host.stages() == {1: "Archived", 2: "Production", 3: "None"}
    assert [(subject, new[1], actor) for subject, _, new, actor in host.tower_changes()] == [  # type: ignore[index]
        ("version 1", "Archived", "bob"),
        ("version 2", "Production", "bob"),
    ]


def test_all_who_have_to_approve_are_waited_for_and_nobody_counts_twice(host: Promoter) -> None:
    host.approvals = 2
    host.start()
    waiting = host.propose()
    assert host.desk.approve("m", waiting.run_id, "bob", "").state == WAITING
    with pytest.raises(Conflict):
        host.desk.approve("m", waiting.run_id, "bob", "")
    assert host.desk.approve("m", waiting.run_id, "eve", "").state == DONE


def test_the_same_proposal_again_is_the_one_that_waits(host: Promoter) -> None:
    assert host.propose().run_id == host.propose().run_id
    assert host.propose(version=3).run_id != host.propose().run_id


@pytest.mark.parametrize(
    "change",
    ["another version took the alias", "deleted", "made again", "old evidence", "expired"],
)
def test_the_world_moves_while_a_proposal_waits_and_the_approval_is_refused_with_the_reason(
    host: Promoter, change: str
) -> None:
    waiting, world = host.propose(), host.gateway.world
    if change == "another version took the alias":
        world.set_alias("m", "champion", 3)
    elif change == "deleted":
        world.delete_version("m", 2)
    elif change == "made again":
        world.delete_model("m")
        for _ in range(3):
            world.add_version("m")
    else:
        world.now += 25 * 3_600_000 if change == "old evidence" else 169 * 3_600_000
    before = world.models["m"].aliases
    with pytest.raises(Conflict) as refused:
        host.desk.approve("m", waiting.run_id, "bob", "")
    reason = {
        "another version took the alias": "By now version 3",
        "deleted": "no longer exists",
        "made again": "made again",
        "old evidence": "PROMOTION_EVIDENCE_HOURS",
        "expired": "expired",
    }[change]
    assert reason in refused.value.detail
    assert world.models["m"].aliases == before
    assert moves(host) == 0


@pytest.mark.parametrize("kind", [ALIAS, STAGE])
def test_a_version_that_was_rolled_back_does_not_come_back_by_a_proposal_from_before(host: Promoter, kind: str) -> None:
    place = "champion" if kind == ALIAS else "Production"
    first, second = (host.propose(kind=kind, place=place, metrics=(metric,)) for metric in ("a", "b"))
    host.desk.approve("m", first.run_id, "bob", "")
    host.roll_back(2, kind, place)
    with pytest.raises(Conflict, match=r"Version 2 had .* and bob rolled it back: it fails"):
        host.desk.approve("m", second.run_id, "eve", "")
    assert moves(host) == 2
    # With new evidence it may be tried again.
    again = host.propose(kind=kind, place=place, metrics=("b",))
    assert again.run_id != second.run_id
    assert host.desk.approve("m", again.run_id, "eve", "").state == DONE


@pytest.mark.parametrize("is_written", [True, False])
@pytest.mark.parametrize("kind", [ALIAS, STAGE])
def test_a_place_that_was_moved_there_and_back_outside_is_not_as_it_was(
    host: Promoter, kind: str, is_written: bool
) -> None:
    world = host.gateway.world

    def move(version: int) -> None:
        if kind == ALIAS:
            world.set_alias("m", "champion", version)
        else:
            world.set_stage("m", host.in_production[0], "Archived")
            world.set_stage("m", version, "Production")
        if is_written:
            host.look()

    # No look has seen this move when it is proposed: what a look finds of it later is no move since.
    move(3)
    waiting = host.propose(kind=kind, place="champion" if kind == ALIAS else "Production")
    host.look()
    known = host.propose(kind=kind, place="champion" if kind == ALIAS else "Production")
    assert known.run_id == waiting.run_id
    for version in (1, 3):
        move(version)
        host.look()
    with pytest.raises(Conflict, match="was moved, and moved back"):
        host.desk.approve("m", waiting.run_id, "bob", "")
    assert moves(host) == 0


def test_a_proposal_that_nobody_decides_expires(host: Promoter) -> None:
    host.propose()
    host.desk.tick()
    assert host.promotions[0].state == WAITING
    host.gateway.world.now += 169 * 3_600_000
    host.desk.tick()
    (expired,) = host.promotions
    assert (expired.state, expired.is_open) == (EXPIRED, False)


@pytest.mark.parametrize(("kind", "place"), [(ALIAS, "champion"), (ALIAS, "new"), (STAGE, "Production")])
@pytest.mark.parametrize("step", STEPS)
def test_whatever_step_is_the_last_of_a_process_the_next_one_finishes_it(
    host: Promoter, step: str, kind: str, place: str
) -> None:
    if step == "proposed":
        host.killed_at(step, lambda: host.propose(kind=kind, place=place))
    else:
        waiting = host.propose(kind=kind, place=place)
        host.killed_at(step, lambda: host.desk.approve("m", waiting.run_id, "bob", ""))
    for _ in range(2):
        host.desk.tick()
        host.look()
    (promotion,) = host.promotions
    if step == "proposed":
        assert (promotion.state, moves(host)) == (WAITING, 0)
        return
    assert (promotion.state, promotion.is_open, moves(host)) == (DONE, False, 1)
    assert {actor for *_, actor in host.tower_changes()} == {"bob"}
    if kind == ALIAS:
        assert host.gateway.world.models["m"].aliases[place] == 2
        assert [c for c in host.changes() if c.subject == f"alias {place}" and c.through != "tower"] == []
    else:
        assert host.stages() == {1: "Archived", 2: "Production", 3: "None"}


@pytest.mark.parametrize("step", ["proposed", "begun", "written", "moved", "recorded", "ended"])
def test_a_rollback_that_is_killed_is_finished_once(host: Promoter, step: str) -> None:
    host.desk.approve("m", host.propose().run_id, "bob", "")
    host.killed_at(step, lambda: host.roll_back(2))
    host.desk.tick()
    assert (host.champion, host.promotions[0].state) == (1, DONE)
    with pytest.raises(Conflict):
        host.roll_back(2)
    assert host.tower_changes()[-1] == ("alias champion", 2, 1, "bob")


def test_a_clock_that_is_turned_back_hides_nothing_of_what_was_moved_and_who_moved_it(host: Promoter) -> None:
    world = host.gateway.world
    world.now += HOUR_MS
    for version in (2, 1):
        host.desk.approve("m", host.propose(version=version).run_id, "bob", "")
    world.now -= 3 * HOUR_MS
    other = host.propose(version=3)
    world.now -= 3 * HOUR_MS
    again = host.propose()
    host.killed_at("begun", lambda: host.desk.approve("m", again.run_id, "eve", ""))
    assert host.champion == 1
    host.desk.tick()
    assert host.champion == 2
    host.roll_back(2)
    with pytest.raises(Conflict, match="moved back"):
        host.desk.approve("m", other.run_id, "eve", "")
    moves = [(1, 2, "bob"), (2, 1, "bob"), (1, 2, "eve"), (2, 1, "bob")]
    assert host.tower_changes() == [("alias champion", *move) for move in moves]
    assert all(change.not_before <= change.not_after for change in host.changes())


def test_what_was_begun_is_taken_back_if_somebody_else_moved_the_alias_meanwhile(host: Promoter) -> None:
    waiting = host.propose()
    host.killed_at("begun", lambda: host.desk.approve("m", waiting.run_id, "bob", ""))
    host.gateway.world.set_alias("m", "champion", 3)
    host.desk.tick()
    (promotion,) = host.promotions
    assert (promotion.state, host.champion, promotion.is_open) == (TAKEN_BACK, 3, False)


def test_what_somebody_undid_after_the_move_is_not_moved_again(host: Promoter) -> None:
    waiting = host.propose()
    host.killed_at("written", lambda: host.desk.approve("m", waiting.run_id, "bob", ""))
    host.look()
    host.gateway.world.set_alias("m", "champion", 1)
    host.look()
    host.desk.tick()
    assert (host.promotions[0].state, host.champion, moves(host)) == (DONE, 1, 1)
    assert host.tower_changes() == [("alias champion", 1, 2, "bob")]


def test_a_version_that_shares_a_stage_gets_it_alone_and_only_who_leaves_is_recorded(host: Promoter) -> None:
    host.gateway.world.set_stage("m", 2, "Production")
    host.look()
    host.desk.approve("m", host.propose(kind=STAGE, place="Production").run_id, "bob", "")
    host.look()
    assert host.stages() == {1: "Archived", 2: "Production", 3: "None"}
    assert [(subject, actor) for subject, *_, actor in host.tower_changes()] == [("version 1", "bob")]


def test_what_others_did_unseen_before_the_move_is_recorded_first_with_an_interval_that_holds_its_time(
    host: Promoter,
) -> None:
    world = host.gateway.world
    began = world.tick()
    world.set_alias("m", "blue", 3)
    world.add_version("m", stage="Staging")
    ended = world.tick()
    host.desk.approve("m", host.propose(place="blue").run_id, "bob", "")
    host.desk.approve("m", host.propose(4, kind=STAGE, place="Production").run_id, "bob", "")
    host.look()
    assert [(c.subject, c.new, c.actor) for c in host.changes() if c.subject in ("alias blue", "version 4")] == [
        ("alias blue", 3, None),
        ("alias blue", 2, "bob"),
        ("version 4", [ANY, "None"], None),
        ("version 4", [ANY, "Staging"], None),
        ("version 4", [ANY, "Production"], "bob"),
    ]
    unseen = [c for c in host.changes() if c.actor is None and c.subject in ("alias blue", "version 4")]
    assert all(change.not_before <= ended <= change.not_after for change in unseen)
    # MLflow says when a version was made, and nothing of an alias.
    assert [change.not_before <= began for change in unseen] == [True, False, False]


@pytest.mark.parametrize("is_before", [True, False])
def test_what_somebody_else_sets_in_the_same_moment_comes_before_or_after_as_it_was(
    host: Promoter, is_before: bool
) -> None:
    waiting = host.propose()
    host.killed_at("begun" if is_before else "written", lambda: host.desk.approve("m", waiting.run_id, "bob", ""))
    host.gateway.world.set_alias("m", "champion", 3)
    host.look()
    if is_before:
        # The request that was under way still arrives.
        host.gateway.set_alias("m", "champion", 2)
        host.desk.tick()
    else:
        # The service has its answer still.
        host.recorder.record_moves("m", waiting.proposal.model_created, [("alias champion", 1, 2)], {}, "bob",
                                   waiting.proposal.at, host.gateway.world.tick())  # fmt: skip
    host.look()
    moved = [(c.old, c.new, c.actor) for c in host.changes() if c.subject == "alias champion"]
    assert moved == ([(1, 3, None), (3, 2, "bob")] if is_before else [(1, 2, "bob"), (2, 3, None)])


def test_what_mlflow_refuses_is_taken_back(host: Promoter) -> None:
    host.gateway.refusals = {"set_alias": {("m", "champion"): MlflowRefused("No.")}}
    waiting = host.propose()
    with pytest.raises(Conflict, match=r"No\."):
        host.desk.approve("m", waiting.run_id, "bob", "")
    assert (host.promotions[0].state, host.promotions[0].is_open) == (TAKEN_BACK, False)


def test_what_mlflow_did_not_answer_is_finished_later_and_taken_back_after_ten_minutes(host: Promoter) -> None:
    waiting = host.propose()
    host.gateway.refusals = {"set_alias": {("m", "champion"): MlflowTooSlow("Slow.")}}
    with pytest.raises(MlflowTooSlow):
        host.desk.approve("m", waiting.run_id, "bob", "")
    host.desk.tick()
    assert host.promotions[0].is_open
    host.gateway.world.now += 601_000
    host.desk.tick()
    assert (host.promotions[0].state, host.champion) == (TAKEN_BACK, 1)


def test_what_only_seemed_to_be_moved_is_not_called_done(host: Promoter, monkeypatch: pytest.MonkeyPatch) -> None:
    """What stands between answers for MLflow."""
    waiting = host.propose()
    with monkeypatch.context() as between:
        between.setattr(host.gateway, "set_alias", lambda *_: None)
        with pytest.raises(MlflowUnavailable, match="does not show it"):
            host.desk.approve("m", waiting.run_id, "bob", "")
        host.desk.tick()
        assert ([one.state for one in host.promotions], host.tower_changes()) == ([MOVING], [])
    host.desk.tick()
    assert (host.promotions[0].state, host.champion) == (DONE, 2)
    assert host.tower_changes() == [("alias champion", 1, 2, "bob")]


def test_back_to_the_version_before_and_further_back(host: Promoter) -> None:
    for version in (2, 3):
        host.desk.approve("m", host.propose(version).run_id, "bob", "")
    assert host.roll_back(3).proposal.version.version == 2
    assert host.roll_back(2).proposal.version.version == 1
    with pytest.raises(Conflict, match="No other version"):
        host.roll_back(1)
    with pytest.raises(Conflict, match="Version 3 had the alias champion, and then version 1 came back"):
        host.roll_back(1, to="3")
    with pytest.raises(Conflict, match="Version 1 has the alias champion already"):
        host.roll_back(1, to="1")
    host.gateway.world.add_version("m")
    with pytest.raises(Conflict, match="Version 4 is not known to have had the alias champion"):
        host.roll_back(1, to="4")


@pytest.mark.parametrize(("is_made_again", "became"), [(False, "was deleted"), (True, "was deleted and made again")])
def test_a_deleted_version_is_not_gone_back_to_and_the_next_one_is_named(
    host: Promoter, is_made_again: bool, became: str
) -> None:
    world = host.gateway.world
    for version in (2, 3):
        host.desk.approve("m", host.propose(version).run_id, "bob", "")
    row = world.versions["m", 2]
    world.delete_version("m", 2)
    if is_made_again:
        # As in stores that give a number again.
        world.versions["m", 2] = replace(row, created=world.tick())
    with pytest.raises(Conflict, match=rf"Version 2, which was there before, {became}\. .*\"to\": \"1\""):
        host.roll_back(3)
    with pytest.raises(Conflict, match=became):
        host.roll_back(3, to="2")
    assert moves(host) == 2
    assert host.roll_back(3, to="1").proposal.version.version == 1


def test_a_stage_goes_back_too(host: Promoter) -> None:
    host.desk.approve("m", host.propose(kind=STAGE, place="Production").run_id, "bob", "")
    host.roll_back(2, kind=STAGE, place="Production")
    assert host.stages() == {1: "Production", 2: "Archived", 3: "None"}


def test_storms_leave_nothing_half_done(tmp_path: Path) -> None:
    try_storms(tmp_path, 4)


def test_two_hosts_that_finish_the_same_thing_move_it_once(host: Promoter, tmp_path: Path) -> None:
    waiting = host.propose()
    host.killed_at("begun", lambda: host.desk.approve("m", waiting.run_id, "bob", ""))
    other = Promoter(tmp_path / "other", host.gateway)
    other.look()
    for each in (host, other):
        each.desk.tick()
    host.look()
    assert moves(host) == 1
    assert host.tower_changes() == [("alias champion", 1, 2, "bob")]


def test_margins_and_metrics_are_part_of_what_is_asked(host: Promoter) -> None:
    first = host.propose()
    second = host.desk.propose(
        "m", "2", Wanted(ALIAS, "champion", "better", True, ("0.1",), ("accuracy",)), "ada", may_approve=True
    )
    assert first.run_id != second.run_id
    assert second.evidence["comparison"]["margin"] == 0.1


def test_two_approvals_at_once_move_once(host: Promoter, tmp_path: Path) -> None:
    # The same directory of locks and cache, as two processes of a host have it.
    other = Promoter(tmp_path, host.gateway)
    for round_ in range(5):
        version = 2 + round_ % 2
        waiting, rival = host.propose(version), host.propose(5 - version)
        before = moves(host)

        def approve(desk: PromotionDesk, promotion: Promotion, who: str) -> str:
            try:
                return desk.approve("m", promotion.run_id, who, "").state
            except Conflict:
                return "refused"

        with ThreadPoolExecutor(4) as pool:
            asked = [
                pool.submit(approve, desk, promotion, who)
                for desk, promotion, who in (
                    (host.desk, waiting, "bob"), (other.desk, waiting, "eve"), (host.desk, rival, "eve"),
                    (other.desk, rival, "bob"),
                )
            ]  # fmt: skip
            answers = [one.result() for one in asked]
        assert sorted(answers) == [DONE, "refused", "refused", "refused"]
        assert moves(host) == before + 1
        host.desk.end("m", next(p for p in host.promotions if p.state == WAITING).run_id, "ada", True, "late")
        if host.champion != 1:
            host.roll_back(host.champion or 0)
    assert len(host.tower_changes()) == moves(host)


def test_a_host_that_lost_its_cache_decides_by_all_that_is_recorded(host: Promoter) -> None:
    """Its first look has yet to come."""
    world = host.gateway.world
    waiting = host.propose(version=3)
    for version in (2, 1):
        world.set_alias("m", "champion", version)
        host.look()
    host.lose_cache()
    with pytest.raises(Conflict, match="moved back"):
        host.desk.approve("m", waiting.run_id, "bob", "")
    world.set_alias("m", "champion", 2)
    host.lose_cache()
    assert host.roll_back(2).proposal.version.version == 1


def test_a_host_knows_what_another_has_just_recorded(host: Promoter, tmp_path: Path) -> None:
    other = Promoter(tmp_path / "other", host.gateway)
    other.look()
    for version in (2, 3):
        other.desk.approve("m", other.propose(version).run_id, "bob", "")
    assert host.roll_back(3).proposal.version.version == 2


def test_a_promotion_is_kept_whole_however_much_it_says_and_moves(host: Promoter) -> None:
    world = host.gateway.world
    for number in range(4, 204):
        world.add_version("m")
        world.set_stage("m", number, "Production")
    host.look()
    metrics = tuple(f"{number:02d}".ljust(250, "m") for number in range(50))
    margins = tuple(f"{metric}=0.1" for metric in metrics)
    waiting = host.propose(kind=STAGE, place="Production", metrics=metrics, margins=margins)
    host.desk.approve("m", waiting.run_id, "bob", "\n" * 1000)
    (done,) = host.promotions
    assert (done.state, done.is_open, len(done.proposal.before)) == (DONE, False, 201)
    assert (done.proposal.metrics, done.proposal.margins) == (metrics, margins)
    assert done.steps[0].note == "\n" * 1000
    assert host.in_production == [2]
    assert len(host.tower_changes()) == 202
