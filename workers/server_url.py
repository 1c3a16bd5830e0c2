"""How REDIS_URL names the server: itself, or by those who know where it is now, Sentinels or nodes of a cluster."""

from __future__ import annotations

import re
from typing import Literal, NamedTuple, TypeAlias
from urllib.parse import parse_qsl, urlencode, urlsplit

Kind: TypeAlias = Literal["server", "sentinel", "cluster"]

_BY_OTHERS = re.compile(r"(rediss?)\+(sentinel|cluster)")
_HOST = re.compile(r"\[?([^\[\]]+?)\]?(?::(\d{1,5}))?")
_PORTS = {"sentinel": 26379, "cluster": 6379}
_ACCESS = ("sentinel_username", "sentinel_password")
SCHEMES = (
    *("redis://", "rediss://", "unix://"),
    *("redis+sentinel://", "rediss+sentinel://", "redis+cluster://", "rediss+cluster://"),
)


class ServerUrl(NamedTuple):
    """A REDIS_URL, read.

    `server` is the URL of one server with the same options. If others have to be asked where it is, they are `asked`,
    each with its port, and `server` has the address of the first of them. Sentinels know it by the name `service`;
    `sentinel_access` are their user and password, which may be empty.
    """

    kind: Kind
    server: str
    asked: tuple[tuple[str, int], ...] = ()
    service: str = ""
    sentinel_access: tuple[str, str] = ("", "")


def read(url: str) -> ServerUrl:
    """Reads a REDIS_URL. Raises ValueError, which tells how Sentinels and nodes are named; the rest is not checked."""
    parts = urlsplit(url)
    by_others = _BY_OTHERS.fullmatch(parts.scheme)
    if by_others is None:
        return ServerUrl("server", url)
    scheme, kind = by_others.groups()
    access, at, hosts = parts.netloc.rpartition("@")
    asked = tuple([_host(host, _PORTS[kind]) for host in hosts.split(",")])
    service, _, database = parts.path.lstrip("/").partition("/")
    if kind == "cluster":
        if service not in ("", "0") or database:
            raise ValueError("a cluster has the database 0 alone: redis+cluster://HOST:6379,HOST:6379")
        service, database = "", "0"
    elif not service:
        raise ValueError("Sentinels are named with the server's name: redis+sentinel://HOST:26379,HOST:26379/NAME/0")
    options = dict(parse_qsl(parts.query, keep_blank_values=True))
    user, password = (options.pop(name, "") for name in _ACCESS)
    host, port = asked[0]
    first = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
    query = f"?{urlencode(options)}" if options else ""
    server = f"{scheme}://{access}{at}{first}/{database}{query}"
    return ServerUrl("sentinel" if kind == "sentinel" else "cluster", server, asked, service, (user, password))


def _host(text: str, usual_port: int) -> tuple[str, int]:
    named = _HOST.fullmatch(text)
    if named is None or (":" in named[1] and not text.startswith("[")):
        raise ValueError("hosts are named as HOST:PORT,HOST:PORT")
    return named[1], int(named[2] or usual_port)
