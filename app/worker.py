"""gunicorn's threaded worker, in which clients that are slow to ask hold no thread, and others never wait for them.

gunicorn's own gives a thread to each connection at once, and that thread waits for the request to come. Here a request
arrives in the loop that accepts connections, and a thread gets it when it is there.
"""

import errno
import resource
import selectors
import socket
import struct
import time
from contextlib import suppress
from functools import partial
from typing import Any

from gunicorn.http.errors import NoMoreData
from gunicorn.http.unreader import SocketUnreader
from gunicorn.workers.gthread import TConn, ThreadWorker

from app.arriving import Arriving
from app.logs import NO_REQUEST, request_id

# For a client to take anything at all of what is sent to it. The kernel's: one of Python's costs calls at each request.
_TAKING = struct.pack("ll", 30, 0)
# For what is still missing when a thread has it: the rest of a body that is too large.
_REST_SECONDS = 10.0
# After an answer with which the connection ends, for the client to read it and close.
_CLOSING_SECONDS = 2.0
# At the end of the worker, for a client that has only just connected to send its request.
_FIRST_SECONDS = 2.0
# Of all requests that are arriving in this process. Beyond, the one that has been at it longest is given up.
_MOST_BUFFERED = 64 << 20
# Files that a worker needs besides connections: to the agent, of the cache, of what it counts.
_OTHER_FILES = 512
_PIECE = 1 << 16


class Connection(TConn):  # type: ignore[misc]
    """A client's connection, with what has come of its next request."""

    def __init__(self, cfg: Any, sock: socket.socket, client: Any, server: Any) -> None:
        super().__init__(cfg, sock, client, server)
        # Threads get it with its request: they need not wait for data.
        self.data_ready = True
        self.arriving = Arriving()

    def init(self) -> None:
        """In the thread, before each request."""
        super().init()
        # One that gunicorn refuses has none, and the thread's last request is not it.
        request_id.set(NO_REQUEST)
        if not isinstance(self.parser.unreader, _Bounded):
            self.parser.unreader = _Bounded(self.sock)
            self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, _TAKING)
        self.parser.unreader.begin(bytes(self.arriving.data))

    def left_over(self) -> bytes:
        """What was read beyond the request that is answered: the beginning of the next."""
        found: bytes = self.parser.unreader.take_buffered() if self.parser else b""
        return found


class _Bounded(SocketUnreader):  # type: ignore[misc]
    """Reads what is there, and what is missing until a moment that no dripping puts off."""

    def begin(self, data: bytes) -> None:
        self.unread(data)
        self._until = time.monotonic() + _REST_SECONDS

    def chunk(self) -> bytes:
        left = self._until - time.monotonic()
        try:
            self.sock.settimeout(max(left, 0.001))
            found: bytes = super().chunk()
        except TimeoutError:
            raise NoMoreData() from None
        finally:
            self.sock.setblocking(True)
        return found


class Worker(ThreadWorker):  # type: ignore[misc]
    """Connections wait in `waiting`, the longest first, until a request is there; each has until its `timeout`."""

    # For a whole request to come, from its first byte on; and for a new connection to bring one.
    arriving_seconds = 30.0
    worker_connections: int

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.waiting: dict[Connection, None] = {}
        self.buffered = 0
        self.next_look = 0.0
        # Only of plain HTTP/1 can be seen before it is parsed whether it is there.
        self.is_plain = not self.cfg.is_ssl and self.cfg.http2_cleartext == "off" and self.cfg.protocol == "http"

    def init_process(self) -> None:
        """In the worker, once: have room for as many connections as it may hold."""
        most, limit = resource.getrlimit(resource.RLIMIT_NOFILE)
        wanted = self.worker_connections + _OTHER_FILES
        if most < wanted and limit > most:
            most = min(wanted, limit) if limit != resource.RLIM_INFINITY else wanted
            resource.setrlimit(resource.RLIMIT_NOFILE, (most, limit))
        self.worker_connections = max(self.cfg.threads, min(self.worker_connections, most - _OTHER_FILES))
        super().init_process()

    def set_accept_enabled(self, enabled: bool) -> None:
        """Accept, or no more; with the worker's end, connections on which nobody asks end too."""
        super().set_accept_enabled(enabled)
        if self.alive:
            return
        self.take_the_last()
        # What has come on them is still answered.
        self.wait_for_and_dispatch_events(timeout=0)
        for connection in (*self.keepalived_conns, *self.pending_conns):
            connection.timeout = 0
        self.murder_keepalived()
        super().murder_pending()
        now = time.monotonic()
        for connection in [one for one in self.waiting if not one.arriving.data]:
            if connection.parser is None:
                connection.timeout = min(connection.timeout, now + _FIRST_SECONDS)
            else:
                self.drop(connection)

    def take_the_last(self) -> None:
        """Take the connections that the kernel has made already, and let it make no more.

        Whoever is in that queue when the last process closes the socket has sent its request to nobody.
        """
        for listener in self.sockets:
            for _ in range(self.cfg.backlog if self.is_plain else 0):
                if not self.take(listener):
                    break
            listener.close()

    def wait_for_and_dispatch_events(self, timeout: float) -> None:
        """As gunicorn's, for a second at most: connections whose time is over do not keep a stop waiting."""
        super().wait_for_and_dispatch_events(min(timeout, 1.0))

    def accept(self, listener: socket.socket) -> None:
        """Take a new connection."""
        if self.is_plain:
            self.take(listener)
        else:
            super().accept(listener)

    def take(self, listener: socket.socket) -> bool:
        """Take a new connection, if there is one; of too many, the one that has waited longest makes room."""
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
        """End the connection that has waited longest."""
        if self.waiting:
            self.drop(next(iter(self.waiting)))

    def wait(self, connection: Connection, seconds: float) -> None:
        """Look at the connection again when something comes, for so many seconds."""
        connection.timeout = time.monotonic() + seconds
        self.waiting[connection] = None
        self.buffered += len(connection.arriving.data)
        self.poller.register(connection.sock, selectors.EVENT_READ, partial(self.arrives, connection))

    def arrives(self, connection: Connection, sock: socket.socket) -> None:
        """Something has come."""
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
            self.drop(next(one for one in self.waiting if one.arriving.data))

    def finish_request(self, conn: TConn, fs: Any) -> None:
        """In the loop, after a thread is done: wait for the next request, or end the connection."""
        if not isinstance(conn, Connection):
            super().finish_request(conn, fs)
            return
        try:
            stays = not fs.cancelled() and fs.result() and self.alive
        except Exception:  # noqa: BLE001 - whatever it was, it is logged, and the connection cannot be used again
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
        """Say that nothing follows, and wait for the client to close: at once, its last answer could get lost."""
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
        """What a client still sends is thrown away until it closes."""
        self.received(connection, sock)

    def received(self, connection: Connection, sock: socket.socket) -> bytes:
        """What has come on a connection; nothing where that is for later, or where this was its end."""
        if connection not in self.waiting:
            # Ended by what came on another one, in the same look at all.
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
        """Wait for it no longer."""
        del self.waiting[connection]
        self.buffered -= len(connection.arriving.data)
        self.poller.unregister(connection.sock)

    def drop(self, connection: Connection) -> None:
        self.forget(connection)
        self.nr_conns -= 1
        connection.close()

    def murder_pending(self) -> None:
        """Once a second: end the connections whose time is over."""
        super().murder_pending()
        now = time.monotonic()
        if now < self.next_look:
            return
        self.next_look = now + 1
        for connection in [one for one in self.waiting if one.timeout <= now]:
            self.drop(connection)
