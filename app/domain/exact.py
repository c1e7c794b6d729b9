"""Bytes that take no more room than they need."""


def exact(content: bytes) -> bytes:
    """The same bytes, for who keeps them: those that orjson hands out lie in up to four times their room."""
    return bytes(memoryview(content))
