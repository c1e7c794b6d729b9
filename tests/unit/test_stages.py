"""Which stage and which type a version is taken for."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.domain.registry.fleet import segment
from app.domain.registry.models import ModelVersion, RegisteredModel
from app.domain.registry.stages import STAGES, implied_type, stage_rules, track

_aliases = st.lists(st.sampled_from(["champion", "CHAMPION", "Challenger", "live", "next", "x"]), unique=True)
_words = st.lists(st.sampled_from(["Champion", "challenger", "live", "next"]), unique=True)


@given(st.sampled_from(STAGES), _aliases, _words, _words)
def test_an_alias_speaks_only_where_mlflow_names_no_stage_and_production_comes_first(
    stage: str, aliases: list[str], production: list[str], staging: list[str]
) -> None:
    found = stage_rules(production, staging).effective(stage, aliases)
    lowered = {alias.lower() for alias in aliases}
    if stage != "None":
        assert found == (stage, "stage")
    elif lowered & {word.lower() for word in production}:
        assert found == ("Production", "alias")
    elif lowered & {word.lower() for word in staging}:
        assert found == ("Staging", "alias")
    else:
        assert found == ("None", "stage")


@pytest.mark.parametrize(
    ("metrics", "expected"),
    [
        (["accuracy"], "classifier"),
        (["Test_ROC_AUC", "rmse_val"], None),
        (["val_rmse"], "regressor"),
        (["r2", "mae", "accuracy"], "regressor"),
        (["loss", "epoch"], None),
        ([], None),
    ],
)
def test_metric_names_imply_a_type_where_more_speak_for_one(metrics: list[str], expected: str | None) -> None:
    assert implied_type(metrics) == expected


def test_aliases_are_told_in_the_same_order_always() -> None:
    row = ModelVersion("m", 1, "None", 0, 0)
    rules = stage_rules([], [])
    assert track(row, ["b", "a"], rules).aliases == track(row, ["a", "b"], rules).aliases == ("a", "b")


def test_an_empty_tag_says_nothing_of_the_type() -> None:
    row = ModelVersion("m", 1, "None", 0, 0, tags={"model_type": ""}, run_model_type="", metrics={"rmse": 1.0})
    assert track(row, [], stage_rules([], [])).model_type == "regressor"


def test_the_owner_is_that_of_the_version_or_else_of_the_model() -> None:
    of_model = {"OWNER": "genomics"}
    for tags, expected in [({"Owner": " ada "}, "ada"), ({"owner": " "}, "genomics"), ({"owner ": "x"}, "genomics")]:
        row = ModelVersion("m", 1, "None", 0, 0, tags=tags)
        (tracked,) = segment("", [RegisteredModel("m", 0, 0, tags=of_model)], [row], stage_rules([], [])).by_name["m"]
        assert tracked.owner == expected
