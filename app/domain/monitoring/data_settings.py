"""The settings for the data of a registration: what counts when inputs or predictions move, and how much matters."""

from dataclasses import dataclass

# As in `verdicts`, which leads back to the settings.
OFF, DEGRADED, DRIFTING = "off", "degraded", "drifting"
EFFECTS = (OFF, DEGRADED, DRIFTING)


@dataclass(frozen=True, slots=True)
class DataSettings:
    """What verdict moved inputs, moved predictions and an estimate that fell make: `degraded`, `drifting`, or `off`.

    `observe`: realised figures become observations. `floor` is the least share of the mass that matters.
    """

    inputs: str = DEGRADED
    predictions: str = DEGRADED
    estimate: str = DEGRADED
    observe: bool = True
    floor: float = 0.05
