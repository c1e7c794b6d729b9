"""Looks at the registry that wait until their changes are recorded."""

from collections import deque
from collections.abc import Sequence

from app.domain.registry_history.looking import Look

# If more wait, the oldest are forgotten: the state is then compared without the steps between.
_MOST = 200


class Looks:
    """The looks of this process that the recorder of changes has not taken yet."""

    def __init__(self) -> None:
        self._waiting: deque[Look] = deque(maxlen=_MOST)

    def add(self, look: Look) -> None:
        self._waiting.append(look)

    def take(self) -> Sequence[Look]:
        """The looks since the last call, in their order."""
        taken: list[Look] = []
        while self._waiting:
            taken.append(self._waiting.popleft())
        return taken
