"""What the commands share: the client, how they print, and what an exit code means."""

from __future__ import annotations

import contextlib
import json
import sys
from typing import TYPE_CHECKING, Any, NamedTuple, NoReturn

import click

from ..blocking.client import Client
from ..errors import JobNotFinished, LeadtimeError, WaitOver

if TYPE_CHECKING:
    from collections.abc import Iterator

# Exit codes
NOT_FINISHED = 1  # the job has failed or was cancelled, or some job of a batch
WRONG = 2  # wrong arguments, as click has it
REFUSED = 3  # the gateway refuses the request, or is away
INTERRUPTED = 130

_MOST_CHARS = 500


class CommandContext(NamedTuple):
    """One call of the command: where the gateway is, which queue is meant, and whether a script reads the output."""

    url: str
    api_key: str
    queue: str
    patience_s: float
    as_json: bool

    @contextlib.contextmanager
    def client(self) -> Iterator[Client]:
        """A client for the command. Ends the process with one sentence on stderr for what goes wrong."""
        try:
            with Client(self.url, self.api_key, patience_s=self.patience_s) as client:
                yield client
        except JobNotFinished as error:
            fail(str(error), NOT_FINISHED)
        except WaitOver as error:
            fail(f"{error}; it goes on", NOT_FINISHED)
        except ValueError as error:  # a URL or an input that is none
            fail(str(error), WRONG)
        except BrokenPipeError:  # whoever read the output has enough: click ends the process
            raise
        except (LeadtimeError, OSError) as error:
            fail(str(error), REFUSED)

    def show(self, document: Any, text: str) -> None:
        """Prints a document as one line of JSON if a script reads it, and the text otherwise."""
        click.echo(_json_line(document) if self.as_json else text)

    def options(self) -> dict[str, Any]:
        """What each push has of it."""
        return {"queue": self.queue} if self.queue else {}


def fail(sentence: str, code: int) -> NoReturn:
    """Ends the process."""
    click.echo(f"leadtime: {plain(sentence, 2000)}", err=True)
    sys.exit(code)


def plain(text: Any, most_chars: int = _MOST_CHARS) -> str:
    """The beginning of `whole`."""
    shown = text if isinstance(text, str) else json.dumps(text, ensure_ascii=False)
    line = whole(shown[: most_chars + 1])
    return line if len(shown) <= most_chars else line[: most_chars - 3] + "..."


def whole(text: Any) -> str:
    """One line that is safe for a terminal: strangers chose what is in it. What is no text is JSON, and stays it."""
    shown, escaped = (text, ascii) if isinstance(text, str) else (json.dumps(text, ensure_ascii=False), json.dumps)
    return shown if shown.isprintable() else "".join(c if c.isprintable() else escaped(c)[1:-1] for c in shown)


def _json_line(document: Any) -> str:
    """The document in the output's encoding, with escapes where that lacks a character."""
    line = json.dumps(document, ensure_ascii=False)
    try:
        line.encode(getattr(sys.stdout, "encoding", None) or "utf-8")
    except UnicodeEncodeError:
        return json.dumps(document)
    return line
