"""Data: references, batches and labels of monitored versions, and what moved in them."""

from typing import Any

import orjson
from flask import Response

from app.access import default_registrant, requires
from app.domain.messages import NOT_MONITORED, NOTHING_COUNTED
from app.parsing import TowerBlueprint
from app.replies import AGE_HEADERS, cached, errors, live
from app.row_bodies import rows_body, takes_rows
from app.schemas.data_bodies import (
    BATCH_EXAMPLES,
    LABEL_EXAMPLES,
    REFERENCE_EXAMPLES,
    BatchBodySchema,
    ReferenceBodySchema,
)
from app.schemas.data_drift import (
    BatchQuerySchema,
    BatchSchema,
    ColumnsQuerySchema,
    DataDriftQuerySchema,
    DataDriftSchema,
    HistogramQuerySchema,
    HistogramSchema,
    LayoutReferenceSchema,
    ReferenceSchema,
    VersionDataSchema,
    WithdrawnBatchQuerySchema,
    WithdrawnBatchSchema,
)
from app.services.answers.prepared import Answer, Prepared
from app.services.monitoring.data_requests import order_of
from app.wiring.worker import tower

blp = TowerBlueprint("data_drift", __name__, description="Whether inputs and predictions have changed")

_VERSION = "/models/<string:model_name>/<string:model_version>"


@blp.route(f"{_VERSION}/reference", methods=["PUT"])
@requires("write")
@errors(blp, 400, 404, 413, 503, not_found=NOT_MONITORED)
@blp.arguments(ColumnsQuerySchema, location="query")
@blp.response(200, LayoutReferenceSchema, headers=AGE_HEADERS)
@takes_rows(ReferenceBodySchema, REFERENCE_EXAMPLES)
def put_reference(query: dict[str, Any], model_name: str, model_version: str) -> Response:
    """Send the rows, or the counts with a layout, that data is compared with from now on.

    A reference is never changed: another one begins a new series, and the answers of the one before are kept.
    """
    by = default_registrant()
    with rows_body(tower().max_batch_mb) as body:
        order = order_of(body.media_type, body.coding, query)
        return live(tower().data.put_reference(model_name, model_version, order, body.file, by))


@cached(blp, f"{_VERSION}/reference", ReferenceSchema)
def reference(model_name: str, model_version: str) -> Answer:
    """The reference that counts: by its layout clients count themselves. Also which references were before it."""
    return _answer(tower().data.reference(model_name, model_version))


@blp.route(f"{_VERSION}/batches", methods=["POST"])
@requires("write")
@errors(blp, 400, 404, 409, 413, 503, not_found=NOT_MONITORED)
@blp.arguments(BatchQuerySchema, location="query")
@blp.response(201, BatchSchema, headers=AGE_HEADERS)
@takes_rows(BatchBodySchema, BATCH_EXAMPLES)
def add_batch(query: dict[str, Any], model_name: str, model_version: str) -> Response:
    """Send what a version saw and said in a window: rows, of which only counts are kept, or counts."""
    by = default_registrant()
    with rows_body(tower().max_batch_mb) as body:
        order = order_of(body.media_type, body.coding, query)
        return live(tower().data.add(model_name, model_version, order, query, body.file, by), 201)


@blp.route(f"{_VERSION}/labels", methods=["POST"])
@requires("write")
@errors(blp, 400, 404, 409, 413, 503, not_found=NOTHING_COUNTED)
@blp.arguments(BatchQuerySchema, location="query")
@blp.response(201, BatchSchema, headers=AGE_HEADERS)
@takes_rows(BatchBodySchema, LABEL_EXAMPLES)
def add_labels(query: dict[str, Any], model_name: str, model_version: str) -> Response:
    """Send labels that came later, as rows of prediction, score and label. Their inputs are not counted again."""
    by = default_registrant()
    with rows_body(tower().max_batch_mb) as body:
        order = order_of(body.media_type, body.coding, query, labels_only=True)
        return live(tower().data.add(model_name, model_version, order, query, body.file, by), 201)


@blp.route(f"{_VERSION}/batches/<text:batch_id>", methods=["DELETE"])
@requires("write")
@errors(blp, 400, 404, 503, not_found=NOT_MONITORED)
@blp.arguments(WithdrawnBatchQuerySchema, location="query")
@blp.response(200, WithdrawnBatchSchema, headers=AGE_HEADERS)
def withdraw_batch(query: dict[str, Any], model_name: str, model_version: str, batch_id: str) -> Response:
    """Have a batch, or labels, no longer count. Nothing is deleted in MLflow."""
    by = default_registrant()
    rows = tower().data.withdraw(model_name, model_version, batch_id, query.get("reference"), by)
    return live({"batch_id": batch_id, "rows": rows})


@cached(blp, f"{_VERSION}/data-drift", DataDriftSchema, DataDriftQuerySchema)
def data_drift(query: dict[str, Any], model_name: str, model_version: str) -> Answer:
    """What moved in a version's inputs and predictions, window by window, and its performance as estimated."""
    return tower().data_report.of(model_name, model_version, query["days"], query.get("reference"))


@cached(blp, "/model/<string:model_name>/data-drift", VersionDataSchema(many=True))
def model_data(model_name: str) -> Answer:
    """In one sentence each, what moved in the data of the versions whose data is counted; none where no data came."""
    return _answer(tower().data.summaries(model_name))


@blp.route(f"{_VERSION}/data-drift/<text:column>")
@requires("read")
@errors(blp, 400, 404)
@blp.arguments(HistogramQuerySchema, location="query")
@blp.response(200, HistogramSchema, headers=AGE_HEADERS)
def histogram(query: dict[str, Any], model_name: str, model_version: str, column: str) -> Response:
    """A column's histogram in a window, beside that of the reference."""
    return live(tower().data.histogram(model_name, model_version, column, query))


def _answer(body: Any) -> Answer:
    return Answer(Prepared(orjson.dumps(body), tower().clock()))
