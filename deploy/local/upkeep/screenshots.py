"""Pictures of the page for the manual: a service of its own under a load that grows, and Debian's chromium.

Says how long the first view takes, too.

python3 deploy/local screenshots      into docs/images; takes three minutes
"""

from __future__ import annotations

import asyncio
import io
import os
import shutil
import signal
import socket
import sys
import tempfile
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, NoReturn

import aiohttp
from PIL import Image

if TYPE_CHECKING:
    from playwright.async_api import Browser

ROOT = Path(__file__).resolve().parents[3]
IMAGES = ROOT / "docs" / "images"
_MODEL = {
    "MODEL": "deploy/local/upkeep/screenshot_model.py:Storyteller",
    "WORKERS": "auto",
    "LOG_LEVEL": "WARNING",
    "STARTUP_GUESS_S": "6",
}
_LOAD_S = 150
_PATIENCE_S = 60
_PATIENCE_MS = 30_000
# Name, view, theme, width in px.
_VIEWS = (
    ("now", "now", "light", 1280),
    ("time", "time", "dark", 1280),
    ("jobs", "jobs", "light", 1280),
    ("api", "api", "light", 1280),
    ("phone", "now", "dark", 390),
)
_MOST_BYTES = 150_000
_PAINTS = 9
_FAR = 0.15
_WATCH_PAINTS = """window.paints = {};
new PerformanceObserver((list) => { for (const one of list.getEntries()) paints.largest = one.startTime; })
  .observe({ type: 'largest-contentful-paint', buffered: true });
new PerformanceObserver((list) => { for (const one of list.getEntries()) paints.first ??= one.startTime; })
  .observe({ type: 'paint', buffered: true });"""


def main() -> None:
    """Exit codes: 0 done, 1 failed, 2 there is no chromium."""
    chromium = shutil.which("chromium")
    if chromium is None:
        sys.stderr.write("there is no chromium: apt-get install chromium\n")
        sys.exit(2)
    asyncio.run(_run(chromium))


async def _run(chromium: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    with tempfile.TemporaryDirectory() as folder:
        environment = {**os.environ, **_MODEL, "HOST": "127.0.0.1", "PORT": str(port), "DATA_DIR": folder}
        service = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "deploy.local.up", cwd=ROOT, env=environment
        )
        try:
            await _take(f"http://127.0.0.1:{port}", chromium)
        finally:
            service.send_signal(signal.SIGINT)
            await service.wait()


async def _take(base: str, chromium: str) -> None:
    from playwright.async_api import async_playwright

    async with aiohttp.ClientSession(base) as http:
        await _until_ready(http)
        async with async_playwright() as playwright:
            browser = await playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
            await _say_paints(browser, base)
            load = asyncio.create_task(_push_more_and_more(http))
            await asyncio.sleep(_LOAD_S)
            for name, view, theme, width_px in _VIEWS:
                await _picture(browser, f"{base}/#/{view}", name, theme, width_px)
            await _picture(browser, f"{base}/#/try", "try", "light", 1280, button="Run")
            await _picture(browser, f"{base}/#/jobs/{await _job_with_a_log(http)}", "job", "dark", 1280)
            await browser.close()
        load.cancel()


async def _until_ready(http: aiohttp.ClientSession) -> None:
    async with asyncio.timeout(_PATIENCE_S):
        while True:
            try:
                async with http.get("/readyz") as response:
                    if response.status == 200:
                        return
            except aiohttp.ClientConnectionError:
                pass
            await asyncio.sleep(0.2)


async def _say_paints(browser: Browser, base: str) -> None:
    """Says when the first view is painted, in ms from its address on; the median of some empty caches."""
    found: list[list[float]] = []
    for _ in range(_PAINTS):
        context = await browser.new_context(viewport={"width": 1280, "height": 720})
        page = await context.new_page()
        await page.add_init_script(_WATCH_PAINTS)
        await page.goto(base)
        await page.locator(".queue").wait_for()
        await page.wait_for_timeout(1000)
        found.append(await page.evaluate("[paints.first, paints.largest]"))
        await context.close()
    first_ms, largest_ms = map(median, zip(*found, strict=True))
    print(f"first view: painted after {first_ms:.0f} ms, with its figures after {largest_ms:.0f} ms", flush=True)


async def _job_with_a_log(http: aiohttp.ClientSession) -> str:
    """One that goes on for a while yet."""
    story = {"prompt": "Tell me more", "words": 100}
    async with http.post("/push", params={"tag": "app", "priority": "high"}, json=story) as response:
        job_id = str((await response.json())["id"])
    async with asyncio.timeout(_PATIENCE_S):
        while True:
            async with http.get(f"/status/{job_id}") as response:
                if ((await response.json())["progress"] or {"fraction": 0})["fraction"] > _FAR:
                    return job_id
            await asyncio.sleep(0.2)


async def _push_more_and_more(http: aiohttp.ClientSession) -> NoReturn:
    loop = asyncio.get_running_loop()
    began_s = loop.time()
    while True:
        passed_s = loop.time() - began_s
        is_bad = int(passed_s) % 19 == 7
        story = {"prompt": "Tell me", "words": 20, "tone": "grim" if is_bad else "calm"}
        async with http.post("/push", params={"tag": "nightly" if is_bad else "app"}, json=story) as response:
            response.raise_for_status()
        await asyncio.sleep(4 - 3.6 * min(1.0, passed_s / _LOAD_S))


async def _picture(browser: Browser, url: str, name: str, theme: str, width_px: int, button: str = "") -> None:
    context = await browser.new_context(
        viewport={"width": width_px, "height": 720}, color_scheme="dark" if theme == "dark" else "light"
    )
    page = await context.new_page()
    page.set_default_timeout(_PATIENCE_MS)
    await page.goto(url)
    await page.get_by_text("live", exact=True).wait_for()
    if button:
        await page.get_by_label("prompt").fill("Tell me a story")
        await page.get_by_role("button", name=button).click()
        await page.locator(".partial:not([hidden])").wait_for()
    await page.wait_for_timeout(2000)
    picture = await page.screenshot()
    # With 256 colours a picture takes half of the space. k-means keeps those that only a few dots have.
    file = IMAGES / f"page-{name}.png"
    colours = Image.open(io.BytesIO(picture)).convert("RGB").quantize(256, kmeans=2, dither=Image.Dither.NONE)
    colours.save(file, optimize=True)
    if file.stat().st_size > _MOST_BYTES:
        raise SystemExit(f"{file.name} is larger than {_MOST_BYTES} bytes")
    await context.close()


if __name__ == "__main__":
    main()
