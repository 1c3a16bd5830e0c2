"""Debian's chromium, driven by Playwright; no browser is downloaded."""

from __future__ import annotations

import contextlib
import os
import shutil
from importlib.resources import files
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from playwright.async_api import ConsoleMessage, Page

PATIENCE_MS = 30_000
CHROMIUM = shutil.which("chromium")


def _is_fault(message: ConsoleMessage) -> bool:
    # A network interface of the machine that comes or goes has nothing to do with the page.
    return message.type == "error" and "ERR_NETWORK_CHANGED" not in message.text


@contextlib.asynccontextmanager
async def opened(url: str, width_px: int = 1280, theme: str = "light") -> AsyncIterator[tuple[Page, list[str]]]:
    """A page, and all that the browser has complained of; a refusal by the policy is such a complaint.

    Skips the test where there is no chromium, unless REQUIRE_CHROMIUM is set, as in CI.
    """
    if not CHROMIUM:
        assert "REQUIRE_CHROMIUM" not in os.environ, "there is no chromium"
        pytest.skip("needs chromium (apt-get install chromium)")
    from playwright.async_api import async_playwright

    complaints: list[str] = []
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox", "--disable-gpu"])
        context = await browser.new_context(
            viewport={"width": width_px, "height": 800}, color_scheme="dark" if theme == "dark" else "light"
        )
        context.set_default_timeout(PATIENCE_MS)
        page = await context.new_page()
        page.on("console", lambda message: complaints.append(message.text) if _is_fault(message) else None)
        page.on("pageerror", lambda error: complaints.append(str(error)))
        await page.goto(url)
        yield page, complaints
        await browser.close()


async def faults_of(page: Page) -> list[str]:
    """What axe finds that is serious or worse."""
    await page.evaluate(files("axe_playwright_python").joinpath("axe.min.js").read_text(encoding="utf-8"))
    found = await page.evaluate("axe.run(document, {resultTypes: ['violations']})")
    return [
        f"{one['id']}: {node['html'][:150]}"
        for one in found["violations"]
        if one["impact"] in ("serious", "critical")
        for node in one["nodes"]
    ]
