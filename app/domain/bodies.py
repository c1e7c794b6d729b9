"""What the service takes as the body of a request: how large it may be, and in which codings."""

MOST_BODY_BYTES = 1 << 20
"""The bound of all bodies but those with rows."""

MOST_DRAINED_BYTES = 8 << 20
"""How much of a body that is refused is read and discarded, so that the client gets the answer, not a reset."""

PIECE = 1 << 20
"""How much of a large body is read or inflated at once."""

PLAIN = ("", "identity")
GZIP = ("gzip", "x-gzip")
GZIP_WINDOW = 31
"""zlib's `wbits` for gzip with its header and checksum."""
