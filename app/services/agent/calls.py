"""Calls between the processes of a host: which methods may be called, and how their values cross.

Only the methods of an interface, a class of `typing.Protocol`, may be called. Values cross as MessagePack, and msgspec
checks them on arrival against the type hints of the method. Nothing that arrives is executed.
"""

import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any, TypeVar, get_type_hints

import msgspec

from app.domain import errors
from app.domain.errors import Busy, InvalidInput, MlflowUnavailable, TowerError
from app.domain.ports import TimeBounds

T = TypeVar("T")

_Pack = msgspec.msgpack.Encoder().encode
_ERRORS: Mapping[str, type[TowerError]] = {
    name: kind for name, kind in vars(errors).items() if isinstance(kind, type) and issubclass(kind, TowerError)
}


class Request(msgspec.Struct, frozen=True):
    """A call. `seconds` is how long it may take; None leaves that to the agent."""

    interface: str
    method: str
    arguments: msgspec.Raw
    seconds: float | None = None


class Value(msgspec.Struct, frozen=True, tag=True):
    """The value that the method returned."""

    value: msgspec.Raw


class Failure(msgspec.Struct, frozen=True, tag=True):
    """The domain error that the method raised, by the name of its class; `retry_after` is that of a `Busy`."""

    kind: str
    detail: str
    retry_after: int | None = None


class Crash(msgspec.Struct, frozen=True, tag=True):
    """Any other error: its class alone, since its text may hold a secret."""

    kind: str


Answer = Value | Failure | Crash
_requests = msgspec.msgpack.Decoder(Request)
_answers: msgspec.msgpack.Decoder[Answer] = msgspec.msgpack.Decoder(Answer)


class BadCall(Exception):
    """A call or an answer that does not fit the interface."""


@dataclass(frozen=True)
class Method:
    """A method of an interface, with the decoders for its arguments and for its value."""

    interface: str
    name: str
    signature: inspect.Signature
    arguments: msgspec.msgpack.Decoder[Sequence[Any]]
    value: msgspec.msgpack.Decoder[Any]

    def request(self, args: Sequence[object], kwargs: Mapping[str, object], seconds: float | None) -> bytes:
        """A call as bytes. Raises `TypeError` where the arguments do not fit the method."""
        bound = self.signature.bind(*args, **kwargs)
        bound.apply_defaults()
        try:
            packed = _Pack(bound.args)
        except RecursionError:
            raise InvalidInput("The request is nested too deeply.") from None
        return _Pack(Request(self.interface, self.name, msgspec.Raw(packed), seconds))

    def outcome(self, content: bytes) -> Any:
        """The value of an answer. Raises the error that the answer carries."""
        answer = _decoded(_answers, content)
        if isinstance(answer, Value):
            return _decoded(self.value, answer.value)
        if isinstance(answer, Failure):
            raise _error_of(answer)
        raise RuntimeError(answer.kind)


@cache
def methods_of(interface: type) -> Mapping[str, Method]:
    """The methods of an interface that may be called from another process, by name."""
    bounds = vars(TimeBounds)
    return {
        name: _method(interface.__name__, name, function)
        for name, function in inspect.getmembers(interface, inspect.isfunction)
        if not name.startswith("_") and name not in bounds
    }


def read_request(content: bytes) -> Request:
    """Decode a call that arrived. Raises `BadCall`."""
    return _decoded(_requests, content)


def arguments_of(method: Method, request: Request) -> Sequence[Any]:
    """The arguments of a call, checked against the method's types. Raises `BadCall`."""
    return _decoded(method.arguments, request.arguments)


def answer(call: Callable[[], object]) -> bytes:
    """The value or the domain error of a call, as bytes. Other errors are raised."""
    try:
        return _Pack(Value(msgspec.Raw(_Pack(call()))))
    except TowerError as error:
        return _Pack(Failure(type(error).__name__, error.detail, getattr(error, "retry_after", None)))


def crash(error: Exception) -> bytes:
    """An error that is not the domain's, as bytes."""
    return _Pack(Crash(type(error).__name__))


def _error_of(failure: Failure) -> TowerError:
    kind = _ERRORS.get(failure.kind, MlflowUnavailable)
    if issubclass(kind, Busy) and failure.retry_after is not None:
        return kind(failure.detail, failure.retry_after)
    return kind(failure.detail)


def _method(interface: str, name: str, function: Callable[..., Any]) -> Method:
    whole = inspect.signature(function)
    signature = whole.replace(parameters=list(whole.parameters.values())[1:])
    hints = get_type_hints(function)
    types = tuple(hints[parameter] for parameter in signature.parameters)
    arguments: Any = msgspec.msgpack.Decoder(tuple[types] if types else tuple[()])  # type: ignore[valid-type]  # made at run time
    return Method(interface, name, signature, arguments, msgspec.msgpack.Decoder(hints["return"]))


def _decoded(decoder: msgspec.msgpack.Decoder[T], content: bytes | msgspec.Raw) -> T:
    try:
        return decoder.decode(content)
    except msgspec.DecodeError as error:
        raise BadCall(str(error)) from None
