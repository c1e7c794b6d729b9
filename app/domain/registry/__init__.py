"""The registry: registered models, versions, stages, and the fleet made of them."""
