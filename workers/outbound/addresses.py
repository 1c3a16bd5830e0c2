"""Which addresses the service calls for a client: public ones by https, and those that the operator names.

A client's URL could otherwise reach what only the service can: a cloud's metadata, other services of the cluster
("server-side request forgery", OWASP). A host's name is resolved once for a connection, each address is checked, and
the connection is made to an address that was: a name that resolves to another address a moment later changes nothing.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address, IPv6Network, ip_address, ip_network
from typing import TYPE_CHECKING, Self, TypeAlias

from yarl import URL

if TYPE_CHECKING:
    from ipaddress import IPv4Network

Address: TypeAlias = IPv4Address | IPv6Address
Network: TypeAlias = "IPv4Network | IPv6Network"

MOST_URL_CHARS = 2_000
_HOST = re.compile(r"[a-z0-9]([a-z0-9._-]*[a-z0-9])?")
_NUMBERS = re.compile(r"[0-9.]+")  # no name; `127.1` and the like are addresses to some libraries only
# An address of IPv4 inside one of IPv6 (RFC 6052). The others are known to `ipaddress`.
_NAT64 = IPv6Network("64:ff9b::/96")


class AddressRefused(OSError):  # noqa: N818
    """The URL, or what its host resolves to, is none that may be called. The message is one sentence for the client."""


@dataclass(frozen=True, slots=True)
class AddressRules:
    """What may be called beside public addresses by https: hosts by their names, and networks (CIDR)."""

    hosts: frozenset[str] = frozenset()
    networks: tuple[Network, ...] = ()

    @classmethod
    def parse(cls, text: str) -> Self:
        """Reads comma-separated names of hosts, addresses and networks. Raises ValueError for anything else."""
        hosts, networks = set(), []
        for part in filter(None, (part.strip().lower() for part in text.split(","))):
            try:
                networks.append(ip_network(part))
            except ValueError:
                if not _HOST.fullmatch(part):
                    raise ValueError(f"{part!r} is no host's name, no address and no network") from None
                hosts.add(part)
        return cls(frozenset(hosts), tuple(networks))

    def checked(self, text: str) -> URL:
        """The URL, unless it can't be called whatever its host resolves to. Raises AddressRefused."""
        if len(text) > MOST_URL_CHARS:
            raise AddressRefused(f"a URL has at most {MOST_URL_CHARS} characters")
        if not (text.isascii() and text.isprintable()) or " " in text or "\\" in text:
            raise AddressRefused("a URL is printable ASCII without spaces and backslashes")
        try:
            url = URL(text)
            host, port = url.host, url.port
        except ValueError:
            host = port = None
        if not host or not port or url.scheme not in ("https", "http"):
            raise AddressRefused("not a URL that can be called, such as https://example.com/path")
        if url.user is not None or url.password is not None:
            raise AddressRefused("a URL to be called names no user and no password")
        address = address_of(host)
        if address is None and _NUMBERS.fullmatch(host):
            raise AddressRefused(f"{host} is no address: one of IPv4 has four numbers, such as 192.0.2.1")
        if url.scheme == "http" and host not in self.hosts and not (address and self._names(address)):
            raise AddressRefused(f"a URL to be called is https, unless the service allows http to its host: {host}")
        if address:
            self.check(host, address)
        return url

    def check(self, host: str, address: Address) -> None:
        """Raises AddressRefused if this address of a host may not be called."""
        if host in self.hosts or self._names(address):
            return
        if not all(_is_public(one) for one in (address, *_embedded(address))):
            is_same = host == str(address)
            raise AddressRefused(
                f"{host} is no public address" if is_same else f"{host} is {address}, no public address"
            )

    def _names(self, address: Address) -> bool:
        return any(address.version == network.version and address in network for network in self.networks)


def address_of(text: str) -> Address | None:
    """The address that a text is, without a zone; None for any other text."""
    try:
        return ip_address(text.partition("%")[0])
    except ValueError:
        return None


def _is_public(address: Address) -> bool:
    return address.is_global and not address.is_multicast


def _embedded(address: Address) -> list[Address]:
    """The addresses of IPv4 that packets to this address may end at."""
    if not isinstance(address, IPv6Address):
        return []
    found: list[Address | None] = [address.ipv4_mapped, address.sixtofour, *(address.teredo or ())]
    if address in _NAT64:
        found.append(IPv4Address(int(address) & 0xFFFF_FFFF))
    return [one for one in found if one is not None]
