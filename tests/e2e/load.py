# SPDX-License-Identifier: MIT
"""Clients that ask without a pause, on kept connections, until they are told to stop."""

import threading

from http_raw import TIMEOUT, Client


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
            try:
                with Client(self.address, TIMEOUT) as client:
                    while self._ask(client):
                        pass
            except (OSError, AssertionError) as error:
                with self._lock:
                    self.failures.append(error)

    def _ask(self, client):
        """One request; whether the connection may be used again."""
        client.get(self.target)
        response = client.response()
        with self._lock:
            self.statuses[response.status] = self.statuses.get(response.status, 0) + 1
        return not response.closes and not self._stop.is_set()
