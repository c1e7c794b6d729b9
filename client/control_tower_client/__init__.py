"""A client of the MLOps Control Tower. It counts rows where they are, and sends the counts only."""

from control_tower_client.client import ControlTower, TowerError
from control_tower_client.counting import counts_of

__all__ = ["ControlTower", "TowerError", "counts_of"]
