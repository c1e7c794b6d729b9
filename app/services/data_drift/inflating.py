"""A body in pieces, out of gzip where its Content-Encoding says so. Never more of it at once than a piece."""

import zlib
from collections.abc import Iterator

from app.domain.bodies import GZIP, GZIP_WINDOW, PIECE, PLAIN
from app.domain.errors import InvalidInput, TooLarge
from app.domain.messages import BODY_DAMAGED, OTHER_CODING


def pieces(body: bytes, coding: str, most: int) -> Iterator[bytes]:
    """The body's content. InvalidInput for a damaged one, TooLarge beyond `most` bytes after inflating."""
    if coding in PLAIN:
        yield from (body[start : start + PIECE] for start in range(0, len(body), PIECE))
        return
    if coding not in GZIP:
        raise InvalidInput(OTHER_CODING)
    inflated = 0
    for piece in _inflated(body):
        inflated += len(piece)
        if inflated > most:
            raise TooLarge(_too_large(most))
        yield piece


def whole(body: bytes, coding: str, most: int) -> bytes:
    """The body's content at once."""
    if coding in PLAIN and len(body) > most:
        raise TooLarge(_too_large(most))
    return body if coding in PLAIN else b"".join(pieces(body, coding, most))


def _too_large(most: int) -> str:
    return f"The body is too large after inflating: at most {most >> 20} MiB. Send fewer rows at once."


def _inflated(body: bytes) -> Iterator[bytes]:
    """The members of a gzip file, of which there may be several."""
    member, rest, start = zlib.decompressobj(GZIP_WINDOW), b"", 0
    is_begun = False
    while rest or start < len(body):
        if not rest:
            rest = body[start : start + PIECE]
            start += PIECE
        try:
            piece = member.decompress(rest, PIECE)
        except zlib.error:
            raise InvalidInput(BODY_DAMAGED) from None
        is_begun = True
        rest = member.unconsumed_tail
        if member.eof:
            rest = member.unused_data
            member, is_begun = zlib.decompressobj(GZIP_WINDOW), False
        if piece:
            yield piece
    if is_begun or not body:
        raise InvalidInput(BODY_DAMAGED)
