"""The domain: frozen data and pure functions. No Flask, no MLflow, no clock."""
