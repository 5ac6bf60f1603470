"""Messages between the launchers of several hosts: lines of JSON over TCP."""

import json
import queue
import socket
import threading
import time
from typing import Any

_BEAT = {"kind": "beat"}
_LONGEST = 1 << 20


class ConnectionLost(ConnectionError):
    """The other launcher has gone, or nothing has come from it for too long."""


class Connection:
    """One connection, whose both ends say regularly that they are there.

    A cable that is cut closes no connection: silence is what tells.

    Args:
        stream: A connected socket.
        timeout: Seconds of silence after which the other is lost.
    """

    def __init__(self, stream: socket.socket, timeout: float):
        self._stream, self._timeout = stream, timeout
        stream.settimeout(timeout)
        stream.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._messages: queue.Queue[dict[str, Any] | None] = queue.Queue()
        self._heard = time.monotonic()
        self._closed = threading.Event()
        self._sending = threading.Lock()
        for work in (self._read, self._beat):
            threading.Thread(target=work, daemon=True).start()

    def send(self, **message: Any) -> None:
        """Sends a message.

        Raises:
            ConnectionLost: If that is not possible.
        """
        data = json.dumps(message).encode() + b"\n"
        try:
            with self._sending:
                self._stream.sendall(data)
        except OSError as error:
            self.close()
            raise ConnectionLost(str(error)) from error

    def receive(self, seconds: float = 0.0) -> dict[str, Any] | None:
        """Returns the next message, `None` if none comes within `seconds`.

        Raises:
            ConnectionLost: If the other end is lost.
        """
        try:
            message = self._messages.get(timeout=seconds) if seconds else None
            if not seconds:
                message = self._messages.get_nowait()
        except queue.Empty:
            if self._closed.is_set():
                raise ConnectionLost("the connection is closed") from None
            if time.monotonic() - self._heard > self._timeout:
                self.close()
                raise ConnectionLost(f"silent for {self._timeout:g} s") from None
            return None
        if message is None:
            raise ConnectionLost("the other end has closed the connection")
        return message

    def expect(self, kind: str, seconds: float) -> dict[str, Any]:
        """Returns the next message, which must be of this kind.

        Raises:
            ConnectionLost: If none comes in time, or another one.
        """
        end = time.monotonic() + seconds
        while (rest := end - time.monotonic()) > 0:
            message = self.receive(min(rest, 0.2))
            if message is not None:
                if message.get("kind") == kind:
                    return message
                if message.get("kind") != "exit":  # of the round before
                    raise ConnectionLost(f"{message.get('kind')} instead of {kind}")
        raise ConnectionLost(f"no {kind} within {seconds:g} s")

    def close(self) -> None:
        """Closes the connection."""
        self._closed.set()
        self._stream.close()

    def _read(self):
        try:
            with self._stream.makefile("rb") as lines:
                while line := lines.readline(_LONGEST):
                    self._heard = time.monotonic()
                    message = json.loads(line)
                    if message != _BEAT:
                        self._messages.put(message)
        except (OSError, ValueError):
            self._closed.set()  # torn, silent, or not one of ours
        self._messages.put(None)

    def _beat(self):
        while not self._closed.wait(self._timeout / 5):
            try:
                self.send(**_BEAT)
            except ConnectionLost:
                return
