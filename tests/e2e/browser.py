# SPDX-License-Identifier: MIT
"""A headless Chromium, driven through its DevTools protocol."""

import asyncio
import base64
import json
import pathlib
import shutil
import subprocess
import tempfile
import urllib.request

import pytest

from conftest import TIMEOUT, wait_until

PROGRAM = shutil.which("chromium") or shutil.which("chromium-browser")

OPTIONS = [
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync",
    "--disable-default-apps", "--disable-extensions", "--disable-dev-shm-usage",
    "--ignore-certificate-errors", "--window-size=1100,1500", "--remote-debugging-port=0",
    "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1", "about:blank",
]


class Page:
    """A tab. Use it in one event loop."""

    def __init__(self, connection):
        self.connection = connection
        self.count = 0

    async def call(self, method, **parameters):
        self.count += 1
        await self.connection.send(json.dumps(
            {"id": self.count, "method": method, "params": parameters}))
        while (answer := json.loads(await self.connection.recv())).get("id") != self.count:
            pass  # events
        assert "error" not in answer, answer
        return answer["result"]

    async def evaluate(self, script):
        result = await self.call("Runtime.evaluate", expression=script, awaitPromise=True,
                                 returnByValue=True)
        assert "exceptionDetails" not in result, result
        return result["result"].get("value")

    async def wait(self, script):
        """Until SCRIPT, an expression, is true; looked at whenever the page has painted."""
        return await self.evaluate(
            "new Promise((resolve) => { const look = () => { const value = (" + script +
            "); if (value) resolve(value); else setTimeout(look, 20); }; look(); })")

    async def screenshot(self, path):
        size = (await self.call("Page.getLayoutMetrics"))["cssContentSize"]
        shot = await self.call("Page.captureScreenshot", captureBeyondViewport=True,
                               clip={**size, "scale": 1})
        pathlib.Path(path).write_bytes(base64.b64decode(shot["data"]))


class Browser:
    def __init__(self):
        self.directory = tempfile.mkdtemp(prefix="forebay-chromium-")
        self.process = subprocess.Popen(
            [PROGRAM, f"--user-data-dir={self.directory}", *OPTIONS],
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
            env={"HOME": self.directory, "PATH": "/usr/bin:/bin"})
        try:
            port = wait_until(self._port, "the browser's port", 2 * TIMEOUT)
        except BaseException:
            self.close()
            raise
        self.address = f"http://127.0.0.1:{port}"

    def _port(self):
        assert self.process.poll() is None, "the browser ended"
        try:
            return int((pathlib.Path(self.directory) / "DevToolsActivePort").read_text().split()[0])
        except (OSError, IndexError):
            return None

    def close(self):
        self.process.terminate()
        try:
            self.process.wait(10)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        shutil.rmtree(self.directory, ignore_errors=True)

    def new_tab(self):
        """The address of its DevTools."""
        request = urllib.request.Request(f"{self.address}/json/new?about:blank", method="PUT")
        with urllib.request.urlopen(request, timeout=TIMEOUT) as answer:
            return json.load(answer)["webSocketDebuggerUrl"]

    def run(self, script, count=1):
        """Runs the coroutine function SCRIPT with COUNT new tabs."""
        websockets = pytest.importorskip("websockets")

        async def with_tabs():
            connections = [await websockets.connect(self.new_tab(), max_size=None)
                           for _ in range(count)]
            pages = [Page(connection) for connection in connections]
            for page in pages:
                await page.call("Page.enable")
            await script(*pages)
            for connection in connections:
                await connection.close()

        asyncio.run(asyncio.wait_for(with_tabs(), 2 * TIMEOUT))
