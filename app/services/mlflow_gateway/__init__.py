"""The gateway to MLflow: with `mlflow_store`, the only place that imports mlflow."""

from app.services.mlflow_gateway.gateway import MlflowGateway

__all__ = ["MlflowGateway"]
