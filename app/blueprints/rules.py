"""Monitoring rules: monitor every version that matches."""

from typing import Any

from flask import Response

from app.access import default_registrant, requires
from app.domain.messages import NO_RULE
from app.domain.registry.query import ListQuery
from app.domain.times import rfc3339
from app.parsing import TowerBlueprint
from app.replies import AGE_HEADERS, cached, errors, live
from app.schemas.rules import (
    MakeRuleSchema,
    PutRuleSchema,
    RuleRemovedSchema,
    RuleSchema,
    RulesQuerySchema,
    RuleVersionSchema,
    RuleVersionsQuerySchema,
)
from app.services.answers.prepared import Answer
from app.wiring.worker import tower

blp = TowerBlueprint("rules", __name__, description="Rules by which model versions are monitored")

_PATH = "/monitoring/rules/<string:rule_name>"
_EXAMPLE = {"match": {"stages": ["Production"]}, "settings": {"silence_hours": 48}}


@cached(blp, "/monitoring/rules", RuleSchema(many=True), RulesQuerySchema)
def rules(query: ListQuery) -> Answer:
    """Every monitoring rule, by name."""
    return tower().coverage.rules(query)


@blp.route("/monitoring/rules", methods=["POST"])
@requires("write")
@errors(blp, 400, 503)
@blp.arguments(MakeRuleSchema, example={"name": "production", **_EXAMPLE})
@blp.response(201, RuleSchema, headers=AGE_HEADERS)
def make(body: dict[str, Any]) -> Response:
    """Monitor every version that matches, also those that match later."""
    made = tower().rules.make_rule(body["name"], *_described(body))
    return live(tower().coverage.rule(made.name), 201)


@blp.route(_PATH)
@requires("read")
@errors(blp, 400, 404, not_found=NO_RULE)
@blp.response(200, RuleSchema, headers=AGE_HEADERS)
def rule(rule_name: str) -> Response:
    """A monitoring rule, with how many versions it covers and excludes."""
    return live(tower().coverage.rule(rule_name))


@blp.route(_PATH, methods=["PUT"])
@requires("write")
@errors(blp, 400, 404, 503, not_found=NO_RULE)
@blp.arguments(PutRuleSchema, example=_EXAMPLE)
@blp.response(200, RuleSchema, headers=AGE_HEADERS)
def put(body: dict[str, Any], rule_name: str) -> Response:
    """Make a monitoring rule, or replace one as a whole. Versions that are excluded stay so."""
    tower().rules.put_rule(rule_name, *_described(body))
    return live(tower().coverage.rule(rule_name))


@blp.route(_PATH, methods=["DELETE"])
@requires("write")
@errors(blp, 400, 404, 503, not_found=NO_RULE)
@blp.response(200, RuleRemovedSchema, headers=AGE_HEADERS)
def remove(rule_name: str) -> Response:
    """Remove a monitoring rule. What is monitored only since it matches is monitored no longer."""
    removed_at = tower().rules.remove_rule(rule_name, default_registrant())
    message = f"The monitoring rule {rule_name} was removed"
    return live({"message": message, "name": rule_name, "removed_at": rfc3339(removed_at)})


@cached(blp, f"{_PATH}/versions", RuleVersionSchema(many=True), RuleVersionsQuerySchema)
def versions(query: dict[str, Any], rule_name: str) -> Answer:
    """The versions that a monitoring rule covers, and those that are excluded from it."""
    excluded = query.pop("excluded", None)
    return tower().coverage.rule_versions(rule_name, ListQuery(**query), excluded)


def _described(body: dict[str, Any]) -> tuple[Any, Any, Any, str]:
    by = body.get("registered_by") or default_registrant()
    return body["match"], body.get("model_type"), body.get("settings"), by
