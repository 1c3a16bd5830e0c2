"""The page's files: how large they are, what they may do, and that they ask nobody else."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from gateway.page.shell import Shell
from tests.gateway.service import status_of

if TYPE_CHECKING:
    import aiohttp

MOST_BYTES = 150_000
NAMESPACE = "http://www.w3.org/2000/svg"


def test_the_page_is_small_and_names_no_other_host() -> None:
    files = Shell().files
    assert sum(len(file.body) for file in files.values()) < MOST_BYTES
    for name, file in files.items():
        text = file.body.decode().replace(NAMESPACE, "")
        assert not re.search(r"https?://", text), name
        assert not re.search(r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|eval\(|Function\(", text), name
    assert not re.search(rb"<style|<script(?![^>]* src=)| style=| on\w+=", files["index.html"].body)


def test_a_browser_asks_for_all_scripts_at_once() -> None:
    """One that only learns of them from each other would take a round trip for each step."""
    files = Shell().files
    preloaded = re.findall(rb'<link rel="modulepreload" href="ui/(.*)">', files["index.html"].body)
    scripts = [name.encode() for name in files if name.endswith(".js") and name != "main.js"]
    assert sorted(preloaded) == sorted(scripts)


async def test_the_page_is_served_under_a_strict_policy(http: aiohttp.ClientSession) -> None:
    for path in ("/", "/ui", "/ui/main.js", "/ui/page.css", "/ui/icon.svg"):
        async with http.get(path) as response:
            assert response.status == 200
            policy = response.headers["Content-Security-Policy"]
            assert "unsafe" not in policy
            assert "default-src 'none'" in policy
            assert response.headers["X-Content-Type-Options"] == "nosniff"
            etag = response.headers["ETag"]
        assert await status_of(http.get(path, headers={"If-None-Match": etag})) == 304
    for path in ("/ui/missing.js", "/ui/..%2Fshell.py"):
        assert await status_of(http.get(path)) == 404
