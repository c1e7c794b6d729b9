"""The mirror of the registry: read from MLflow, published, and adopted by every process."""
