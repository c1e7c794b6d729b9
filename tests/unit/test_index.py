"""Indexes: they find what looking at every version would find, in the same order."""

from hypothesis import given, settings
from hypothesis import strategies as st

from app.domain.registry.fleet import swept
from app.domain.registry.index import Index
from app.domain.registry.models import Inventory, ModelVersion, RegisteredModel, Registration, VersionKey
from app.domain.registry.query import SORTS, ListQuery
from app.domain.registry.stages import STAGES, stage_rules
from tests.unit.plain_lists import matching

_names = st.sampled_from(["a", "A", "ab", "straße", "STRASSE", "b c"])
_tags = st.dictionaries(
    st.sampled_from(["team", "model_type", "owner"]), st.sampled_from(["x", "y", "classifier"]), max_size=2
)
_versions = st.builds(
    ModelVersion, _names, st.integers(1, 6), st.sampled_from(STAGES), st.integers(0, 3), st.integers(0, 3), tags=_tags
)
_aliases = st.dictionaries(st.sampled_from(["champion", "x"]), st.integers(1, 6), max_size=2)
_models = st.builds(lambda name, aliases: RegisteredModel(name, 1, 1, aliases=aliases), _names, _aliases)
_sorts = st.sampled_from([None, *SORTS, *(f"-{sort}" for sort in SORTS)])
_queries = st.builds(
    ListQuery,
    name=st.none() | st.sampled_from(["a", "SS", "ß", " ", "zz"]),
    stage=st.none() | st.sampled_from(STAGES),
    alias=st.none() | st.sampled_from(["champion", "X", "x"]),
    model_type=st.none() | st.sampled_from(["classifier", "regressor", "x"]),
    tags=st.lists(st.tuples(st.just("team"), st.sampled_from(["x", "y", "z"])), max_size=2).map(tuple),
    owners=st.lists(st.sampled_from([None, "x", "z"]), max_size=2).map(tuple),
    sort=_sorts,
)


@settings(max_examples=300)
@given(
    st.lists(_models, max_size=6, unique_by=lambda model: model.name),
    st.lists(_versions, max_size=40, unique_by=lambda row: (row.name, row.version)),
    st.dictionaries(st.tuples(_names, st.integers(1, 6)), st.sampled_from(["classifier", "regressor"]), max_size=4),
    st.lists(_queries, max_size=4),
    st.sampled_from(STAGES),
    st.none() | st.sampled_from(["classifier", "regressor"]),
)
def test_an_index_finds_what_looking_at_every_version_finds(
    models: list[RegisteredModel],
    versions: list[ModelVersion],
    registered: dict[VersionKey, str],
    queries: list[ListQuery],
    stage: str,
    registered_as: str | None,
) -> None:
    fleet = swept(None, Inventory(1, tuple(models), tuple(versions)), stage_rules(["champion"], []))
    registrations = {
        key: Registration(*key, kind, "ada", 1, "run", 1) for key, kind in registered.items() if fleet.find(*key)
    }
    index = Index(fleet, registrations)
    monitored = [
        model
        for model in fleet.models
        if model.key in registrations and registered_as in (None, registrations[model.key].model_type)
    ]
    for query in queries:
        assert list(index.find(query)) == matching(fleet.models, query, registrations)
        in_stage = index.find(query, index.of_stage(stage))
        assert list(in_stage) == matching(fleet.by_stage[stage], query, registrations)
        found = index.find(query, index.registered(registered_as))
        assert list(found) == matching(monitored, query, registrations)
