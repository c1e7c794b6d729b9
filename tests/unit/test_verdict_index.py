"""Indexes of verdicts: they find and order what looking at every version would."""

from collections.abc import Sequence
from dataclasses import replace

from hypothesis import given, settings
from hypothesis import strategies as st

from app.domain.monitoring.checks import Check, unchecked
from app.domain.monitoring.verdict_index import VerdictIndex
from app.domain.monitoring.verdicts import VERDICTS
from app.domain.registry.fleet import swept
from app.domain.registry.index import Index
from app.domain.registry.models import Inventory, ModelVersion, Registration, TrackedModel, VersionKey
from app.domain.registry.query import FleetQuery
from app.domain.registry.stages import stage_rules
from tests.unit.plain_lists import matching

Checks = dict[VersionKey, tuple[str, int] | None]

_keys = st.tuples(st.sampled_from(["a", "A", "b"]), st.integers(1, 4))
# The verdict and since when; None: registered, and not checked yet.
_checks = st.dictionaries(_keys, st.none() | st.tuples(st.sampled_from(VERDICTS), st.integers(1, 3)))
_kinds = st.dictionaries(_keys, st.lists(st.sampled_from(["production_stale", "no_owner"]), unique=True))
_sorts = st.sampled_from([None, "name", "-name", "verdict", "-verdict", "since", "-since"])
_queries = st.builds(
    FleetQuery,
    name=st.none() | st.sampled_from(["a", "zz"]),
    model=st.none() | st.sampled_from(["a", "zz"]),
    stage=st.none() | st.sampled_from(["None", "Production"]),
    verdict=st.none() | st.sampled_from(VERDICTS),
    monitored=st.none() | st.booleans(),
    finding=st.none() | st.sampled_from(["production_stale", "no_owner"]),
    sort=_sorts,
)


def index_of(keys: Sequence[VersionKey], checks: Checks, kinds: dict[VersionKey, list[str]]) -> VerdictIndex:
    rows = tuple(ModelVersion(*key, "Production" if key[1] == 1 else "None", 0, 0) for key in keys)
    fleet = swept(None, Inventory(1, versions=rows), stage_rules([], []))
    registrations = {key: Registration(*key, "classifier", "ada", 2, f"{key}", 0) for key in checks if key in keys}
    known = {f"{key}": Check(f"{key}", *told, 9) for key, told in checks.items() if told}
    return VerdictIndex(Index(fleet, registrations), registrations, known, lambda: kinds)


@settings(max_examples=300)
@given(st.lists(_keys, unique=True), _checks, _kinds, st.lists(_queries, max_size=4))
def test_an_index_finds_what_looking_at_every_version_finds(
    keys: list[VersionKey],
    checks: Checks,
    kinds: dict[VersionKey, list[str]],
    queries: list[FleetQuery],
) -> None:
    index = index_of(keys, checks, kinds)

    def told(model: TrackedModel) -> tuple[str | None, int]:
        if model.key not in checks:
            return None, 0
        return checks[model.key] or ("insufficient_data", 2)

    def place(model: TrackedModel, sort: str | None) -> tuple[int, ...]:
        verdict, since = told(model)
        rank = ["drifting", "degraded", "insufficient_data", "healthy", None].index(verdict)
        return {"verdict": (rank, -since), "-verdict": (-rank, -since), "since": (since,), "-since": (-since,)}[sort]

    for query in queries:
        plain = query.sort in (None, "name", "-name")
        rows = matching(
            index.find(FleetQuery()), query if plain else FleetQuery(name=query.name, stage=query.stage), {}
        )
        expected = [
            model
            for model in rows
            if query.model in (None, model.row.name)
            and query.verdict in (None, told(model)[0])
            and query.monitored in (None, model.key in checks)
            and (query.finding is None or query.finding in kinds.get(model.key, ()))
        ]
        if not plain:
            expected.sort(key=lambda model: place(model, query.sort))
        assert list(index.find(query)) == expected
        groups = index.groups(replace(query, sort=None))
        assert sorted(model.key for group in groups for model in group.versions) == sorted(m.key for m in expected)
        assert len({group.name for group in groups}) == len(groups)


def test_the_worst_comes_first_then_the_newest_change_then_the_name_and_what_is_not_monitored_last() -> None:
    checks: Checks = {
        ("a", 1): ("healthy", 9), ("a", 2): None, ("a", 3): ("degraded", 1), ("b", 1): ("drifting", 1),
        ("b", 2): ("drifting", 3), ("b", 3): ("drifting", 3), ("a", 4): ("drifting", 3),
    }  # fmt: skip
    index = index_of([*checks, ("A", 1)], checks, {})

    def order(sort: str) -> str:
        return " ".join(f"{model.row.name}{model.row.version}" for model in index.find(FleetQuery(sort=sort)))

    assert order("verdict") == "a4 b3 b2 b1 a3 a2 a1 A1"
    assert order("-verdict") == "A1 a1 a2 a3 a4 b3 b2 b1"
    assert index.count("drifting") == 4


def test_before_its_first_check_nothing_is_known_of_a_version() -> None:
    index = index_of([("a", 1), ("a", 2)], {("a", 1): None}, {})
    two, one = index.find(FleetQuery())
    assert index.check(one) == unchecked(Registration("a", 1, "classifier", "ada", 2, "('a', 1)", 0))
    assert index.check(two) is None
