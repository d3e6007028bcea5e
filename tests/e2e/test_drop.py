# SPDX-License-Identifier: MIT
"""The resilience mode: a server whose layer drops messages on purpose."""

import json

from conftest import DEMO, wait_until


def statistics(server):
    return json.loads(server.forebay("stat", "-l", "test", "--json").stdout)


def test_requests_that_are_dropped_time_out(serve):
    server = serve("--drop", "http.request=100", "--response-timeout", "100ms", app=DEMO)
    assert "drops messages on purpose: http.request=100" in server.log
    with server.client() as client:
        client.get("/hello")
        assert client.response().status == 504
    found = statistics(server)
    assert found["drops"] == "http.request=100"
    assert found["counters"]["dropped_on_purpose"] == 1 and found["counters"]["expired"] == 0
    assert b"on purpose: http.request=100" in server.forebay("stat", "-l", "test").stdout


def test_the_same_ones_each_time(serve):
    def survivors():
        server = serve("--drop", "http.request=50", environment={"FOREBAY_DROP_SEED": "7"})
        layer = server.layer("http.request")
        clients = []
        for number in range(1, 13):
            clients.append(server.client())
            clients[-1].get(f"/{number}")
            wait_until(lambda: sum(statistics(server)["counters"][name] for name in (
                "sent", "dropped_on_purpose")) == number, "the request")
        paths = []
        while message := layer.receive(0):
            paths.append(message["path"])
        for client in clients:
            client.close()
        return paths
    first = survivors()
    assert first == survivors() and 0 < len(first) < 12


def test_nothing_is_dropped_by_default(serve):
    server = serve(app=DEMO)
    assert "on purpose" not in server.log
    assert statistics(server)["drops"] == ""
