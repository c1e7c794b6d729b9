"""The OpenAPI document: its settings, and when it is made."""

import threading
from typing import Any

from apispec import APISpec
from flask_smorest import Blueprint

from app.errors import TowerApi
from config import API_VERSION

OPENAPI = {
    "API_TITLE": "MLOps Control Tower",
    "API_VERSION": API_VERSION,
    "OPENAPI_VERSION": "3.0.3",
    "API_SPEC_OPTIONS": {
        "info": {
            "description": "The mirror of an MLflow registry, and the monitoring of its model versions.\n\n"
            "A request body is JSON of at most 1 MiB, plain or in gzip (`Content-Encoding: gzip`); "
            "the limit holds after inflating as well."
        }
    },
    "OPENAPI_URL_PREFIX": "/",
    "OPENAPI_JSON_PATH": "openapi.json",
    "OPENAPI_SWAGGER_UI_PATH": "/docs",
    "OPENAPI_SWAGGER_UI_URL": "/static/vendor/swagger-ui/",
    "OPENAPI_REDOC_PATH": "/redoc",
    "OPENAPI_REDOC_URL": "/static/vendor/redoc/redoc.standalone.js",
}


class DescribedApi(TowerApi):
    """The API, which describes its blueprints when its document is first needed.

    The document takes most of the time in which an application is made, and a command never needs it.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        # Reentrant: to describe a blueprint, flask-smorest asks for the document.
        self._describing = threading.RLock()
        self._not_described: list[Blueprint] = []
        super().__init__(*args, **kwargs)

    @property
    def spec(self) -> APISpec:
        """The document, with all blueprints that were registered. Threads may ask for it at once."""
        with self._describing:
            while self._not_described:
                blueprint = self._not_described.pop(0)
                blueprint.register_views_in_doc(self, self._app, self._spec, name=blueprint.name, parameters=None)
                self._spec.tag({"name": blueprint.name, "description": blueprint.description})
            return self._spec

    @spec.setter
    def spec(self, spec: APISpec) -> None:
        self._spec = spec

    def register_blueprint(self, blp: Blueprint) -> None:
        """Register the blueprint's routes."""
        self._app.extensions["flask-smorest"]["blp_name_to_api"][blp.name] = self
        self._app.register_blueprint(blp)
        self._not_described.append(blp)
