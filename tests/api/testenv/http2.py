"""HTTP/2 by the h2 package over a bare socket: whole requests, and frames no client sends."""

import socket
import struct

import h2.config
import h2.connection
import h2.events
import h2.settings

from .reply import Reply
from .waiting import PATIENCE, until

HEADERS, SETTINGS, PING, GOAWAY, CONTINUATION = 1, 4, 6, 7, 9


def frame(kind, flags, stream, payload=b""):
    """A frame as bytes, whether it makes sense or not."""
    return struct.pack(">I", len(payload))[1:] + struct.pack(">BBI", kind, flags, stream) + payload


class Stream:
    def __init__(self, number):
        self.number = number
        self.headers, self.trailers, self.body = [], [], b""
        self.ended, self.reset = False, None

    @property
    def reply(self):
        plain = [(name, value) for name, value in self.headers if not name.startswith(":")]
        return Reply(int(dict(self.headers)[":status"]), plain, self.body, "")


class Http2:
    """One connection. `window`: of each stream, and taken off the connection's own as well."""

    def __init__(self, port, host="127.0.0.1", tls=None, window=None, reads=True,
                 receive_buffer=None):
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        if receive_buffer:
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        self.socket.settimeout(30 * PATIENCE)
        self.socket.connect((host, port))
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if tls is not None:
            tls.set_alpn_protocols(["h2"])
            self.socket = tls.wrap_socket(self.socket, server_hostname="localhost")
        self.state = h2.connection.H2Connection(
            h2.config.H2Configuration(client_side=True, header_encoding="utf-8"))
        self.state.initiate_connection()
        if window is not None:
            self.state.update_settings({h2.settings.SettingCodes.INITIAL_WINDOW_SIZE: window})
        self.streams, self.goaways, self.closed = {}, [], False
        self.pending = b""
        self.acknowledges = reads   # hands windows back as bytes come
        self.send()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def close(self):
        self.socket.close()

    def send(self, data=None):
        self.socket.sendall(self.state.data_to_send() if data is None else data)

    def begin(self, method, path, body=None, headers=None, end=True):
        """Sends a request's head, and its body as windows allow; returns the Stream."""
        number = self.state.get_next_available_stream_id()
        stream = self.streams[number] = Stream(number)
        head = [(":method", method), (":scheme", "http"), (":authority", "localhost"),
                (":path", path), *((name.lower(), value) for name, value in (headers or {}).items())]
        self.state.send_headers(number, head, end_stream=end and body is None)
        self.send()
        if body is not None:
            self.write(stream, body, end)
        return stream

    def write(self, stream, data, end=False):
        while data:
            room = min(self.state.local_flow_control_window(stream.number),
                       self.state.max_outbound_frame_size)
            if room == 0:
                if not self.take() or stream.ended or stream.reset is not None:
                    return
                continue
            self.state.send_data(stream.number, data[:room])
            data = data[room:]
            self.send()
        if end:
            self.state.end_stream(stream.number)
            self.send()

    def take(self):
        """Reads once; False when the server has closed."""
        try:
            data = self.socket.recv(65536)
        except ConnectionResetError:
            data = b""
        if not data:
            self.closed = True
            return False
        for event in self.state.receive_data(self._without_goaways(data)):
            self._on(event)
        try:
            self.send()
        except OSError:
            self.closed = True
        return not self.closed

    def _without_goaways(self, data):
        """Whole frames, without GOAWAY: the package takes streams under way for an error then."""
        self.pending += data
        kept = b""
        while len(self.pending) >= 9:
            length = 9 + int.from_bytes(self.pending[:3], "big")
            if len(self.pending) < length:
                break
            one, self.pending = self.pending[:length], self.pending[length:]
            if one[3] == GOAWAY:
                self.goaways.append(struct.unpack_from(">II", one, 9))
            else:
                kept += one
        return kept

    def _on(self, event):
        stream = self.streams.get(getattr(event, "stream_id", None))
        if isinstance(event, h2.events.ResponseReceived):
            stream.headers = event.headers
        elif isinstance(event, h2.events.DataReceived):
            stream.body += event.data
            if self.acknowledges:
                self.state.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
        elif isinstance(event, h2.events.TrailersReceived):
            stream.trailers = event.headers
        elif isinstance(event, h2.events.StreamEnded):
            stream.ended = True
        elif isinstance(event, h2.events.StreamReset) and stream:
            stream.reset = event.error_code

    def finish(self, stream):
        """Reads until the stream's answer is whole; returns it."""
        while not stream.ended and stream.reset is None and self.take():
            pass
        assert stream.ended, (stream.reset, self.goaways, stream.headers)
        return stream.reply

    def call(self, method, path, body=None, headers=None):
        return self.finish(self.begin(method, path, body, headers))

    def until_closed(self):
        while self.take():
            pass

    def wait_goaway(self, count=1):
        until(lambda: len(self.goaways) >= count or not self.take(), 20)
        assert len(self.goaways) >= count, self.goaways
