"""gunicorn's threaded worker, changed so that clients that send slowly hold no thread and delay nobody.

gunicorn's own worker gives each connection a thread at once, and that thread waits for the request. Here requests
arrive in the loop that accepts connections, and a thread gets a request when it is complete.
"""

import errno
import re
import resource
import selectors
import socket
import struct
import time
from contextlib import suppress
from functools import partial
from typing import Any

import orjson
from gunicorn import util
from gunicorn.http.errors import NoMoreData, ParseException
from gunicorn.http.unreader import SocketUnreader
from gunicorn.workers.gthread import TConn, ThreadWorker

from app.arriving import Arriving
from app.logs import NO_REQUEST, request_id

# How long a client may read nothing of its answer: 30 s. A time-out of the kernel's costs no calls per request.
_TAKING = struct.pack("ll", 30, 0)
# How long a thread reads what is still missing of its request: the rest of a body that is too large, or of rows.
_REST_SECONDS = 10.0
_ROWS_SECONDS = 60.0
_ROWS = re.compile(rb"(?:POST|PUT) /models/[^ ?]+/(?:batches|labels|reference)[? ]")
# How long a client may take to read its last answer and close the connection.
_CLOSING_SECONDS = 2.0
# How long, when the worker stops, a client that has just connected may take to send its request.
_FIRST_SECONDS = 2.0
# The most bytes of all requests arriving in this process. Beyond, the request that began first is dropped.
_MOST_BUFFERED = 64 << 20
# Open files that a worker needs besides connections: to the agent, for the cache, for metrics.
_OTHER_FILES = 512
_PIECE = 1 << 16


def write_error(sock: socket.socket, status: int, reason: str, message: str) -> None:
    """Answer a request that gunicorn refuses, such as one with too long an address, as the service answers others."""
    body = orjson.dumps({"detail": f"{reason}: {message}" if message else reason})
    head = f"HTTP/1.1 {status} {reason}\r\nConnection: close\r\nContent-Type: application/json\r\n"
    util.write_nonblock(sock, head.encode("latin-1") + f"Content-Length: {len(body)}\r\n\r\n".encode() + body)


# gunicorn has no setting for this; it would answer in HTML, which no client of the API reads.
util.write_error = write_error


class Connection(TConn):  # type: ignore[misc]  # gunicorn has no types
    """A client's connection, with the received part of its next request."""

    def __init__(self, cfg: Any, sock: socket.socket, client: Any, server: Any) -> None:
        super().__init__(cfg, sock, client, server)
        # A thread gets the connection with its request complete, so it need not wait for data.
        self.data_ready = True
        self.arriving = Arriving()

    def init(self) -> None:
        """Called in the thread, before each request."""
        super().init()
        # A request that gunicorn refuses gets no id, and must not be logged under the thread's last one.
        request_id.set(NO_REQUEST)
        if not isinstance(self.parser.unreader, _Bounded):
            self.parser.unreader = _Bounded(self.sock, _PIECE)
            self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, _TAKING)
        self.parser.unreader.begin(bytes(self.arriving.data))

    def left_over(self) -> bytes:
        """The bytes read beyond the answered request: the beginning of the next."""
        rest: bytes = self.parser.unreader.take_buffered() if self.parser else b""
        return rest


class _Bounded(SocketUnreader):  # type: ignore[misc]  # gunicorn has no types
    """Reads a request's received bytes, then its socket until a deadline that dripping bytes cannot put off."""

    def begin(self, data: bytes) -> None:
        self.unread(data)
        self._until = time.monotonic() + (_ROWS_SECONDS if _ROWS.match(data) else _REST_SECONDS)

    def chunk(self) -> bytes:
        left = self._until - time.monotonic()
        try:
            self.sock.settimeout(max(left, 0.001))
            piece: bytes = super().chunk()
        except TimeoutError:
            raise NoMoreData() from None
        finally:
            self.sock.setblocking(True)
        return piece


class _Body:
    """The reader of a request's body. It notes where the end of the body was not found, and thus no next request."""

    def __init__(self, reader: Any) -> None:
        self._reader = reader
        self._is_broken = False
        self._taken = 0

    def read(self, size: int) -> bytes:
        """As gunicorn's readers; OSError for whatever is malformed."""
        try:
            piece: bytes = self._reader.read(size)
        except (OSError, ParseException) as error:
            self._is_broken = True
            if isinstance(error, OSError) and error.errno is not None:
                raise
            # gunicorn has an error for each part of a chunk, some of them no OSError. This one it logs as no failure.
            raise NoMoreData() from None
        self._taken += len(piece)
        return piece

    def has_no_end(self) -> bool:
        """Whether what follows cannot be told from the body, or is behind more than gunicorn discards of it."""
        # Of chunks it is not known how many follow. Whoever ceased to read them read many.
        is_unread = getattr(self._reader, "length", 0) > _PIECE or (
            self._taken > _PIECE and getattr(self._reader, "parser", None) is not None
        )
        return self._is_broken or is_unread


class TowerWorker(ThreadWorker):  # type: ignore[misc]  # gunicorn has no types
    """Connections wait in `waiting`, in the order they began to, for a complete request, each until its `timeout`."""

    # The time limit for a request, from its first byte to its last, and for a new connection to begin one.
    arriving_seconds = 30.0
    worker_connections: int

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.waiting: dict[Connection, None] = {}
        self.buffered = 0
        self.next_look = 0.0
        # Only a request of plain HTTP/1 can be recognised as complete before it is parsed.
        self.is_plain = not self.cfg.is_ssl and self.cfg.http2_cleartext == "off" and self.cfg.protocol == "http"

    def init_process(self) -> None:
        """Called once in the worker: raise the limit of open files to what its connections need."""
        most, limit = resource.getrlimit(resource.RLIMIT_NOFILE)
        wanted = self.worker_connections + _OTHER_FILES
        if most < wanted and limit > most:
            most = min(wanted, limit) if limit != resource.RLIM_INFINITY else wanted
            resource.setrlimit(resource.RLIMIT_NOFILE, (most, limit))
        self.worker_connections = max(self.cfg.threads, min(self.worker_connections, most - _OTHER_FILES))
        super().init_process()

    def set_accept_enabled(self, enabled: bool) -> None:
        """Begin or cease to accept connections. When the worker stops, idle connections are closed too."""
        super().set_accept_enabled(enabled)
        if self.alive:
            return
        if tower := getattr(self.wsgi, "extensions", {}).get("control_tower"):
            tower.retire()
        self.take_the_last()
        # Requests that have arrived on them are still answered.
        self.wait_for_and_dispatch_events(timeout=0)
        for connection in (*self.keepalived_conns, *self.pending_conns):
            connection.timeout = 0
        self.murder_keepalived()
        super().murder_pending()
        now = time.monotonic()
        for connection in [idle for idle in self.waiting if not idle.arriving.data]:
            if connection.parser is None:
                connection.timeout = min(connection.timeout, now + _FIRST_SECONDS)
            else:
                self.drop(connection)

    def take_the_last(self) -> None:
        """Accept the connections that the kernel has established already, and close the listening sockets.

        The kernel drops connections that are in its queue when the last process closes the socket.
        """
        for listener in self.sockets:
            for _ in range(self.cfg.backlog if self.is_plain else 0):
                if not self.take(listener):
                    break
            listener.close()

    def wait_for_and_dispatch_events(self, timeout: float) -> None:
        """Like gunicorn's, for a second at most, so that expired connections do not delay a stop."""
        super().wait_for_and_dispatch_events(min(timeout, 1.0))

    def accept(self, listener: socket.socket) -> None:
        """Accept a new connection."""
        if self.is_plain:
            self.take(listener)
        else:
            super().accept(listener)

    def take(self, listener: socket.socket) -> bool:
        """Accept a new connection; False if there is none. Beyond the limit, the longest waiting one is closed."""
        try:
            client, address = listener.accept()
        except ConnectionAbortedError:
            return True
        except BlockingIOError:
            return False
        except OSError as error:
            if error.errno not in (errno.EMFILE, errno.ENFILE):
                raise
            self.make_room()
            return False
        self.nr_conns += 1
        self.wait(Connection(self.cfg, client, address, listener.getsockname()), self.arriving_seconds)
        if self.nr_conns >= self.worker_connections:
            self.make_room()
        return True

    def make_room(self) -> None:
        """Close the connection that has waited longest."""
        if self.waiting:
            self.drop(next(iter(self.waiting)))

    def wait(self, connection: Connection, seconds: float) -> None:
        """Wait for data on the connection, for so many seconds."""
        connection.timeout = time.monotonic() + seconds
        self.waiting[connection] = None
        self.buffered += len(connection.arriving.data)
        self.poller.register(connection.sock, selectors.EVENT_READ, partial(self.arrives, connection))

    def arrives(self, connection: Connection, sock: socket.socket) -> None:
        """Take data that has arrived; give a complete request to a thread."""
        piece = self.received(connection, sock)
        if not piece:
            return
        arriving = connection.arriving
        if not arriving.data:
            connection.timeout = time.monotonic() + self.arriving_seconds
            self.waiting[connection] = self.waiting.pop(connection)
        arriving.data += piece
        self.buffered += len(piece)
        if arriving.is_complete():
            self.forget(connection)
            self.enqueue_req(connection)
            return
        if arriving.expects_continue:
            arriving.expects_continue = False
            with suppress(OSError):
                sock.send(b"HTTP/1.1 100 Continue\r\n\r\n")
        while self.buffered > _MOST_BUFFERED:
            self.drop(next(other for other in self.waiting if other.arriving.data))

    def handle_request(self, req: Any, conn: TConn) -> bool:
        """Called in the thread. A connection on which the next request cannot be found is closed, which is said."""
        body = req.body.reader = _Body(req.body.reader)
        is_last = req.should_close
        req.should_close = lambda: body.has_no_end() or is_last()
        stays: bool = super().handle_request(req, conn)
        return stays

    def finish_request(self, conn: TConn, fs: Any) -> None:
        """Called in the loop after a thread is done: wait for the next request, or close the connection."""
        if not isinstance(conn, Connection):
            super().finish_request(conn, fs)
            return
        try:
            stays = not fs.cancelled() and fs.result() and self.alive
        except Exception:  # noqa: BLE001 - it is logged elsewhere, and the connection cannot be used again
            stays = False
        with suppress(OSError):
            conn.sock.setblocking(False)
        if not stays:
            self.linger(conn)
            return
        conn.arriving = Arriving(conn.left_over())
        if conn.arriving.data and conn.arriving.is_complete():
            self.enqueue_req(conn)
        else:
            self.wait(conn, self.cfg.keepalive)

    def linger(self, connection: Connection) -> None:
        """Shut the sending side and wait for the client to close. Closing at once could lose the last answer."""
        connection.arriving = Arriving()
        try:
            connection.sock.shutdown(socket.SHUT_WR)
        except OSError:
            self.nr_conns -= 1
            connection.close()
            return
        connection.timeout = time.monotonic() + _CLOSING_SECONDS
        self.waiting[connection] = None
        self.poller.register(connection.sock, selectors.EVENT_READ, partial(self.ends, connection))

    def ends(self, connection: Connection, sock: socket.socket) -> None:
        """Discard what a client still sends until it closes."""
        self.received(connection, sock)

    def received(self, connection: Connection, sock: socket.socket) -> bytes:
        """The data that has arrived on a connection; b"" if there is none yet, or if the connection has ended."""
        if connection not in self.waiting:
            # Closed by an event of another connection in the same round.
            return b""
        try:
            piece = sock.recv(_PIECE)
        except (BlockingIOError, InterruptedError):
            return b""
        except OSError:
            piece = b""
        if not piece:
            self.drop(connection)
        return piece

    def forget(self, connection: Connection) -> None:
        """Stop waiting for the connection, without closing it."""
        del self.waiting[connection]
        self.buffered -= len(connection.arriving.data)
        self.poller.unregister(connection.sock)

    def drop(self, connection: Connection) -> None:
        self.forget(connection)
        self.nr_conns -= 1
        connection.close()

    def murder_pending(self) -> None:
        """Once a second: close the connections whose time is over."""
        super().murder_pending()
        now = time.monotonic()
        if now < self.next_look:
            return
        self.next_look = now + 1
        for connection in [expired for expired in self.waiting if expired.timeout <= now]:
            self.drop(connection)
