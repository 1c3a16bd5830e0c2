"""`python3 deploy/local check [MODEL] [--input JSON]`: loads a model as a worker would, and says what there is to know.

Exit code: 0 if all is well, 1 if the model or the input fails, 2 for a bad setting or argument.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import os
import sys
import time
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

import orjson

from deploy.local.model.model_log import stderr_kept
from deploy.local.model.packages import install_for
from deploy.local.model.system_packages import PackagesError
from workers.model_host.errors import InputInvalid, ModelAskedAgain, ModelCrashed, ModelLoadFailed, ModelRaised
from workers.model_host.process.process import ModelProcess
from workers.model_host.process.start import start
from workers.predict import model_options
from workers.process.secrets import hide_secrets
from workers.settings import WorkerSettings, end_with_bad_setting, load
from workers.wire.decode import loads
from workers.wire.limits import NotJson
from workers.wire.result import EncodedResult

if TYPE_CHECKING:
    from deploy.local.model.model_log import ModelLog
    from workers.model_host.protocol.description import Description

_MOST_SHOWN_CHARS = 2000


class CheckFailed(Exception):  # noqa: N818
    """What is wrong, in one sentence."""


async def check(settings: WorkerSettings, input_json: bytes | None, log: ModelLog) -> None:
    """Prints what there is to know of the model, and what it makes of the input. Raises CheckFailed."""
    described: list[Description] = []
    options = model_options(settings, described.append)
    show("model", settings.model)
    started_s = time.monotonic()
    process = ModelProcess(options, partial(start, options, {}), lambda _before, _after: None)
    try:
        await process.load()
        show("loaded in", f"{time.monotonic() - started_s:.3g} s")
        _show_process(process.pid)
        _show_schema(described[0])
        if input_json is not None:
            await _run(process, input_json, settings.job_timeout_s)
    except (ModelLoadFailed, ModelRaised, ModelCrashed, ModelAskedAgain) as error:
        raise CheckFailed(f"{error}{'' if isinstance(error, InputInvalid) else log.place(str(error))}") from None
    except TimeoutError:
        raise CheckFailed(f"predict takes longer than JOB_TIMEOUT_S, {settings.job_timeout_s:g} s") from None
    finally:
        await process.stop()


async def _run(process: ModelProcess, input_json: bytes, timeout_s: float) -> None:
    started_s = time.monotonic()
    async with asyncio.timeout(timeout_s):
        result = EncodedResult.unpacked(await process.predict(input_json))
    body = result.body.decode()
    show("predict took", f"{time.monotonic() - started_s:.3g} s")
    show("result", body if len(body) <= _MOST_SHOWN_CHARS else f"{body[:_MOST_SHOWN_CHARS]}... ({len(body)} in all)")
    for warning in orjson.loads(result.warnings or b"[]"):
        show("warning", f"{warning['pointer']}: {warning['detail']}")


def _show_process(pid: int | None) -> None:
    """Memory and threads, as /proc has them; nothing on systems without it."""
    with contextlib.suppress(OSError):
        status = Path(f"/proc/{pid}/status").read_text(encoding="utf-8")
        fields = dict(line.split(":", 1) for line in status.splitlines())
        threads = int(fields["Threads"])
        show("memory", f"{int(fields['VmRSS'].split()[0]) / 1024:.0f} MiB (RSS)")
        can = "it can be forked" if threads == 1 else "it can't be forked: only one of them would go on"
        show("threads", f"{threads}: {can}")


def _show_schema(description: Description) -> None:
    schema: dict[str, Any] = loads(description.schema) if description.schema else {}
    for name in ("input", "output", "definitions"):
        if name in schema:
            show(name, orjson.dumps(schema[name], option=orjson.OPT_INDENT_2).decode())
        elif name != "definitions":
            show(name, "any JSON")
    for warning in description.warnings:
        show("warning", warning)


def show(name: str, value: str) -> None:
    """Prints one line, or more for a value of several lines."""
    print(f"{name + ':':<14}{value.replace(chr(10), chr(10) + ' ' * 14)}", flush=True)


def _input_of(argument: str | None) -> bytes | None:
    """The input as JSON, of an argument or of the file behind its `@`. Ends the process if it is none."""
    try:
        text = Path(argument[1:]).read_bytes() if argument and argument.startswith("@") else (argument or "").encode()
        if argument is not None:
            loads(text)
    except OSError as error:
        end_with_bad_setting(f"bad argument --input: {error}")
    except NotJson as error:
        end_with_bad_setting(f"""bad argument --input: it is no JSON, where a text is '"hello"': {error}""")
    return None if argument is None else text


def main() -> NoReturn:
    """Reads the arguments and checks the model."""
    parser = argparse.ArgumentParser(prog="python3 deploy/local check", description=__doc__.split(": ", 1)[1])
    parser.add_argument("model", nargs="?", help="module:Class or /path/to/file.py:Class (default: the setting MODEL)")
    parser.add_argument("--input", metavar="JSON", help="an input to run: JSON, or @FILE with JSON in it")
    arguments = parser.parse_args()
    if arguments.model:
        os.environ["MODEL"] = arguments.model
    settings, input_json = load(WorkerSettings), _input_of(arguments.input)
    hide_secrets()
    try:
        install_for(settings.model)
        with stderr_kept() as log:
            asyncio.run(check(settings, input_json, log))
    except PackagesError as error:
        end_with_bad_setting(str(error))
    except CheckFailed as error:
        sys.exit(f"error: {error}")
    sys.exit(0)


if __name__ == "__main__":
    main()
