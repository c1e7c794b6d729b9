"""The fleet: assembled, stored and loaded again, swept over, and changed model by model."""

from dataclasses import replace
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.domain.monitoring.monitored import Monitored, first_of_each
from app.domain.registry.codec import (
    Source,
    fleet_from,
    index_value,
    parts_value,
    registrations_from,
    registrations_value,
)
from app.domain.registry.fleet import Edition, Fleet, segment_of, swept, with_models
from app.domain.registry.models import Experiment, Inventory, ModelReading, ModelVersion, RegisteredModel, Registration
from app.domain.registry.sample import sample_fleet
from app.domain.registry.stages import STAGES, stage_rules

RULES = stage_rules(["champion"], ["challenger"])

_text = st.text(st.characters(codec="utf-8"), max_size=5)
_names = st.sampled_from(["a", "b", "B", "ü\n"])
_times = st.integers(0, 2**40)
_tags = st.dictionaries(_text, _text, max_size=2)
_metrics = st.dictionaries(_text, st.none() | st.floats(allow_nan=False, allow_infinity=False), max_size=2)
_models = st.builds(
    RegisteredModel,
    _names,
    _times,
    _times,
    st.none() | _text,
    _tags,
    st.dictionaries(st.sampled_from(["champion", "challenger", "x"]), st.integers(1, 3), max_size=2),
)
_versions = st.builds(
    ModelVersion,
    _names,
    st.integers(1, 4),
    st.sampled_from(STAGES),
    _times,
    _times,
    st.none() | _text,
    _tags,
    st.none() | _text,
    st.none() | _text,
    _metrics,
    st.none() | _text,
)
_experiments = st.builds(
    Experiment, _text, _text, st.none() | _text, st.sampled_from(["active", "deleted"]), st.none() | _times,
    st.none() | _times, _tags,
)  # fmt: skip


def _only_of_known(inventory: Inventory) -> Inventory:
    known = {model.name for model in inventory.models}
    rows = tuple(row for row in inventory.versions if row.name in known)
    return Inventory(inventory.read_at, inventory.models, rows, inventory.experiments, inventory.unreadable)


_inventories = st.builds(
    Inventory,
    _times,
    st.lists(_models, max_size=4, unique_by=lambda m: m.name).map(tuple),
    st.lists(_versions, max_size=8, unique_by=lambda r: (r.name, r.version)).map(tuple),
    st.lists(_experiments, max_size=2).map(tuple),
    st.integers(0, 9),
).map(_only_of_known)


def assemble(inventory: Inventory, touched: dict[str, int] | None = None) -> Fleet:
    return replace(swept(None, inventory, RULES), touched=touched or {})


def stored(fleet: Fleet, known: Fleet | None = None) -> dict[str, Any]:
    """What the shared cache holds of a fleet after it was stored over a known one."""
    parts = stored(known) if known else {}
    return {
        **parts,
        **through_json(parts_value(fleet, known, "here")),
        "fleet": through_json(index_value(fleet, "here")),
    }


def loaded(files: dict[str, Any], known: Fleet | None = None, source: str = "here") -> Fleet | None:
    return fleet_from(files.get("fleet"), files.get, known, Source(source, RULES))


def through_json(value: Any) -> Any:
    """What the cache makes of a value."""
    return orjson.loads(orjson.dumps(value))


@given(_inventories, st.dictionaries(_names, _times, max_size=2), st.builds(Edition, _text, _times), _times)
def test_a_fleet_comes_back_from_the_cache_as_it_went_in(
    inventory: Inventory, touched: dict[str, int], edition: Edition, ticket: int
) -> None:
    fleet = replace(assemble(inventory, touched), edition=edition, ticket=ticket)
    assert loaded(stored(fleet)) == fleet


@given(_inventories, _inventories)
def test_a_fleet_stored_over_another_and_loaded_by_who_knows_that_one_is_the_new_one(
    before: Inventory, after: Inventory
) -> None:
    old = assemble(before)
    new = swept(old, after, RULES)
    files = stored(new, old)
    assert loaded(files) == loaded(files, old) == new == assemble(after)


def test_a_change_of_one_model_stores_and_loads_only_its_segment() -> None:
    names = [f"model-{n}" for n in range(200)]
    fleet = assemble(Inventory(5, tuple(RegisteredModel(name, 1, 1) for name in names)))
    reading = ModelReading(RegisteredModel("model-7", 1, 2))
    after = with_models(fleet, {"model-7": reading}, RULES, 9)
    assert list(parts_value(after, fleet, "here")) == [f"fleet-{segment_of('model-7')}"]
    assert after.changes_since(fleet) == 1
    kept = [new is old for new, old in zip(after.segments, fleet.segments, strict=True)]
    assert kept.count(False) == 1
    read: list[str] = []
    files = stored(after, fleet)
    assert fleet_from(files["fleet"], lambda key: read.append(key) or files[key], fleet, Source("here", RULES)) == after  # type: ignore[func-returns-value]
    assert read == [f"fleet-{segment_of('model-7')}"]


@given(_inventories)
def test_a_fleet_is_sorted_and_every_version_is_in_it_once(inventory: Inventory) -> None:
    fleet = assemble(inventory)
    order = [(m.row.name, -m.row.version) for m in fleet.models]
    assert order == sorted(order)
    assert sorted(m.key for m in fleet.models) == sorted((r.name, r.version) for r in inventory.versions)
    assert sum(fleet.count(stage) for stage in STAGES) == len(fleet.models)
    assert [m for rows in fleet.by_name.values() for m in rows] == list(fleet.models)


@pytest.mark.parametrize("misfit", [None, 1, "x", [], {}, {"source": "elsewhere"}, {"source": "here"},
    {"source": "here", "segments": ["x"] * 64}, {"source": "here", "segments": 7},
])  # fmt: skip
@pytest.mark.parametrize("key", ["fleet", "fleet-0", "fleet-63", "fleet-experiments"])
def test_what_does_not_fit_is_no_fleet(key: str, misfit: Any) -> None:
    files = stored(assemble(Inventory(1)))
    assert loaded(files) is not None
    assert loaded({**files, key: misfit}) is None


@pytest.mark.parametrize(
    "damage",
    [
        {"as_of": "x"},
        {"touched": 5},
        {"touched": {"a": "b"}},
        {"unreadable": None},
        {"ticket": None},
        {"number": "x"},
        {"series": "x", "number": []},
    ],
)
def test_an_index_that_is_damaged_is_no_fleet(damage: dict[str, Any]) -> None:
    files = stored(assemble(Inventory(1)))
    assert loaded({**files, "fleet": {**files["fleet"], **damage}}) is None


@pytest.mark.parametrize("damage", [{"models": [{"no": 1}]}, {"models": 7}, {"versions": [[]]}, {"source": 0}])
def test_a_segment_that_is_damaged_is_no_fleet(damage: dict[str, Any]) -> None:
    files = stored(assemble(Inventory(1)))
    assert loaded({**files, "fleet-5": {**files["fleet-5"], **damage}}) is None


def test_a_fleet_of_another_mlflow_is_none() -> None:
    assert loaded(stored(assemble(Inventory(1))), source="elsewhere") is None


@given(_inventories, _names, st.booleans(), st.lists(_versions, max_size=3, unique_by=lambda r: r.version))
def test_a_reading_of_one_model_replaces_all_there_is_of_it_and_nothing_else(
    inventory: Inventory, name: str, exists: bool, rows: list[ModelVersion]
) -> None:
    fleet = assemble(inventory)
    model = RegisteredModel(name, 1, 1) if exists else None
    read = tuple(ModelVersion(name, row.version, row.stage, 1, 1) for row in rows)
    after = with_models(fleet, {name: ModelReading(model, read)}, RULES, 99)
    found = [m.row for m in after.by_name.get(name, ())]
    assert found == (sorted(read, key=lambda row: -row.version) if exists else [])
    assert (name in after.registered) is exists
    assert [m for m in after.models if m.row.name != name] == [m for m in fleet.models if m.row.name != name]
    assert (after.as_of, after.experiments, after.touched[name]) == (fleet.as_of, fleet.experiments, 99)


@given(_inventories, _inventories, st.dictionaries(_names, st.integers(1, 9), max_size=3), st.integers(1, 9))
def test_a_sweep_keeps_what_was_read_of_a_model_after_the_sweep_began_whatever_the_clock_says(
    before: Inventory, read: Inventory, touched: dict[str, int], ticket: int
) -> None:
    current, fresh = assemble(before, touched), assemble(read)
    after = swept(current, read, RULES, ticket)
    newer = {name for name, number in touched.items() if number > ticket}
    for name in ("a", "b", "B", "ü\n"):
        source = current if name in newer else fresh
        assert after.by_name.get(name) == source.by_name.get(name)
        assert after.registered.get(name) == source.registered.get(name)
    assert set(after.touched) == newer
    assert (after.as_of, after.ticket) == (read.read_at, ticket)


def test_a_sweep_takes_nothing_from_the_sample_or_from_nothing() -> None:
    read = Inventory(5, (RegisteredModel("m", 1, 1),), (ModelVersion("m", 1, "None", 1, 1),))
    assert swept(sample_fleet(9, RULES), read, RULES) == swept(None, read, RULES) == assemble(read)


_registrations = st.builds(
    Registration, _names, st.integers(1, 3), st.sampled_from(["classifier", "regressor"]), _text, st.integers(0, 3),
    st.integers(0, 99).map(str), st.integers(0, 3),
)  # fmt: skip


@given(st.lists(_registrations, unique_by=lambda r: r.monitor_run_id, max_size=8), st.data())
def test_of_several_runs_for_a_version_one_counts_and_it_is_never_its_own_double(
    found: list[Registration], data: st.DataObject
) -> None:
    again = data.draw(st.lists(st.sampled_from(found), max_size=5)) if found else []
    kept, double = first_of_each([*found, *again])
    assert sorted([*kept.values(), *double], key=found.index) == found
    for key, registration in kept.items():
        rivals = [r for r in found if r.key == key]
        made_last = [r for r in rivals if r.version_created == max(rival.version_created for rival in rivals)]
        assert registration == min(made_last, key=lambda r: (r.registered_at, r.monitor_run_id))


@given(_inventories, st.lists(_registrations, unique_by=lambda r: r.key, max_size=6))
def test_a_registration_belongs_only_to_the_version_that_it_was_made_for(
    inventory: Inventory, found: list[Registration]
) -> None:
    fleet = assemble(inventory)
    made = {m.key: m.row.created for m in fleet.models}
    belonging = Monitored({r.key: r for r in found}).of(fleet)
    # A time of 0 is that of an answer without one.
    assert set(belonging) == {r.key for r in found if r.key in made and len({made[r.key], r.version_created} - {0}) < 2}


@given(st.lists(_registrations, max_size=4), st.booleans())
def test_registrations_come_back_from_the_cache_as_they_went_in(found: list[Registration], stale: bool) -> None:
    value = through_json(registrations_value(found, stale, "here"))
    assert registrations_from(value, "here") == (found, stale)
    assert registrations_from(value, "elsewhere") is None


@pytest.mark.parametrize("value", [None, 3, {}, {"source": "here"}, {"source": "here", "registrations": [{}]},
                                   {"source": "here", "registrations": [1], "stale": False}])  # fmt: skip
def test_what_does_not_fit_is_no_list_of_registrations(value: Any) -> None:
    assert registrations_from(value, "here") is None
