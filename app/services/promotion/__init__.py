"""Promotions, in the agent and in a worker: see docs/promotion.md."""
