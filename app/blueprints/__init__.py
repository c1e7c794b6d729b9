"""Blueprints, one per area. A view declares, calls and returns."""
