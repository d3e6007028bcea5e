# SPDX-License-Identifier: MIT
"""The demo's page in a real browser. Skipped where Chromium isn't installed.

FOREBAY_SCREENSHOTS=DIRECTORY keeps the screenshots there.
"""

import os
import pathlib
import struct

import pytest

import browser
from conftest import DEMO, SANITIZED

pytestmark = [
    pytest.mark.skipif(not browser.PROGRAM, reason="Chromium is not installed"),
    # The browser is the slow one, and the server's paths are those of test_websocket.py.
    pytest.mark.skipif(SANITIZED, reason="on the plain build only"),
]


@pytest.fixture(scope="module")
def chromium():
    instance = browser.Browser()
    yield instance
    instance.close()


@pytest.fixture
def shot(tmp_path, request):
    """Where the screenshot goes; looks at its beginning afterwards."""
    directory = pathlib.Path(os.environ.get("FOREBAY_SCREENSHOTS") or tmp_path)
    directory.mkdir(parents=True, exist_ok=True)
    path = directory / (request.node.name + ".png")
    yield path
    octets = path.read_bytes()
    assert octets.startswith(b"\x89PNG")
    width, height = struct.unpack(">II", octets[16:24])
    assert width >= 300 and height >= 500


def test_the_page_echoes_through_a_websocket(chromium, demo, shot):
    async def talk(page):
        await page.call("Page.navigate", url=demo.url("/"))
        await page.wait("document.readyState === 'complete' && document.getElementById('socket')")
        said = '<b>"over" & out</b> 🌊'
        for text in ("over the weir", said):
            await page.evaluate(
                "(() => { const form = document.getElementById('socket');"
                f"form.elements.text.value = {text!r}; form.requestSubmit(); }})()")
            await page.wait("document.querySelector('#socket ~ pre').textContent"
                            f".includes({'← ' + text!r})")
        # What was said is shown as it was said, not as HTML.
        assert await page.evaluate("document.querySelector('#socket ~ pre b') === null")
        await page.evaluate("document.getElementById('hello').requestSubmit()")
        await page.wait("document.querySelector('#hello ~ pre').textContent.includes('200 OK')")
        await page.evaluate("document.querySelector('#socket [data-close]').click()")
        await page.wait("document.querySelector('#socket ~ pre').textContent"
                        ".includes('closed, 1000')")
        await page.screenshot(shot)

    chromium.run(talk)


def test_the_page_fits_a_narrow_window(chromium, demo, shot):
    async def look(page):
        await page.call("Emulation.setDeviceMetricsOverride", width=360, height=800, deviceScaleFactor=1,
                        mobile=False)
        await page.call("Page.navigate", url=demo.url("/"))
        await page.wait("document.readyState === 'complete' && document.getElementById('socket')")
        assert await page.evaluate("document.documentElement.scrollWidth") <= 360
        await page.screenshot(shot)

    chromium.run(look)


def test_two_tabs_chat(chromium, serve, shot):
    server = serve("--websocket-accept", "wait", "--group-history", "demo.chat=20", app=DEMO, app_processes=2)
    output = "document.querySelector('#chat ~ pre')"

    async def say(page, name, text):
        await page.evaluate(
            "(() => { const form = document.getElementById('chat');"
            f"form.elements.name.value = {name!r}; form.elements.text.value = {text!r};"
            "form.requestSubmit(); })()")

    async def talk(one, two):
        for page in (one, two):
            await page.call("Page.navigate", url=server.url("/"))
            await page.wait(f"{output} && {output}.textContent.includes('open')")
        await say(one, "Ann", "<img src=x onerror=alert(1)> & who is there?")
        await say(two, "Bo", "me")
        for page in (one, two):
            await page.wait(f"{output}.textContent.includes('← Bo: me')")
            await page.wait(f"{output}.textContent.includes("
                            "'← Ann: <img src=x onerror=alert(1)> & who is there?')")
            # It is shown as it was said, not as HTML.
            assert await page.evaluate(f"{output}.querySelector('img') === null")
        await one.evaluate("document.querySelector('#chat [data-close]').click()")
        await one.wait(f"{output}.textContent.includes('closed, 1000')")
        await say(two, "Bo", "she has left")
        await two.wait(f"{output}.textContent.includes('← Bo: she has left')")
        assert not await one.evaluate(f"{output}.textContent.includes('she has left')")
        # She comes back, and gets what she missed, and nothing a second time.
        await say(one, "Ann", "here I am")
        for page in (one, two):
            await page.wait(f"{output}.textContent.includes('← Ann: here I am')")
        await one.wait(f"{output}.textContent.includes('← Bo: she has left')")
        for text in ("Bo: me", "Bo: she has left", "Ann: here I am"):
            assert await one.evaluate(f"{output}.textContent.split({'← ' + text!r}).length") == 2
        await two.screenshot(shot)

    chromium.run(talk, count=2)
