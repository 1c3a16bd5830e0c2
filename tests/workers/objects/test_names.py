from __future__ import annotations

import pytest

from workers.objects.names import NAME, ending_of, job_of, job_prefix, new_name, shown_name, type_of


@pytest.mark.parametrize(
    ("own", "shown"),
    [
        ("cat.png", "cat.png"),
        ("/x/../y/cat.png", "cat.png"),
        ("größe 1.PNG", "gr-e-1.PNG"),
        ("猫.png", "file.png"),
        ("a.猫", "a"),
        ("..", "file"),
        ("", "file"),
        (".profile", "profile"),
        ("a" * 300 + ".tar", "a" * 76 + ".tar"),
        ("a." + "b" * 300, "a." + "b" * 19),
    ],
)
def test_a_name_is_safe_in_a_path_and_unlike_any_other(own: str, shown: str) -> None:
    name = new_name(own)

    assert NAME.fullmatch(name)
    assert shown_name(name) == shown
    assert new_name(own) != name


@pytest.mark.parametrize("job_id", ["0123", "a.b", "..", ".", "a:b-c_d"])
def test_objects_of_a_job_have_a_prefix_of_their_own(job_id: str) -> None:
    prefix = job_prefix("q.1", job_id)

    assert ".." not in prefix
    assert "/./" not in prefix
    assert job_of("q.1", f"{prefix}name.png") == job_id


def test_an_id_that_leads_elsewhere_has_no_objects() -> None:
    for job_id in ("a/b", "", "a b", "x" * 129):
        with pytest.raises(ValueError, match="the job's id"):
            job_prefix("q", job_id)


@pytest.mark.parametrize("kind", ["image/png", "image/jpeg", "image/webp", "audio/ogg", "text/plain"])
def test_the_ending_of_a_content_type_says_that_type(kind: str) -> None:
    assert type_of("a" + ending_of(f"{kind}; charset=utf-8")) == kind


def test_what_no_ending_says_is_any_bytes() -> None:
    assert (ending_of("application/x-unheard-of"), type_of("a.bin"), type_of("a"), type_of("a.tar.gz")) == (
        ".bin",
        *["application/octet-stream"] * 3,
    )
