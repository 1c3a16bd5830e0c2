from __future__ import annotations

import socket
from ipaddress import ip_address

import pytest
from aiohttp.abc import AbstractResolver, ResolveResult
from hypothesis import given
from hypothesis import strategies as st

from workers.outbound.addresses import AddressRefused, AddressRules
from workers.outbound.resolver import GuardedResolver

NOT_PUBLIC = [
    "127.0.0.1", "127.8.8.8", "10.1.2.3", "172.16.0.1", "192.168.1.1", "169.254.169.254", "100.64.0.1", "0.0.0.0",  # noqa: S104
    "224.0.0.1", "255.255.255.255", "::1", "::", "fe80::1", "fc00::1", "ff02::1", "::ffff:127.0.0.1",
    "::ffff:10.0.0.1", "2002:7f00:1::", "64:ff9b::7f00:1", "64:ff9b::a9fe:a9fe",
]  # fmt: skip


class FakeNames(AbstractResolver):
    """Resolves any name to given addresses."""

    def __init__(self, *addresses: str) -> None:
        self.addresses = addresses

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        return [
            ResolveResult(hostname=host, host=address, port=port, family=family, proto=0, flags=0)
            for address in self.addresses
        ]

    async def close(self) -> None:
        pass


def _url_of(address: str) -> str:
    return f"https://[{address}]/" if ":" in address else f"https://{address}/"


@pytest.mark.parametrize("address", NOT_PUBLIC)
def test_an_address_that_is_not_public_is_refused_in_a_url(address: str) -> None:
    with pytest.raises(AddressRefused):
        AddressRules().checked(_url_of(address))


@pytest.mark.parametrize("address", NOT_PUBLIC)
async def test_a_name_that_resolves_to_an_address_that_is_not_public_is_refused(address: str) -> None:
    resolver = GuardedResolver(AddressRules(), FakeNames("93.184.215.14", address))
    with pytest.raises(AddressRefused, match="no public address"):
        await resolver.resolve("hooks.example")


async def test_public_addresses_are_resolved() -> None:
    resolver = GuardedResolver(AddressRules(), FakeNames("93.184.215.14", "2606:2800:21f::1"))
    found = await resolver.resolve("hooks.example", 443)
    assert [one["host"] for one in found] == ["93.184.215.14", "2606:2800:21f::1"]


@pytest.mark.parametrize(
    "url",
    [
        "", "example.com", "/path", "ftp://example.com/", "file:///etc/passwd", "https://", "https:///x", "https://:443/",
        "https://user@example.com/", "https://user:password@example.com/", "https://example.com:0/",
        "https://example.com:99999/", "https://exa mple.com/", "https://example.com\\@127.0.0.1/", "https://ex\nample.com/",
        "https://[::1", "https://[fe80::1%25eth0]/", "http://example.com/", "https://ex\u00e4mple.com/",
        "https://example.com/" + "x" * 2_000, "https://2130706433/", "https://127.1/", "https://0177.0.0.1/",
    ],
)  # fmt: skip
def test_what_is_no_https_url_is_refused_with_a_sentence(url: str) -> None:
    with pytest.raises(AddressRefused) as refused:
        AddressRules().checked(url)
    assert str(refused.value)


def test_a_https_url_of_a_name_or_a_public_address_is_taken() -> None:
    for url in ("https://example.com/a?b=c#d", "https://example.com:8443/", "https://93.184.215.14/"):
        assert str(AddressRules().checked(url)) == url


async def test_what_the_operator_names_may_be_called_by_http_too() -> None:
    rules = AddressRules.parse("127.0.0.1, 10.0.0.0/8, fd00::/8, hooks.internal")
    for url in ("http://127.0.0.1:8080/", "http://10.9.9.9/", "http://[fd00::5]/", "http://hooks.internal/x"):
        assert rules.checked(url)
    for url in ("http://127.0.0.2/", "https://192.168.0.1/", "http://other.internal/"):
        with pytest.raises(AddressRefused):
            rules.checked(url)
    assert await GuardedResolver(rules, FakeNames("192.168.0.1")).resolve("hooks.internal")
    assert await GuardedResolver(rules, FakeNames("10.0.0.7")).resolve("other.internal")
    with pytest.raises(AddressRefused):
        await GuardedResolver(rules, FakeNames("192.168.0.1")).resolve("other.internal")


@pytest.mark.parametrize("text", ["http://example.com", "10.0.0.0/33", "10.0.0.1/8", "exa mple", "a/b", "host:80", "*"])
def test_what_is_no_host_and_no_network_can_not_be_allowed(text: str) -> None:
    with pytest.raises(ValueError, match="is no host"):
        AddressRules.parse(text)


@given(st.integers(0, 2**32 - 1), st.sampled_from(["{}", "::ffff:{}", "64:ff9b::{}"]))
def test_an_address_of_ipv4_is_judged_alike_in_every_form(number: int, form: str) -> None:
    address = ip_address(number)
    is_public = address.is_global and not address.is_multicast
    try:
        AddressRules().checked(_url_of(form.format(address)))
    except AddressRefused:
        assert not is_public
    else:
        assert is_public
