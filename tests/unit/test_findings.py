"""Findings: what is out of order in the registry, against the plainest way to say the same."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.domain.findings import FINDINGS, Finding, FindingsQuery, finding_info, findings, matching
from app.domain.registry.fleet import Fleet, swept
from app.domain.registry.models import Inventory, ModelVersion, RegisteredModel, Registration, VersionKey
from app.domain.registry.stages import STAGES, stage_rules
from app.domain.times import DAY_MS

RULES = stage_rules(["Champion", "both"], ["challenger", "both"])
NOW = 1000 * DAY_MS
OWNED = {"Owner": "ada"}


def fleet_of(versions: list[ModelVersion], *, owned: bool = True, **aliases: int) -> Fleet:
    """A fleet of the model `m`."""
    model = RegisteredModel("m", 0, 0, tags=OWNED if owned else {}, aliases=aliases)
    return swept(None, Inventory(NOW, (model,), tuple(versions)), RULES)


def found_in(fleet: Fleet, stale_days: int = 0, monitored: tuple[int, ...] = ()) -> list[Finding]:
    registrations = {("m", n): Registration("m", n, "classifier", "ada", 0, "run", 0) for n in monitored}
    return findings(fleet, registrations, (), RULES, stale_days, NOW)


def version(number: int, stage: str = "None", changed: int = NOW, run_id: str | None = "run") -> ModelVersion:
    return ModelVersion("m", number, stage, 0, changed, run_id=run_id)


def kinds(found: list[Finding]) -> list[tuple[str, int | None]]:
    return [(one.finding, one.version) for one in found]


def test_where_all_is_in_order_there_is_no_finding() -> None:
    fleet = fleet_of([version(1, "Archived"), version(2, "Production"), version(3)], champion=2, challenger=3)
    assert found_in(fleet, 180, (2,)) == []


def test_a_version_in_production_that_is_not_monitored_is_found_and_how_to_register_it() -> None:
    (one,) = found_in(fleet_of([version(1), version(2)], champion=2))
    assert one == Finding(
        "production_without_monitor", "m", 2, "Version 2 is in Production and not monitored.",
        "Register it for monitoring: POST /models/m/2/monitor.", "ada",
    )  # fmt: skip


def test_a_retired_version_that_is_still_monitored_is_found_unless_it_is_only_watched() -> None:
    fleet = fleet_of([version(1), version(2, "Archived"), version(3), version(4)], champion=3)
    found = found_in(fleet, 0, (1, 2, 3, 4))
    assert [(one.version, one.detail, one.action) for one in found] == [
        (
            1,
            "Version 1 has no stage and no alias, while version 3 is in Production. It is still monitored.",
            "Remove it from monitoring: DELETE /models/m/1/monitor.",
        ),
        (
            2,
            "Version 2 is archived and still monitored.",
            "Remove it from monitoring: DELETE /models/m/2/monitor.",
        ),
    ]
    watched = Registration("m", 2, "classifier", "ada", 0, "run", 0, watched_by=("stage Archived",))
    assert findings(fleet, {("m", 2): watched, ("m", 3): watched}, (), RULES, 0, NOW) == []


def test_the_address_to_register_at_holds_for_any_name() -> None:
    name = "a/b {x} ü?"
    fleet = swept(
        None,
        Inventory(
            NOW, (RegisteredModel(name, 0, 0, tags=OWNED),), (ModelVersion(name, 1, "Production", 0, 0, run_id="r"),)
        ),
        RULES,
    )
    (one,) = found_in(fleet)
    assert one.action.endswith("POST /models/a%2Fb%20%7Bx%7D%20%C3%BC%3F/1/monitor.")


def test_a_version_in_production_without_a_run_is_found() -> None:
    found = found_in(fleet_of([version(1, run_id=None), version(2, "Production", run_id=None)]), 0, (2,))
    assert kinds(found) == [("production_without_run", 2)]


@pytest.mark.parametrize(
    ("days", "stale_days", "is_found"), [(180, 180, False), (181, 180, True), (900, 0, False), (2, 1, True)]
)
def test_a_version_in_production_is_stale_when_it_has_not_changed_for_longer_than_allowed(
    days: int, stale_days: int, is_found: bool
) -> None:
    found = found_in(fleet_of([version(1, "Production", NOW - days * DAY_MS)]), stale_days, (1,))
    assert kinds(found) == ([("production_stale", 1)] if is_found else [])
    if is_found:
        assert f"for {days} days; {stale_days} are allowed" in found[0].detail


def test_a_version_that_was_never_updated_is_as_old_as_it_is() -> None:
    row = ModelVersion("m", 1, "Production", NOW - 5 * DAY_MS, 0, run_id="run")
    assert found_in(fleet_of([row]), 6, (1,)) == []
    assert kinds(found_in(fleet_of([row]), 4, (1,))) == [("production_stale", 1)]


def test_data_without_a_reference_is_found_where_the_same_version_is_monitored() -> None:
    fleet = fleet_of([version(1), version(2), version(3)])
    registrations = {("m", n): Registration("m", n, "classifier", "ada", 0, "run", 7) for n in (1, 2)}
    data = [(("m", 1), 7), (("m", 2), 6), (("m", 3), 7)]
    (one,) = findings(fleet, registrations, (), RULES, 0, NOW, unreferenced=data)
    assert (one.finding, one.version) == ("data_without_reference", 1)
    assert one.action.endswith("PUT /models/m/1/reference.")


def test_several_versions_in_production_are_one_finding_that_names_them() -> None:
    found = found_in(
        fleet_of([version(2, "Production"), version(10, "Production"), version(1)], champion=1), 0, (1, 2, 10)
    )
    assert kinds(found) == [("several_in_production", None)]
    assert found[0].detail == "3 versions are in Production: 1, 2 and 10."


@pytest.mark.parametrize(
    ("stage", "alias", "is_found"),
    [
        ("Archived", "champion", True),
        ("Staging", "CHAMPION", True),
        ("Production", "champion", False),
        ("None", "champion", False),
        ("Production", "challenger", True),
        ("Archived", "challenger", True),
        ("Staging", "challenger", False),
        ("None", "challenger", False),
        ("Production", "both", False),
        ("Staging", "both", False),
        ("Archived", "both", True),
        ("Archived", "anything", False),
    ],
)
def test_an_alias_that_says_otherwise_than_the_stage_is_found(stage: str, alias: str, is_found: bool) -> None:
    found = found_in(fleet_of([version(1, stage)], **{alias: 1}), 0, (1,))
    assert kinds(found) == ([("stage_alias_conflict", 1)] if is_found else [])
    if is_found:
        assert stage in found[0].detail
        assert alias in found[0].detail


def test_two_aliases_of_one_version_that_say_otherwise_are_one_finding() -> None:
    (one,) = found_in(fleet_of([version(1, "Archived")], champion=1, challenger=1, other=1))
    assert one.detail == (
        "Its stage in MLflow is Archived, while its alias challenger stands for Staging and its alias champion stands "
        "for Production."
    )


def test_an_alias_of_a_version_that_is_gone_is_no_conflict() -> None:
    assert found_in(fleet_of([version(1)], champion=7)) == []


@pytest.mark.parametrize(
    ("tags", "is_found"),
    [
        ({}, True), ({"owner": ""}, True), ({"owner": " \n"}, True), ({"team": "a"}, True), ({"owners": "a"}, True),
        ({"owner": "a"}, False), ({"OWNER": "a"}, False), ({"owner": "", "Owner": "a"}, False),
    ],
)  # fmt: skip
def test_a_model_without_an_owner_is_found_once_also_without_versions(tags: dict[str, str], is_found: bool) -> None:
    for versions in ([], [version(1), version(2)]):
        fleet = swept(None, Inventory(NOW, (RegisteredModel("m", 0, 0, tags=tags),), tuple(versions)), RULES)
        assert kinds(found_in(fleet)) == ([("no_owner", None)] if is_found else [])


def test_findings_are_asked_for_by_kind_by_a_part_of_the_name_and_by_owner() -> None:
    found = [Finding("no_owner", "Straße", None, "", ""), Finding("production_stale", "b", 1, "", "", "ada")]
    assert matching(found, FindingsQuery()) == found
    assert matching(found, FindingsQuery(finding="no_owner")) == found[:1]
    assert matching(found, FindingsQuery(name="STRASSE")) == found[:1]
    assert matching(found, FindingsQuery(name="b", finding="no_owner")) == []
    assert matching(found, FindingsQuery(owners=("ada",))) == found[1:]
    assert matching(found, FindingsQuery(owners=(None, "eve"))) == found[:1]


_names = st.sampled_from(["a", "B", "b c"])
_times = st.integers(0, 9).map(lambda days: NOW - days * DAY_MS)
_runs = st.sampled_from([None, "run"])
_versions = st.builds(ModelVersion, _names, st.integers(1, 12), st.sampled_from(STAGES), _times, _times, run_id=_runs)
_aliases = st.dictionaries(st.sampled_from(["champion", "Challenger", "both", "x"]), st.integers(1, 12), max_size=3)
_tags = st.sampled_from([{}, {"owner": "ada"}, {"OWNER": "bob"}, {"owner": ""}])
_models = st.builds(
    lambda name, tags, aliases: RegisteredModel(name, 1, 1, None, tags, aliases), _names, _tags, _aliases
)


@settings(max_examples=300)
@given(
    st.lists(_models, max_size=3, unique_by=lambda model: model.name),
    st.lists(_versions, max_size=20, unique_by=lambda row: (row.name, row.version)),
    st.sets(st.tuples(_names, st.integers(1, 12)), max_size=6),
    st.integers(0, 5),
)
def test_whatever_the_registry_holds_the_findings_are_those_of_looking_at_everything(
    models: list[RegisteredModel], versions: list[ModelVersion], monitored: set[VersionKey], stale_days: int
) -> None:
    fleet = swept(None, Inventory(NOW, tuple(models), tuple(versions)), RULES)
    registrations = {key: Registration(*key, "classifier", "ada", 1, "run", 1) for key in monitored}
    found = findings(fleet, registrations, (), RULES, stale_days, NOW)
    expected: set[tuple[str, str, int | None]] = set()
    production: dict[str, int] = {}
    for model in fleet.models:
        row = model.row
        if model.stage == "Production":
            production[row.name] = production.get(row.name, 0) + 1
            if row.run_id is None:
                expected.add(("production_without_run", *model.key))
            if model.key not in monitored:
                expected.add(("production_without_monitor", *model.key))
            if stale_days and max(row.created, row.updated) < NOW - stale_days * DAY_MS:
                expected.add(("production_stale", *model.key))
        newer = [m for m in fleet.models if m.row.name == row.name and m.row.version > row.version]
        is_passed = model.stage == "None" and any(m.stage == "Production" for m in newer)
        if model.key in monitored and not model.aliases and (model.stage == "Archived" or is_passed):
            expected.add(("retired_with_monitor", *model.key))
        lowered = {alias.lower() for alias in model.aliases}
        for_production = row.stage in ("Staging", "Archived") and "champion" in lowered
        for_staging = row.stage in ("Production", "Archived") and "challenger" in lowered
        if for_production or for_staging or (row.stage == "Archived" and "both" in lowered):
            expected.add(("stage_alias_conflict", *model.key))
    expected |= {("several_in_production", name, None) for name, count in production.items() if count > 1}
    expected |= {("no_owner", m.name, None) for m in models if not any(m.tags.values())}
    keys = [(one.finding, one.name, one.version) for one in found]
    assert set(keys) == expected
    assert keys == sorted(keys, key=lambda key: (key[1], key[2] or 0, key[0]))
    assert len(keys) == len(expected)
    for one in found:
        told = finding_info(one)
        assert one.finding in FINDINGS
        assert one.detail.endswith(".")
        assert one.action.endswith(".")
        assert told["version"] == (None if one.version is None else str(one.version))
