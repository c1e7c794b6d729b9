"""What can go wrong, in the words a client reads. `app/errors.py` gives each its status."""

# A real MLflow always has an experiment, be it deleted; an empty 200 from something in between has none.
NOTHING_AT_ALL = "MLflow's answer holds nothing at all, which no MLflow says. Check what answers."


class TowerError(Exception):
    """A failure with a text for the client: what is wrong and what to do next, never a credential."""

    def __init__(self, detail: str) -> None:
        super().__init__(detail)
        self.detail = detail


class InvalidInput(TowerError):
    """The client sent something that cannot be used."""


class NotFound(TowerError):
    """What the client named does not exist."""


class Conflict(TowerError):
    """The request contradicts what is there by now."""


class TooLarge(TowerError):
    """The client asks for more than this service gives or takes at once."""


class Busy(TowerError):
    """Nothing was done, since others are at it; the same request may succeed after `retry_after` whole seconds."""

    def __init__(self, detail: str, retry_after: int = 5) -> None:
        super().__init__(detail)
        self.retry_after = retry_after


class MlflowUnavailable(TowerError):
    """MLflow cannot be reached, hangs, refuses or fails."""


class MlflowDenied(MlflowUnavailable):
    """MLflow answered, and denies the permission: whether there is such a thing is not known."""


class MlflowTooSlow(MlflowUnavailable):
    """MLflow did not answer within the time it was given."""


class MlflowAddressRefused(MlflowUnavailable):
    """MLflow's web server, or a proxy before it, refused a request unread: most likely its address is too long."""


class MlflowRefused(TowerError):
    """MLflow answered, and said that the request is not acceptable."""


class MlflowMissing(TowerError):
    """MLflow answered, and does not know what was asked for."""


class LockTimeout(Busy):
    """Another process holds the lock and did not let go in time."""


class Unauthorized(TowerError):
    """Nothing shows that the request comes from who it says: unsigned, signed with another secret, or too old."""


class DeliveryFailed(TowerError):
    """A receiver of alerts did not take a message, or nobody knows whether it did."""
