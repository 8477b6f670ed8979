"""A proxy before a PostgreSQL server, which does to its connections what networks do.

It reads the client's messages, so that it knows where a pipeline ends: at its Sync, behind which
the server commits and answers. Encryption is refused, or it could not read.
"""

import socket
import struct
import threading
import time

SSL_REQUEST, GSS_REQUEST, CANCEL_REQUEST = 80877103, 80877104, 80877102

# What may happen at the end of a pipeline.
DROP = "drop"        # the Sync never arrives: nothing is stored
SEVER = "sever"      # the Sync is passed on, and both sides are cut at once
SWALLOW = "swallow"  # the server commits and answers; the answer is lost, then both sides are cut


def read_exactly(link, size):
    """So many bytes, or ConnectionError."""
    parts = []
    while size:
        part = link.recv(min(size, 1 << 16))
        if not part:
            raise ConnectionError
        parts.append(part)
        size -= len(part)
    return b"".join(parts)


def read_message(link):
    """A message's type and all of its bytes."""
    head = read_exactly(link, 5)
    return head[:1], head + read_exactly(link, struct.unpack("!I", head[1:])[0] - 4)


def close(link):
    try:
        link.shutdown(socket.SHUT_RDWR)
    except OSError:
        pass
    link.close()


class Connection:
    """One client's connection, and the one to the server that belongs to it."""

    def __init__(self, proxy, client):
        self.proxy, self.client = proxy, client
        self.server = socket.create_connection((proxy.host, proxy.port_behind))
        for link in (self.client, self.server):
            link.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.swallows = False
        self.unanswered = 0  # pipelines

    def cut(self):
        close(self.client)
        close(self.server)
        self.proxy.forget(self)

    def relay(self, work):
        """Runs one direction until either side ends."""
        try:
            work()
        except OSError:
            pass
        self.cut()

    def begin(self):
        """The messages before the first typed one."""
        while True:
            size, code = struct.unpack("!II", read_exactly(self.client, 8))
            rest = read_exactly(self.client, size - 8)
            if code in (SSL_REQUEST, GSS_REQUEST):
                self.client.sendall(b"N")
                continue
            self.server.sendall(struct.pack("!II", size, code) + rest)
            if code == CANCEL_REQUEST:
                raise ConnectionError
            return

    def to_server(self):
        self.begin()
        pipeline = b""
        while True:
            kind, message = read_message(self.client)
            self.proxy.ahead += self.unanswered > 0 and kind != b"X"  # the end waits for nothing
            self.proxy.hold()
            if kind not in b"SQ":
                pipeline += message
                self.server.sendall(message)
                continue
            fate = self.proxy.fate_of(pipeline + message)
            pipeline = b""
            if fate == DROP:
                raise ConnectionError
            self.swallows = fate == SWALLOW
            self.unanswered += 1
            self.server.sendall(message)
            if fate == SEVER:
                raise ConnectionError

    def to_client(self):
        while True:
            kind, message = read_message(self.server)
            self.proxy.hold()
            if kind == b"Z" and self.unanswered:
                self.unanswered -= 1
            if kind == b"K" and self.proxy.hides_server:
                message = message[:5] + struct.pack("!I", 1) + message[9:]
            if not self.swallows:
                self.client.sendall(message)
            elif kind == b"Z":  # ready for the next query: it has committed
                raise ConnectionError


class Proxy:
    """Listens on a port of its own and passes on to the server."""

    def __init__(self, host, port):
        self.host, self.port_behind = host, int(port)
        self.delay_s = 0  # before each message is passed on
        self.struck = 0   # pipelines that met their fate
        self.ahead = 0    # messages that did not wait for the answers to the pipeline before
        self.hides_server = False  # as poolers do: the process that the client is told is none
        self.fates = []   # of those to come: [marker, fate]
        self.connections, self.lock = set(), threading.Lock()
        self.flows = threading.Event()
        self.flows.set()
        self.listener = socket.create_server(("127.0.0.1", 0), backlog=256)
        self.port = self.listener.getsockname()[1]
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self):
        while True:
            try:
                client, _ = self.listener.accept()
            except OSError:
                return
            try:
                connection = Connection(self, client)
            except OSError:  # the server is down
                close(client)
                continue
            with self.lock:
                self.connections.add(connection)
            for work in (connection.to_server, connection.to_client):
                threading.Thread(target=connection.relay, args=(work,), daemon=True).start()

    def forget(self, connection):
        with self.lock:
            self.connections.discard(connection)

    def hold(self):
        """Called for each message: waits while the proxy is paused, or is slow."""
        self.flows.wait()
        if self.delay_s:
            time.sleep(self.delay_s)

    def fate_of(self, pipeline):
        with self.lock:
            for at, (marker, fate) in enumerate(self.fates):
                if marker in pipeline:
                    del self.fates[at]
                    self.struck += 1
                    return fate
        return None

    # what a test orders

    def strike(self, fate, marker=b"", count=1):
        """The next pipelines that contain the marker meet this fate."""
        with self.lock:
            self.fates += [(marker, fate)] * count

    def spare(self):
        """Forgets what was ordered and has not come."""
        with self.lock:
            self.fates = []

    def cut(self):
        """Cuts all connections; new ones are accepted."""
        with self.lock:
            connections = list(self.connections)
        for connection in connections:
            connection.cut()

    def pause(self):
        """Nothing passes, in neither direction, and nobody is told."""
        self.flows.clear()

    def resume(self):
        self.flows.set()

    def close(self):
        close(self.listener)
        self.flows.set()
        self.cut()
