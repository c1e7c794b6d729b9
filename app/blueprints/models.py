"""Model lists, and the versions, drift and comparison of one model."""

from collections.abc import Callable
from typing import Any

from flask import Response

from app.access import requires
from app.domain.comparison.requirements import requirements
from app.domain.findings import FindingsQuery
from app.domain.messages import no_registered_model
from app.domain.registry.query import ListQuery
from app.parsing import TowerBlueprint
from app.replies import AGE_HEADERS, cached, errors, live
from app.schemas.comparison import CompareQuerySchema, ComparisonSchema
from app.schemas.findings import FindingSchema, FindingsQuerySchema
from app.schemas.models import DriftQuerySchema, DriftSchema, ListQuerySchema, ModelInfoSchema, VersionSchema
from app.services.answers.prepared import Answer
from app.wiring.worker import tower

blp = TowerBlueprint("models", __name__, description="Registered models and their versions")


def model_list(path: str) -> Callable[[Callable[..., Answer]], Callable[..., Response]]:
    """A list of model versions."""
    return cached(blp, path, ModelInfoSchema(many=True), ListQuerySchema)


@model_list("/models")
def production_models(query: ListQuery) -> Answer:
    """Versions in Production."""
    return tower().catalogue.in_stage("Production", query)


@model_list("/models/production")
def production_models_detailed(query: ListQuery) -> Answer:
    """Versions in Production, the same as `/models`."""
    return tower().catalogue.in_stage("Production", query)


@model_list("/models/staging")
def staging_models(query: ListQuery) -> Answer:
    """Versions in Staging."""
    return tower().catalogue.in_stage("Staging", query)


@model_list("/models/all")
def all_models(query: ListQuery) -> Answer:
    """Every version of every registered model."""
    return tower().catalogue.all(query)


@model_list("/models/monitored")
def monitored_models(query: ListQuery) -> Answer:
    """Versions registered for monitoring."""
    return tower().catalogue.monitored(query)


@model_list("/models/monitored/classifier")
def monitored_classifiers(query: ListQuery) -> Answer:
    """Versions registered for monitoring as classifiers."""
    return tower().catalogue.monitored(query, "classifier")


@model_list("/models/monitored/regressor")
def monitored_regressors(query: ListQuery) -> Answer:
    """Versions registered for monitoring as regressors."""
    return tower().catalogue.monitored(query, "regressor")


@cached(blp, "/models/findings", FindingSchema(many=True), FindingsQuerySchema)
def registry_findings(query: FindingsQuery) -> Answer:
    """What is out of order in the registry, each with the model and what to do."""
    return tower().catalogue.findings(query)


@cached(blp, "/model/<string:model_name>/versions", VersionSchema(many=True))
def model_versions(model_name: str) -> Answer:
    """Every version of a model, highest first."""
    return tower().catalogue.versions(model_name)


@blp.route("/model/<string:model_name>/drift")
@requires("read")
@errors(blp, 400, 404)
@blp.arguments(DriftQuerySchema, location="query")
@blp.response(200, DriftSchema(many=True), headers=AGE_HEADERS)
def model_drift(query: dict[str, Any], model_name: str) -> Response:
    """The daily metrics of each version, from MLflow's metric history."""
    return live(tower().drift.of(model_name, query["metric"], query["days"]))


@blp.route("/model/<string:model_name>/compare")
@requires("read")
@errors(blp, 400, 404, not_found=no_registered_model("DNA_Analysis_Model"))
@blp.arguments(CompareQuerySchema, location="query")
@blp.response(200, ComparisonSchema, headers=AGE_HEADERS)
def compare_versions(query: dict[str, Any], model_name: str) -> Response:
    """Champion against challenger: per metric both values, the difference, and whether the candidate is not worse."""
    required = requirements(query["margin"], query["min"], query["max"])
    return live(tower().comparison.of(model_name, query["baseline"], query["candidate"], required, query["metric"]))
