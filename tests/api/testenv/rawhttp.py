"""HTTP/1.1 over a bare socket, for what no well-behaved client sends."""

import json
import socket
import ssl

from .reply import Reply
from .waiting import PATIENCE


class Closed(Exception):
    """The server closed the connection before a whole answer came."""


class RawHttp:
    """One connection. send() takes bytes as they are; reply() reads exactly one answer."""

    def __init__(self, port, host="127.0.0.1", tls=None, seconds=15.0, receive_buffer=None):
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        if receive_buffer:
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        self.socket.settimeout(seconds * PATIENCE)
        self.socket.connect((host, port))
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if tls is not None:
            self.socket = tls.wrap_socket(self.socket, server_hostname="localhost")
        self.pending = b""

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def close(self):
        self.socket.close()

    def reset(self):
        """Closes with RST instead of FIN."""
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        self.socket.close()

    def send(self, data):
        self.socket.sendall(data if isinstance(data, bytes) else data.encode())
        return self

    def request(self, method, path, body=b"", headers=()):
        """Sends one request with Host and, when there is a body, Content-Length."""
        return self.send(request_bytes(method, path, body, headers))

    def get(self, path, headers=()):
        return self.request("GET", path, headers=headers).reply()

    def post(self, path, body, headers=()):
        if not isinstance(body, (bytes, str)):
            body = json.dumps(body)
        return self.request("POST", path, body, headers).reply()

    def more(self):
        """Reads what is there into `pending`; raises Closed at the end of the stream."""
        try:
            data = self.socket.recv(65536)
        except (ConnectionError, ssl.SSLEOFError) as error:
            raise Closed(f"{error}; before that: {self.pending[:200]!r}") from error
        if not data:
            raise Closed(f"end of stream; before that: {self.pending[:200]!r}")
        self.pending += data

    def take(self, count):
        while len(self.pending) < count:
            self.more()
        taken, self.pending = self.pending[:count], self.pending[count:]
        return taken

    def take_until(self, mark):
        while mark not in self.pending:
            self.more()
        taken, _, self.pending = self.pending.partition(mark)
        return taken

    def reply(self, head=False):
        """One answer, 1xx ones included. `head`: the answer to a HEAD request has no body."""
        lines = self.take_until(b"\r\n\r\n").decode("latin-1").split("\r\n")
        version, status, *reason = lines[0].split(" ", 2)
        reply = Reply(int(status), [], b"", reason[0] if reason else "", version)
        for line in lines[1:]:
            name, separator, value = line.partition(":")
            assert separator and name and name == name.strip(), f"malformed header {line!r}"
            reply.headers.append((name, value.strip()))
        if head or reply.status < 200 or reply.status in (204, 304):
            return reply
        if (reply.header("Transfer-Encoding") or "").lower() == "chunked":
            reply.body = self.chunks()
        else:
            length = reply.header("Content-Length")
            assert length is not None and length.isdigit(), f"no length: {reply.headers}"
            reply.body = self.take(int(length))
        return reply

    def chunks(self):
        body = b""
        while True:
            size = int(self.take_until(b"\r\n").split(b";")[0], 16)
            body += self.take(size)
            assert self.take(2) == b"\r\n"
            if size == 0:
                return body

    def is_closed_by_server(self):
        """True when the server ends the stream without sending more; waits for it."""
        try:
            data = self.socket.recv(65536)
        except (ConnectionError, ssl.SSLError):
            return True
        self.pending += data
        return not data

    def is_silent(self, seconds=0.3):
        """True when nothing at all arrives for a while."""
        if self.pending:
            return False
        before = self.socket.gettimeout()
        self.socket.settimeout(seconds)
        try:
            self.pending += self.socket.recv(65536)
            return False
        except (TimeoutError, ssl.SSLWantReadError):
            return True
        finally:
            self.socket.settimeout(before)


def request_bytes(method, path, body=b"", headers=()):
    """The bytes of a request. A dict as body becomes JSON."""
    if isinstance(body, dict):
        body = json.dumps(body)
    body = body if isinstance(body, bytes) else body.encode()
    items = list(headers.items() if isinstance(headers, dict) else headers)
    names = {name.lower() for name, _ in items}
    if "host" not in names:
        items.insert(0, ("Host", "localhost"))
    if (body or method in ("POST", "PUT")) and not names & {"content-length", "transfer-encoding"}:
        items.append(("Content-Length", str(len(body))))
    head = "".join(f"{name}: {value}\r\n" for name, value in items)
    return f"{method} {path} HTTP/1.1\r\n{head}\r\n".encode("latin-1") + body


def chunked(*pieces):
    """The pieces as a chunked body with its end."""
    return b"".join(b"%x\r\n%s\r\n" % (len(piece), piece) for piece in pieces) + b"0\r\n\r\n"
