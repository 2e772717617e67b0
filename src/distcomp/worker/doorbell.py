"""Hears at once when there is work: a thread that listens on the store's wake channel."""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextlib import suppress
from socket import SHUT_RDWR
from socket import socket as Socket  # noqa: N812 - a type, and `socket` is the attribute's natural name
from typing import Any

from distcomp.errors import DistcompError
from distcomp.runner.sidethread import SideThread
from distcomp.store.keys import WAKE_CHANNEL, prefix

QUIET_S = 5.0
RETRY_S = 1.0


class Doorbell:
    """Calls `ring` from its own thread whenever tasks may have become claimable, or were taken from workers.

    Messages sent while it was not connected are lost, so it also rings after each connection.
    """

    def __init__(self, connect: Callable[[], Any], project: str, ring: Callable[[bytes], None]) -> None:
        self._connect, self._ring = connect, ring
        self._channel = prefix(project) + WAKE_CHANNEL
        self._stopping = threading.Event()
        self._socket: Socket | None = None
        self._thread = SideThread("doorbell", self._run)

    def start(self) -> None:
        """Begin to listen."""
        self._thread.start()

    def stop(self) -> None:
        """Stop listening, and wait until the thread has ended."""
        self._stopping.set()
        socket = self._socket
        if socket is not None:
            # Ends the thread's wait for a message. Only the thread itself may close what it uses.
            with suppress(OSError):
                socket.shutdown(SHUT_RDWR)
        if self._thread.ident is not None:
            self._thread.join(2 * RETRY_S)

    def _run(self) -> None:
        import redis

        while not self._stopping.is_set():
            try:
                self._listen()
            except (DistcompError, redis.RedisError, OSError):
                # The courier is the one that tells about a store that is away, and brings it back.
                self._stopping.wait(RETRY_S)

    def _listen(self) -> None:
        with self._connect() as client, client.pubsub(ignore_subscribe_messages=True) as channel:
            channel.subscribe(self._channel)
            self._socket = channel.connection._sock
            channel.get_message(timeout=QUIET_S)
            self._ring(b"connected")
            while not self._stopping.is_set():
                if message := channel.get_message(timeout=QUIET_S):
                    self._ring(message["data"])
