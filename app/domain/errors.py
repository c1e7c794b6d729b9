"""The errors of the service, with the text that clients read. `app/errors.py` maps each to an HTTP status."""

# A real MLflow always has an experiment, be it deleted; an empty 200 from something in between has none.
NOTHING_AT_ALL = "MLflow's answer is empty, though every MLflow has an experiment. Check what answers at its address."
NOTHING_SHOWN = (
    "MLflow shows this service's user no experiment and no registered model. Give it the right to read them."
)

MISFITS = (KeyError, TypeError, ValueError, AttributeError, OverflowError, IndexError)
"""What reading a stored value raises that has another shape: somebody else, or another release, wrote it."""


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


class Forbidden(TowerError):
    """The client is known and may not do this."""


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
    """MLflow answered and denied the permission, so that it is not known whether the thing exists."""


class MlflowTooSlow(MlflowUnavailable):
    """MLflow did not answer within the time it was given."""


class MlflowOverloaded(MlflowUnavailable):
    """MLflow answered that it has too much to do at present, as with a locked database."""


class MlflowAddressRefused(MlflowUnavailable):
    """MLflow's web server, or a proxy before it, refused a request unread, most likely since its URL is too long."""


class MlflowRefused(TowerError):
    """MLflow answered that the request is invalid."""


class MlflowMissing(TowerError):
    """MLflow answered that it does not know what the request names."""


class LockTimeout(Busy):
    """Another process holds the lock and did not release it in time."""


class Unauthorized(TowerError):
    """The sender of the request is not proved: it is unsigned, signed with another secret, or too old."""


class DeliveryFailed(TowerError):
    """A receiver of alerts did not accept a message, or it is not known whether it did."""
