from __future__ import annotations

import orjson
import pytest

from workers.wire.result import notes
from workers.wire.stored import StoredJson


@pytest.mark.parametrize("job_id", ["0" * 32, "a.b:c-d_e"])
def test_what_stands_for_json_is_read_again(job_id: str) -> None:
    stored = StoredJson.of(job_id, "01234567-input.json", 70_000)

    assert orjson.loads(stored.reference) == {"stored": f"/files/{job_id}/01234567-input.json", "size_bytes": 70_000}
    assert StoredJson.read(stored.reference, job_id) == stored
    assert StoredJson.read_input(notes(b'[{"pointer":"","detail":""}]', stored.reference), job_id) == stored
    assert StoredJson.read_input(notes(b"", stored.reference), job_id) == stored


@pytest.mark.parametrize(
    "body",
    [
        b'{"stored":"/files/job-8/a","size_bytes":1}',
        b'{"stored":"/files/job-7/../a","size_bytes":1}',
        b'{"stored":"/files/job-7/a/b","size_bytes":1}',
        b'{"stored":"/files/job-7/.a","size_bytes":1}',
        b'{"stored":"/files/job-7/a","size_bytes":-1}',
        b'{"stored":"/files/job-7/a","size_bytes":1,"more":1}',
        b'{"stored":"/files/job-7/a","size_bytes":1} ',
        b'{"stored":"/files/job-7/a"}',
        b'"/files/job-7/a"',
        b"",
    ],
)
def test_anything_else_stands_for_itself(body: bytes) -> None:
    assert StoredJson.read(body, "job-7") is None


def test_an_input_without_its_like_in_the_notes_stands_for_itself() -> None:
    for kept in (notes(b"", b'"text"'), notes(b"[]"), b"", notes(b"", b'{"stored":"/files/job-8/a","size_bytes":1}')):
        assert StoredJson.read_input(kept, "job-7") is None
