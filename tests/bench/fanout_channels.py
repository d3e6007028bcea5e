#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""One message to the members of a group, as channels_redis does it: fanout.c's counterpart.

The members are channels of one or more processes, each received from by a coroutine, as Channels'
consumers are. Prints deliveries a second. The sender is at most a few messages ahead.
"""

import argparse
import asyncio
import contextlib
import json
import multiprocessing
import os
import subprocess
import sys
import tempfile
import time

from channels_redis.core import RedisChannelLayer

AHEAD = 4
WAIT = 60  # seconds, for whatever should happen


def make_layer(path):
    # Room for all members of a process, which share one list in Redis.
    return RedisChannelLayer(hosts=[{"address": f"unix://{path}"}], capacity=1000000)


@contextlib.contextmanager
def redis(directory):
    path = os.path.join(directory, "redis")
    with subprocess.Popen(
            ["redis-server", "--port", "0", "--unixsocket", path, "--save", "", "--appendonly", "no"],
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL) as server:
        try:
            deadline = time.monotonic() + WAIT
            while not os.path.exists(path):
                if server.poll() is not None or time.monotonic() > deadline:
                    sys.exit("redis-server doesn't start")
                time.sleep(0.01)
            yield path
        finally:
            server.terminate()


async def own(path, count, received, ready):
    layer = make_layer(path)

    async def member(channel):
        while True:
            await layer.receive(channel)
            received.value += 1  # it has one writer

    channels = [await layer.new_channel() for _ in range(count)]
    tasks = [asyncio.create_task(member(channel)) for channel in channels]
    for channel in channels:
        await layer.group_add("bench", channel)
    ready.release()
    await asyncio.gather(*tasks)


async def send(path, arguments, counts):
    layer = make_layer(path)
    message = {"type": "bench", "text": "x" * arguments.size}
    sent = 0

    def delivered():
        return sum(count.value for count in counts)

    async def send_until(end):
        nonlocal sent
        while time.monotonic() < end:
            if sent * arguments.count - delivered() > AHEAD * arguments.count:
                await asyncio.sleep(0.0001)
                continue
            await layer.group_send("bench", message)
            sent += 1

    await send_until(time.monotonic() + arguments.seconds / 2)  # a warm-up
    began, before = time.monotonic(), delivered()
    await send_until(began + arguments.seconds)
    # However long a message takes, it is measured to its end.
    deadline = time.monotonic() + WAIT
    while delivered() < sent * arguments.count:
        if time.monotonic() > deadline:
            sys.exit(f"{sent * arguments.count - delivered()} deliveries are missing")
        await asyncio.sleep(0.0001)
    return (delivered() - before) / (time.monotonic() - began), delivered()


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=1000, help="members")
    parser.add_argument("--consumers", type=int, default=1, help="processes that own them")
    parser.add_argument("--seconds", type=float, default=1)
    parser.add_argument("--size", type=int, default=128, help="octets of text")
    parser.add_argument("--directory", help="an empty one; by default a new one")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=arguments.directory) as directory, redis(directory) as path:
        ready = multiprocessing.Semaphore(0)
        counts = [multiprocessing.RawValue("L", 0) for _ in range(arguments.consumers)]
        owners = [
            multiprocessing.Process(
                daemon=True, target=lambda index=index: asyncio.run(own(
                    path, len(range(index, arguments.count, arguments.consumers)), counts[index],
                    ready)))
            for index in range(arguments.consumers)]
        for owner in owners:
            owner.start()
        for _ in owners:
            if not ready.acquire(timeout=WAIT):
                sys.exit("the members don't come")
        rate, messages = asyncio.run(send(path, arguments, counts))
        for owner in owners:
            owner.kill()
        print(json.dumps({"rate": rate, "messages": messages}))


if __name__ == "__main__":
    main()
