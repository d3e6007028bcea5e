# SPDX-License-Identifier: MIT
"""Clients that ask without a pause, on kept connections, until they are told to stop."""

import threading
import time

from http_raw import TIMEOUT, Client

PATIENCE = 4  # seconds; a worker that retires waits five for the next request


class Load:
    """COUNT clients in threads; `statuses` and `failures` say what they met."""

    def __init__(self, address, count=8, target="/hello"):
        self.address, self.target = address, target
        self.statuses = {}
        self.failures = []
        self._lock = threading.Lock()
        self._stop = threading.Event()
        self._threads = [threading.Thread(target=self._run) for _ in range(count)]

    def __enter__(self):
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_):
        self._stop.set()
        for thread in self._threads:
            thread.join(2 * TIMEOUT)
            assert not thread.is_alive(), "a client hangs"

    @property
    def answered(self):
        """Requests answered with 200 so far."""
        return self.statuses.get(200, 0)

    def _run(self):
        while not self._stop.is_set():
            began = time.monotonic()
            try:
                with Client(self.address, TIMEOUT) as client:
                    while began := self._ask(client, began):
                        pass
            except OSError as error:
                self._fail(error)

    def _fail(self, error):
        with self._lock:
            self.failures.append(error)

    def _ask(self, client, before):
        """One request, on a connection that did something last at BEFORE or later. Returns when it was sent; None if the
        connection can't be used again."""
        sent = None
        try:
            client.get(self.target)
            sent = time.monotonic()
            response = client.response()
        except (OSError, AssertionError) as error:
            # On a busy machine, we may come so late that the server was right to end the connection.
            if client.buffer or (sent or time.monotonic()) - before < PATIENCE:
                self._fail(error)
            return None
        with self._lock:
            self.statuses[response.status] = self.statuses.get(response.status, 0) + 1
        return None if response.closes or self._stop.is_set() else sent
