"""How REDIS_URL names a server by those who know where it is."""

from __future__ import annotations

import pytest

from workers.server_url import ServerUrl, read
from workers.settings import StreamSettings


@pytest.mark.parametrize("url", ["redis://h:1/0", "rediss://u:p@h?ssl_cert_reqs=none", "unix:///s?db=1"])
def test_a_url_that_names_the_server_is_left_as_it_is(url: str) -> None:
    assert read(url) == ServerUrl("server", url)


@pytest.mark.parametrize(
    ("url", "named"),
    [
        (
            "redis+sentinel://u:p%40@a,[::1]:2,c:3/main/4?sentinel_password=x&client_name=y",
            ServerUrl(
                "sentinel",
                "redis://u:p%40@a:26379/4?client_name=y",
                (("a", 26379), ("::1", 2), ("c", 3)),
                "main",
                ("", "x"),
            ),
        ),
        ("rediss+sentinel://a/main", ServerUrl("sentinel", "rediss://a:26379/", (("a", 26379),), "main")),
        ("redis+cluster://[::1],b:7", ServerUrl("cluster", "redis://[::1]:6379/0", (("::1", 6379), ("b", 7)))),
    ],
)
def test_a_url_of_others_has_a_server_in_their_place(url: str, named: ServerUrl) -> None:
    assert read(url) == named
    assert StreamSettings(redis_url=url).redis_url == url


@pytest.mark.parametrize(
    ("url", "says"),
    [
        ("redis+sentinel://a:26379", "Sentinels are named with the server's name"),
        ("redis+sentinel://a:26379/main/one", "a server's URL ends with the number of a database"),
        ("redis+sentinel://a:x/main", "hosts are named as HOST:PORT,HOST:PORT"),
        ("redis+sentinel://a,,b/main", "hosts are named as HOST:PORT,HOST:PORT"),
        ("redis+sentinel://::1/main", "hosts are named as HOST:PORT,HOST:PORT"),
        ("redis+sentinel://a:99999/main", "not a server's URL"),
        ("redis+cluster://a/1", "a cluster has the database 0 alone"),
        ("redis+cluster://a?no_such=1", "a server's URL has an unknown option"),
        ("redis+magic://a", "a server's URL starts with"),
    ],
)
def test_what_is_wrong_is_said(url: str, says: str) -> None:
    with pytest.raises(ValueError, match=says):
        StreamSettings(redis_url=url)
