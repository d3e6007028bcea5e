# SPDX-License-Identifier: MIT
"""The demo's page in a real browser. Skipped where Chromium isn't installed.

FOREBAY_SCREENSHOTS=DIRECTORY keeps the screenshots there.
"""

import os
import pathlib
import struct

import pytest

import browser
from conftest import SANITIZED

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
    assert width >= 500 and height >= 500


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
