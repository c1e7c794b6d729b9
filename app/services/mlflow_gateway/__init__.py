"""The gateway to MLflow: the only place that imports mlflow."""
