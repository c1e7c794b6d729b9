"""The received part of a request, and whether it is complete: only then a thread is given to it."""

import re

# The most bytes kept of one request. The thread that refuses a larger body reads the rest of it.
MOST_BYTES = (1 << 20) + (1 << 16)
_END = b"\r\n\r\n"
_LENGTH = re.compile(rb"\r\ncontent-length:[ \t]*([0-9]{1,15})[ \t]*(?:\r\n|\Z)")
_CHUNKED = re.compile(rb"\r\ntransfer-encoding:[^\r\n]*chunked")
_EXPECTS = re.compile(rb"\r\nexpect:[ \t]*100-continue")


class Arriving:
    """The bytes of a request. gunicorn parses them again and decides, so a malformed request counts as complete."""

    def __init__(self, data: bytes = b"") -> None:
        self.data = bytearray(data)
        self.expects_continue = False
        # Where the search for the end of the headers, or for the next chunk, goes on; or where the body ends.
        self._place = 0
        self._in_headers = True
        self._in_chunks = False

    def is_complete(self) -> bool:
        """Whether there is nothing more to wait for."""
        if len(self.data) > MOST_BYTES:
            return True
        if self._in_headers and not self._read_headers():
            return False
        return self._read_chunks() if self._in_chunks else len(self.data) >= self._place

    def _read_headers(self) -> bool:
        end = self.data.find(_END, max(0, self._place - len(_END)))
        if end < 0:
            self._place = len(self.data)
            return False
        head = bytes(self.data[:end]).lower()
        self._in_headers = False
        self._place = end + len(_END)
        if _CHUNKED.search(head):
            self._in_chunks = True
        elif length := _LENGTH.search(head):
            self._place += int(length[1])
        self.expects_continue = _EXPECTS.search(head) is not None
        return True

    def _read_chunks(self) -> bool:
        """Step through the chunks. The last chunk has the size 0 and is followed by lines up to an empty line."""
        while (end := self.data.find(b"\r\n", self._place)) >= 0:
            try:
                size = int(bytes(self.data[self._place : end]).partition(b";")[0], 16)
            except ValueError:
                return True
            if size <= 0:
                return self.data.find(_END, end) >= 0
            if len(self.data) < end + size + 4:
                return False
            self._place = end + size + 4
        return False
