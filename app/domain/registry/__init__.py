"""The registry: registered models, versions and stages, and the fleet that they form."""
