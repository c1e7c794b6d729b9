"""Model lists, and what there is to say of one model."""

from collections.abc import Callable
from typing import Any, TypeVar

from flask import Response

from app.access import requires
from app.domain.findings import FindingsQuery
from app.domain.registry.query import ListQuery
from app.parsing import TowerBlueprint
from app.replies import AGE_HEADERS, PAGE_HEADERS, answered, errors, live, not_modified
from app.schemas.comparison import CompareQuerySchema, ComparisonSchema
from app.schemas.findings import FindingSchema, FindingsQuerySchema
from app.schemas.models import DriftQuerySchema, DriftSchema, ListQuerySchema, ModelInfoSchema, VersionSchema
from app.wiring.worker import tower

blp = TowerBlueprint("models", __name__, description="Registered models and their versions")
F = TypeVar("F", bound=Callable[..., Any])


def model_list(path: str) -> Callable[[F], F]:
    """What all lists declare alike."""

    def declare(view: F) -> F:
        for decorate in (
            blp.response(200, ModelInfoSchema(many=True), headers=PAGE_HEADERS),
            blp.arguments(ListQuerySchema, location="query"),
            not_modified(blp),
            errors(blp, 400),
            requires("read"),
            blp.route(path),
        ):
            view = decorate(view)
        return view

    return declare


@model_list("/models")
def production_models(query: ListQuery) -> Response:
    """Versions in Production."""
    return answered(tower().catalogue.in_stage("Production", query))


@model_list("/models/production")
def production_models_detailed(query: ListQuery) -> Response:
    """Versions in Production, the same as `/models`."""
    return answered(tower().catalogue.in_stage("Production", query))


@model_list("/models/staging")
def staging_models(query: ListQuery) -> Response:
    """Versions in Staging."""
    return answered(tower().catalogue.in_stage("Staging", query))


@model_list("/models/all")
def all_models(query: ListQuery) -> Response:
    """Every version of every registered model."""
    return answered(tower().catalogue.all(query))


@model_list("/models/monitored")
def monitored_models(query: ListQuery) -> Response:
    """Versions registered for monitoring."""
    return answered(tower().catalogue.monitored(query))


@model_list("/models/monitored/classifier")
def monitored_classifiers(query: ListQuery) -> Response:
    """Versions registered for monitoring as classifiers."""
    return answered(tower().catalogue.monitored(query, "classifier"))


@model_list("/models/monitored/regressor")
def monitored_regressors(query: ListQuery) -> Response:
    """Versions registered for monitoring as regressors."""
    return answered(tower().catalogue.monitored(query, "regressor"))


@blp.route("/models/findings")
@requires("read")
@errors(blp, 400)
@not_modified(blp)
@blp.arguments(FindingsQuerySchema, location="query")
@blp.response(200, FindingSchema(many=True), headers=PAGE_HEADERS)
def registry_findings(query: FindingsQuery) -> Response:
    """What is out of order in the registry, each with the model and what to do."""
    return answered(tower().catalogue.findings(query))


@blp.route("/model/<string:model_name>/versions")
@requires("read")
@errors(blp, 400, 404)
@not_modified(blp)
@blp.response(200, VersionSchema(many=True), headers=AGE_HEADERS)
def model_versions(model_name: str) -> Response:
    """Every version of a model, highest first."""
    return answered(tower().catalogue.versions(model_name))


@blp.route("/model/<string:model_name>/drift")
@requires("read")
@errors(blp, 400, 404)
@blp.arguments(DriftQuerySchema, location="query")
@blp.response(200, DriftSchema(many=True), headers=AGE_HEADERS)
def model_drift(query: dict[str, Any], model_name: str) -> Response:
    """Per version the metrics of each day, as MLflow's metric history has them."""
    return live(tower().drift.of(model_name, query["metric"], query["days"]))


@blp.route("/model/<string:model_name>/compare")
@requires("read")
@errors(blp, 400, 404, not_found="There is no registered model 'DNA_Analysis_Model' in MLflow.")
@blp.arguments(CompareQuerySchema, location="query")
@blp.response(200, ComparisonSchema, headers=AGE_HEADERS)
def compare_versions(query: dict[str, Any], model_name: str) -> Response:
    """Champion against challenger: per metric both values, the difference, and whether the candidate is not worse."""
    told = tower().comparison.of(model_name, query["baseline"], query["candidate"], query["margin"], query["metric"])
    return live(told)
