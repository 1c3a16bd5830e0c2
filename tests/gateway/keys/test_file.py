"""Named keys: who owns a job, what a name may push, and a file that changes."""

from __future__ import annotations

import asyncio
import base64
import hashlib
from typing import TYPE_CHECKING, Any

import aiohttp
import pytest
import yaml
from pydantic import SecretStr
from standardwebhooks.webhooks import Webhook, WebhookVerificationError

from gateway.keys.file import KeyFileError, read_keys
from gateway.settings import GatewaySettings
from tests.gateway.service import GatewayProcess, problem, push, serving, status_of
from tests.workers.service import until
from tests.workers.webhooks.receiver import Receiver
from workers.stream import Finish, Stream

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator
    from pathlib import Path

    from workers.stream import StreamSettings

HOUR_S = 3600


def sha256(key: str) -> str:
    return hashlib.sha256(key.encode()).hexdigest()


def auth(key: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {key}"}


def entry(name: str, *keys: str, **more: Any) -> dict[str, Any]:
    return {"name": name, "sha256": [sha256(key) for key in keys], **more}


def write(path: Path, *entries: Any) -> Path:
    path.write_text(yaml.safe_dump({"keys": list(entries)}))
    return path


@pytest.fixture(scope="module")
def process(settings: StreamSettings, tmp_path_factory: pytest.TempPathFactory) -> Iterator[GatewayProcess]:
    """A gateway with named keys."""
    path = write(
        tmp_path_factory.mktemp("keys") / "keys.yaml",
        entry("ann", "ann-old", "ann-new"),
        entry("bob", "bob"),
        entry("root", "root", admin=True),
        entry("bursty", "bursty", limits={"pushes_per_s": 1 / HOUR_S, "burst": 3}),
        entry("heavy", "heavy", limits={"bytes_per_day": 100}),
        entry("few", "few", limits={"outstanding": 2}),
        entry("shared", "shared", limits={"backlog_share": 1e-9}),
        entry("modest", "modest", limits={"highest_priority": "normal"}),
        entry("last", "last", limits={"highest_priority": "low"}),
    )
    with GatewayProcess(settings, API_KEYS_FILE=str(path), API_KEYS="a-key-without-a-name").running() as gateway:
        yield gateway


@pytest.fixture
async def http(process: GatewayProcess, stream: Stream) -> AsyncIterator[aiohttp.ClientSession]:
    """A client of it; what was counted for a test before is gone with its queue."""
    async with process.client():
        yield process.http


async def test_a_job_belongs_to_the_name_and_not_to_the_key(http: aiohttp.ClientSession) -> None:
    job_id = await push(http, **auth("ann-old"))
    seen = {
        key: await status_of(http.get(f"/status/{job_id}", headers=auth(key)))
        for key in ("ann-old", "ann-new", "bob", "root", "a-key-without-a-name", "nobody")
    }
    assert seen == {
        "ann-old": 200, "ann-new": 200, "bob": 404, "root": 200, "a-key-without-a-name": 404, "nobody": 401,
    }  # fmt: skip


async def test_an_admin_lists_and_purges_the_jobs_of_any_name(http: aiohttp.ClientSession) -> None:
    ours, theirs = await push(http, **auth("ann-old")), await push(http, **auth("bob"))

    async def listed(key: str, query: str = "") -> list[str]:
        async with http.get(f"/jobs{query}", headers=auth(key)) as response:
            assert response.status == 200, await response.text()
            return [job["id"] for job in (await response.json())["jobs"]]

    assert sorted(await listed("root")) == sorted([ours, theirs])
    assert len(await listed("root", "?limit=1")) == 1
    assert (await listed("root", "?name=ann"), await listed("root", "?name=bob")) == ([ours], [theirs])
    async with http.get("/jobs?name=bob", headers=auth("ann-new")) as response:
        assert (response.status, (await response.json())["parameters"]) == (403, ["name"])
    assert (await problem(await http.get("/jobs?name=a%20b", headers=auth("root"))))[0] == 400
    async with http.post("/jobs/purge?status=queued&name=ann", headers=auth("root")) as response:
        assert await response.json() == {"purged": 1}
    async with http.post("/jobs/purge?status=queued", headers=auth("root")) as response:
        assert await response.json() == {"purged": 0}, "without a name, its own are meant"
    assert (await listed("ann-new"), await listed("bob")) == ([], [theirs])


async def test_an_admins_pages_go_on_as_those_of_a_name_and_have_each_job_once(http: aiohttp.ClientSession) -> None:
    keys = ["ann-old", "bob", "ann-new", "root", "bob", "ann-old", "bob"]
    # At once, so that several come within a millisecond.
    pushed = dict(zip(await asyncio.gather(*(push(http, **auth(key)) for key in keys)), keys, strict=True))

    async def page(key: str, query: str) -> tuple[list[str], str | None]:
        async with http.get(f"/jobs?{query}", headers=auth(key)) as response:
            document = await response.json()
        return [job["id"] for job in document["jobs"]], document["next"]

    everybody, end = await page("root", "limit=100")
    assert (sorted(everybody), end) == (sorted(pushed), None)
    first, after = await page("root", "limit=3")
    second, after = await page("root", f"limit=2&before={after}")
    assert first + second == everybody[:5]
    assert await page("root", f"before={after}") == (everybody[5:], None)
    for name, key in (("ann", "ann-new"), ("bob", "bob")):
        rest = [job_id for job_id in everybody[5:] if pushed[job_id].startswith(name)]
        assert await page("root", f"name={name}&before={after}") == (rest, None)
        own = [job_id for job_id in everybody if pushed[job_id].startswith(name)]
        [newest], after_own = await page(key, "limit=1")
        assert [newest, *(await page(key, f"before={after_own}"))[0]] == own
        assert (await page("root", f"before={after_own}"))[0] == everybody[everybody.index(own[1]) :]


async def refused(http: aiohttp.ClientSession, key: str, body: Any = "x") -> tuple[str, int, aiohttp.ClientResponse]:
    """Which limit a push is beyond, and its Retry-After."""
    async with http.post("/push", json=body, headers=auth(key)) as response:
        assert response.status == 429
        document = await response.json()
        return document["limit"], int(response.headers["Retry-After"]), response


async def test_more_pushes_than_a_name_may_are_refused_with_the_time_to_try_again(
    http: aiohttp.ClientSession, stream: Stream
) -> None:
    for _ in range(3):
        await push(http, **auth("bursty"))
    limit, retry_s, response = await refused(http, "bursty")
    assert (limit, HOUR_S - 60 < retry_s <= HOUR_S) == ("pushes_per_s", True)
    assert response.headers["RateLimit-Policy"] == '"pushes_per_s";q=3;w=10800'
    assert response.headers["RateLimit"] == f'"pushes_per_s";r=0;t={retry_s}'
    assert (await problem(response))[1] == "this key may push 0.000277778 jobs/s, and 3 at once"
    await push(http, **auth("bob"))
    assert (await stream.counts()).waiting == 4


async def test_a_push_that_is_there_already_counts_once(http: aiohttp.ClientSession) -> None:
    for _ in range(6):
        await push(http, **auth("bursty"), **{"Idempotency-Key": "one"})
    await push(http, **auth("bursty"))
    await push(http, **auth("bursty"))
    await refused(http, "bursty")


async def test_bytes_are_counted_by_the_day(http: aiohttp.ClientSession) -> None:
    for _ in range(2):
        await push(http, "x" * 40, **auth("heavy"))
    limit, retry_s, response = await refused(http, "heavy", "x" * 40)
    assert (limit, 0 < retry_s <= 24 * HOUR_S) == ("bytes_per_day", True)
    assert response.headers["RateLimit-Policy"] == '"bytes_per_day";q=100;w=86400;qu="content-bytes"'
    await push(http, "x", **auth("heavy"))


async def test_jobs_that_have_not_ended_are_counted(http: aiohttp.ClientSession, stream: Stream) -> None:
    for _ in range(2):
        await push(http, **auth("few"))
    limit, *_ = await refused(http, "few")
    assert limit == "outstanding"
    [job] = await stream.claim("w", 1)
    assert await stream.finish("w", [Finish(job.id, 1, "finished", b"1", 60_000)]) == [True]

    async def taken() -> bool:
        return await status_of(http.post("/push?input=x", headers=auth("few"))) == 202

    await until(taken)
    assert (await refused(http, "few"))[0] == "outstanding"


async def test_a_name_fills_only_its_share_of_the_backlog(http: aiohttp.ClientSession, stream: Stream) -> None:
    await push(http, **auth("shared"))
    limit, _, response = await refused(http, "shared")
    assert (limit, "RateLimit" in response.headers) == ("backlog_share", False)
    assert (await problem(response))[1] == "this key may fill 1e-09 of the backlog, and has"
    async with http.post("/batches", json=["x"], headers=auth("shared")) as response:
        assert (response.status, (await response.json())["limit"]) == (429, "backlog_share")
    await push(http, **auth("bob"))
    [job, _] = await stream.claim("w", 2)
    assert await stream.finish("w", [Finish(job.id, 1, "finished", b"1", 60_000)]) == [True]
    await push(http, **auth("shared"))


async def test_every_name_has_the_usual_share_unless_the_file_has_another(
    settings: StreamSettings, stream: Stream, tmp_path: Path
) -> None:
    path = write(tmp_path / "keys.yaml", entry("ann", "ann"), entry("bob", "bob", limits={"backlog_share": 0.5}))
    own: Any = {"api_keys": SecretStr("a-key-without-a-name"), "api_keys_file": path, "backlog_share": 1e-9}
    async with serving(settings, **own) as base, aiohttp.ClientSession(base) as http:
        for key in ("ann", "a-key-without-a-name"):
            await push(http, **auth(key))
            assert (await refused(http, key))[0] == "backlog_share"
        for _ in range(2):
            await push(http, **auth("bob"))


async def test_a_names_own_secrets_sign_its_webhooks(settings: StreamSettings, stream: Stream, tmp_path: Path) -> None:
    own = ["whsec_" + base64.b64encode(bytes([number]) * 32).decode() for number in (2, 1)]
    path = write(tmp_path / "keys.yaml", entry("ann", "ann", webhook_secrets=own), entry("bob", "bob"))
    more: Any = {"webhook_secrets": SecretStr("the-service-secret-of-today"), "webhook_allow": "127.0.0.1"}
    receiver = Receiver()
    async with (
        receiver.serving() as hook,
        serving(settings, api_keys_file=path, **more) as base,
        aiohttp.ClientSession(base) as http,
    ):
        found = {}
        for name in ("ann", "bob"):
            async with http.get("/webhooks/secrets", headers=auth(name)) as response:
                found[name] = (await response.json())["secrets"]
        for key in ("ann", "bob"):
            async with http.post(
                "/push", params={"input": key, "webhook": f"{hook}/hook"}, headers=auth(key)
            ) as response:
                assert response.status == 202, await response.text()
            [job] = await stream.claim("w", 1)
            await stream.finish("w", [Finish(job.id, 1, "finished", b"1", 60_000)])
            got = (await receiver.until(1 if key == "ann" else 2))[-1]
            for secret in found[key]:
                assert Webhook(secret).verify(got.body, got.headers)
            with pytest.raises(WebhookVerificationError):
                Webhook(found["bob" if key == "ann" else "ann"][0]).verify(got.body, got.headers)
    assert found["ann"] == own
    assert not set(found["bob"]) & set(own)


def test_secrets_of_names_need_the_services(tmp_path: Path) -> None:
    secret = "whsec_" + base64.b64encode(bytes(32)).decode()
    path = write(tmp_path / "keys.yaml", entry("ann", "ann", webhook_secrets=[secret]))
    with pytest.raises(ValueError, match="WEBHOOK_SECRETS turns webhooks on, and is empty"):
        GatewaySettings(api_keys_file=path)


async def test_a_key_has_a_highest_priority(http: aiohttp.ClientSession, stream: Stream) -> None:
    async def answer(key: str, path: str, priority: str) -> int:
        return await status_of(http.post(path, params={"priority": priority}, json=["x"], headers=auth(key)))

    for path in ("/push", "/batches"):
        assert [await answer("modest", path, name) for name in ("high", "normal", "low")] == [403, 202, 202]
        assert [await answer("last", path, name) for name in ("high", "normal", "low")] == [403, 403, 202]
        assert await answer("bob", path, "high") == 202
    async with http.post("/push?priority=high&input=x", headers=auth("modest")) as response:
        assert await problem(response) == (403, "the highest priority of this key is normal")
    await push(http, **auth("last"))
    counts = await stream.counts()
    assert (counts.waiting, counts.high, counts.low) == (9, 2, 5)


async def test_the_file_is_read_again_when_it_changes_and_a_bad_one_changes_nothing(
    settings: StreamSettings, stream: Stream, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gateway.keys.file._LOOK_S", 0.02)
    path = write(tmp_path / "keys.yaml", entry("ann", "ann"))
    async with serving(settings, api_keys_file=path) as base, aiohttp.ClientSession(base) as http:

        async def are(*expected: int) -> bool:
            found = [await status_of(http.get("/status/x", headers=auth(key))) for key in ("ann", "bob")]
            return found == list(expected)

        assert await are(404, 401)
        write(tmp_path / "next.yaml", entry("ann", "ann"), entry("bob", "bob")).replace(path)
        await until(lambda: are(404, 404))
        path.write_text("keys: [")
        path.unlink()
        assert await are(404, 404)
        write(path, entry("bob", "bob"))
        await until(lambda: are(401, 404))


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "valid dictionary"),
        ("keys: []", "keys: List should have at least 1 item"),
        ("keys: [", "is no YAML"),
        ("!!python/object/apply:os.system [true]", "is no YAML"),
        ("keys: [{name: a, sha256: [x]}]", "keys.0.sha256.0"),
        ("keys: [{name: a b, sha256: [A]}]", "keys.0.name"),
        ("keys: [{name: a, sha256: [A], key: x}]", "keys.0.key: Extra inputs"),
        ("keys: [{name: a, sha256: [A], limits: {burst: 3}}]", "burst goes with pushes_per_s"),
        ("keys: [{name: a, sha256: [A], limits: {pushes_per_s: .inf}}]", "keys.0.limits.pushes_per_s"),
        ("keys: [{name: a, sha256: [A], webhook_secrets: [whsec_x]}]", "a secret is whsec_ and 24 to 64 bytes"),
        ("keys: [{name: a, sha256: [A], webhook: example.com/hook}]", "keys.0.webhook: String should match"),
        ("[" * 10_000, "is nested too deep"),
        ("keys: [{name: a, sha256: [A]}, {name: b, sha256: [A]}]", "a key is there twice"),
        ("keys: [{name: a, sha256: [A]}, {name: a, sha256: [B]}]", "a name is there twice"),
    ],
)
def test_a_file_that_can_not_be_used_is_refused_with_one_sentence(tmp_path: Path, text: str, why: str) -> None:
    path = tmp_path / "keys.yaml"
    path.write_text(text.replace("[A]", f"[{sha256('a')}]").replace("[B]", f"[{sha256('b')}]"))
    with pytest.raises(KeyFileError) as refused:
        read_keys(path)
    assert why in str(refused.value)
    assert "\n" not in str(refused.value)


def test_a_file_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(KeyFileError, match="can't be read: No such file"):
        read_keys(tmp_path / "keys.yaml")
