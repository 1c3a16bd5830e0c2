"""Names are resolved to addresses that may be called, and to no others."""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING

from aiohttp.abc import AbstractResolver
from aiohttp.resolver import ThreadedResolver

from workers.outbound.addresses import AddressRefused, address_of

if TYPE_CHECKING:
    from aiohttp.abc import ResolveResult

    from workers.outbound.addresses import AddressRules


class GuardedResolver(AbstractResolver):
    """Resolves names for aiohttp's connector, which connects to nothing but what is returned here.

    The connector asks no resolver for an address that stands in the URL itself: `AddressRules.checked` checks that one.
    """

    def __init__(self, rules: AddressRules, resolver: AbstractResolver | None = None) -> None:
        self._rules = rules
        self._resolver = resolver or ThreadedResolver()

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_UNSPEC
    ) -> list[ResolveResult]:
        """The host's addresses. Raises AddressRefused if any of them may not be called, OSError if there are none."""
        found = await self._resolver.resolve(host, port, family)
        for one in found:
            address = address_of(one["host"])
            if address is None:
                raise AddressRefused(f"{host} resolves to no address")
            self._rules.check(host, address)
        return found

    async def close(self) -> None:
        """Closes the resolver."""
        await self._resolver.close()
