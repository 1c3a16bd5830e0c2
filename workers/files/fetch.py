"""Fetches a file that a client has named by its URL, within the rules for such addresses. Imports aiohttp."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import aiohttp

from workers.files.fetch_terms import FetchFailed, FetchRefused
from workers.objects.errors import ObjectTooLarge
from workers.objects.names import ANY_TYPE
from workers.outbound.addresses import AddressRefused
from workers.outbound.resolver import GuardedResolver

if TYPE_CHECKING:
    from pathlib import Path

    from workers.files.fetch_terms import FetchTerms

_CONNECT_S = 10.0
_PIECE_BYTES = 1024 * 1024
_SERVER_ERROR = 500
_TOO_MANY = 429


async def fetch(text: str, path: Path, terms: FetchTerms) -> str:
    """Writes what is at the URL into a new file; its content type. Raises FetchRefused, FetchFailed, ObjectTooLarge.

    The host is resolved once, for this one connection; no redirect is followed.
    """
    try:
        url = terms.rules.checked(text)
    except AddressRefused as error:
        raise FetchRefused(str(error)) from None
    timeout = aiohttp.ClientTimeout(total=terms.timeout_s, sock_connect=_CONNECT_S)
    connector = aiohttp.TCPConnector(resolver=GuardedResolver(terms.rules), use_dns_cache=False, force_close=True)
    headers = {"Accept-Encoding": "identity", "User-Agent": "leadtime"}
    try:
        async with (
            aiohttp.ClientSession(
                connector=connector, timeout=timeout, cookie_jar=aiohttp.DummyCookieJar(), auto_decompress=False
            ) as session,
            session.get(url, headers=headers, allow_redirects=False) as answer,
        ):
            _check(answer, terms.most_bytes)
            await _write(answer, path, terms.most_bytes)
            return answer.content_type if "Content-Type" in answer.headers else ANY_TYPE
    except (aiohttp.ClientError, TimeoutError, OSError, ValueError) as error:
        refused = error if isinstance(error, AddressRefused) else error.__cause__
        if isinstance(refused, AddressRefused):
            raise FetchRefused(str(refused)) from None
        why = f"{type(error).__name__}: {error}" if str(error) else "it did not come in time"
        raise FetchFailed(f"{url.host} did not send the file: {why}") from None


def _check(answer: aiohttp.ClientResponse, most_bytes: int) -> None:
    if answer.status >= _SERVER_ERROR or answer.status == _TOO_MANY:
        raise FetchFailed(f"{answer.url.host} answered with {answer.status}")
    if answer.status != 200:
        # A redirect may lead anywhere.
        raise FetchRefused(f"{answer.url.host} answered with {answer.status}, and only 200 has a file")
    if answer.headers.get("Content-Encoding", "identity").lower() != "identity":
        raise FetchRefused(f"{answer.url.host} sent the file compressed, though that was not asked for")
    if answer.content_length is not None and answer.content_length > most_bytes:
        raise ObjectTooLarge(most_bytes)


async def _write(answer: aiohttp.ClientResponse, path: Path, most_bytes: int) -> None:
    size_bytes = 0
    with path.open("xb") as file:
        async for piece in answer.content.iter_chunked(_PIECE_BYTES):
            size_bytes += len(piece)
            if size_bytes > most_bytes:
                raise ObjectTooLarge(most_bytes)
            await asyncio.to_thread(file.write, piece)
