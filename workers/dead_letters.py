"""`python -m workers.dead_letters`: lists the jobs that failed, and puts them back into the stream.

    python -m workers.dead_letters list [--count N] [--json]
    python -m workers.dead_letters requeue ENTRY... | --all

The server and the queue are those of the settings. Exit codes: 0 done, 1 some entry was not there, 2 bad arguments
or a bad setting, 3 the server could not do it.
"""

from __future__ import annotations

import argparse
import asyncio
import re
import sys
import time
from typing import TYPE_CHECKING, Any

import orjson
from redis.exceptions import RedisError

from workers.settings import StreamSettings, load, without_credentials
from workers.stream import Stream, is_out_of_memory, is_unavailable

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence

    from workers.stream import DeadLetter

NOT_THERE = 1
SERVER_FAILED = 3
_PAGE = 20  # letters per round trip: each may hold a large payload
_WIDTH_CHARS = 60
_ENTRY = re.compile(r"[0-9]{1,19}-[0-9]{1,19}")


async def letters(stream: Stream, count: int | None = None) -> AsyncIterator[DeadLetter]:
    """The oldest `count` dead letters, or all that there are now."""
    left = (await stream.counts()).dead if count is None else count
    after = ""
    while left > 0 and (page := await stream.dead_letters(min(left, _PAGE), after)):
        for letter in page:
            yield letter
        after = page[-1].entry
        left -= len(page)


async def show(stream: Stream, count: int, as_json: bool) -> int:
    """Prints the oldest `count` dead letters. Returns the exit code."""
    shown = 0
    async for letter in letters(stream, count):
        if as_json:
            _print(orjson.dumps(_record(letter)).decode())
        else:
            _print(_lines(letter))
        shown += 1
    total = (await stream.counts()).dead
    if not as_json:
        _print(
            f"{total} dead letters" + (f", the oldest {shown} shown (--count {total} for all)" if shown < total else "")
        )
    return 0


async def requeue(stream: Stream, entries: Sequence[str]) -> int:
    """Puts dead letters back into the stream; all of them if `entries` is empty. Returns the exit code."""
    wanted = list(entries) or [letter.entry async for letter in letters(stream)]
    missing = [entry for entry in wanted if not await stream.requeue(entry)]
    _print(f"{len(wanted) - len(missing)} jobs requeued")
    for entry in missing:
        sys.stderr.write(f"no dead letter {entry}, or its job has been started again\n")
    return NOT_THERE if missing and entries else 0


def _record(letter: DeadLetter) -> dict[str, Any]:
    return {
        "entry": letter.entry,
        "id": letter.id,
        "function": letter.function,
        "attempts": letter.attempts,
        "error": letter.error,
        "age_s": _age_s(letter),
        "args": _one_line(letter.args),
        "kwargs": _one_line(letter.kwargs or b"{}"),
    }


def _one_line(json: bytes) -> orjson.Fragment:
    # Line ends in JSON are between its parts: in its texts they are escaped.
    return orjson.Fragment(b" ".join(json.splitlines()))


def _lines(letter: DeadLetter) -> str:
    error = f"{letter.error.get('type')}: {letter.error.get('message')}"
    kwargs = f" {letter.kwargs.decode(errors='replace')}" if letter.kwargs else ""
    return (
        f"{letter.entry}  {_plain(letter.id)}  {_plain(letter.function)}  {letter.attempts} attempts  "
        f"{_age(_age_s(letter))} ago\n"
        f"    error    {_plain(error)}\n"
        f"    payload  {_plain(letter.args.decode(errors='replace') + kwargs, _WIDTH_CHARS)}"
    )


def _plain(text: str, most_chars: int = 500) -> str:
    """One line that is safe for a terminal: strangers chose what is in it."""
    line = "".join(c if c.isprintable() else ascii(c)[1:-1] for c in text[: most_chars + 1])
    return line if len(text) <= most_chars else line[: most_chars - 3] + "..."


def _age_s(letter: DeadLetter) -> int:
    return max(0, round(time.time() - int(letter.entry.partition("-")[0]) / 1000))


def _age(seconds: int) -> str:
    for size_s, unit in ((86_400, "d"), (3600, "h"), (60, "min")):
        if seconds >= size_s:
            return f"{seconds // size_s} {unit}"
    return f"{seconds} s"


def _print(text: str) -> None:
    sys.stdout.write(f"{text}\n")


def _entry(text: str) -> str:
    if not _ENTRY.fullmatch(text):
        raise argparse.ArgumentTypeError(f"{text!r} is no entry, such as 1700000000000-0")
    return text


def _count(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is no number above 0")
    return int(text)


def parser() -> argparse.ArgumentParser:
    """What the command line takes."""
    top = argparse.ArgumentParser(
        prog="python -m workers.dead_letters", description="Jobs that failed, with their payloads."
    )
    commands = top.add_subparsers(dest="command", required=True)
    listing = commands.add_parser("list", help="print them, oldest first")
    listing.add_argument("--count", type=_count, default=100, metavar="N", help="at most this many (100)")
    listing.add_argument("--json", action="store_true", help="one JSON object a line, with the whole payload")
    back = commands.add_parser("requeue", help="put them back into the stream, with all their attempts before them")
    which = back.add_mutually_exclusive_group(required=True)
    which.add_argument("entries", nargs="*", type=_entry, default=[], metavar="ENTRY", help="as `list` prints it")
    which.add_argument("--all", action="store_true", help="all that there are now")
    return top


async def run(arguments: argparse.Namespace, settings: StreamSettings) -> int:
    """Does what the arguments say. Returns the exit code."""
    stream = Stream(settings)
    try:
        if arguments.command == "list":
            return await show(stream, arguments.count, arguments.json)
        return await requeue(stream, arguments.entries)
    except BrokenPipeError:
        raise
    except (RedisError, OSError) as error:
        where = without_credentials(settings.redis_url)
        if is_out_of_memory(error):
            what = f"the server {where} is out of memory"
        elif is_unavailable(error):
            what = f"the server {where} is unavailable: {error}"
        else:
            what = f"the server {where} refused: {error}"
        sys.stderr.write(f"{what}\n")
        return SERVER_FAILED
    finally:
        await stream.close()


def main() -> None:
    """Ends the process with the exit code."""
    arguments = parser().parse_args()
    settings = load(StreamSettings)
    try:
        code = asyncio.run(run(arguments, settings))
        sys.stdout.flush()
    except BrokenPipeError:  # `| head` has seen enough
        sys.stderr.close()
        code = 0
    sys.exit(code)


if __name__ == "__main__":
    main()
