"""How values are stored, in files and in Redis: the format's name, a checksum, and JSON. Nothing of it is executed."""

import hashlib
import logging

log = logging.getLogger(__name__)

_MAGIC = b"control-tower 4\n"
_DIGEST_BYTES = 16
_START = len(_MAGIC) + _DIGEST_BYTES


def packed(body: bytes) -> bytes:
    """JSON as it is stored."""
    return _MAGIC + _digest(body) + body


def unpacked(content: bytes, where: str) -> bytes | None:
    """The JSON of what was stored; None, with a line in the log, where that is damaged, foreign or of another format.

    `where` names the place for the log, as "A file in the cache directory".
    """
    body = content[_START:]
    if not content.startswith(_MAGIC) or content[len(_MAGIC) : _START] != _digest(body):
        log.warning("%s is damaged, foreign or of an old format: ignored", where)
        return None
    return body


def digest_of(body: bytes) -> str:
    """What tells one value from another, in hexadecimal digits."""
    return _digest(body).hex()


def _digest(body: bytes) -> bytes:
    return hashlib.blake2b(body, digest_size=_DIGEST_BYTES).digest()
