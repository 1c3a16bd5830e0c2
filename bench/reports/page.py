"""One HTML page of several runs that opens without a network: all it needs is in it. Every text in it is escaped."""

from __future__ import annotations

import base64
from html import escape
from typing import TYPE_CHECKING, Any

import orjson

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from bench.common.runs import Run
    from bench.reports.plots import Plot
    from bench.reports.table import Table

# Nothing is loaded, whatever a run's file holds.
_POLICY = "default-src 'none'; img-src data:; style-src 'unsafe-inline'"
_STYLE = """
body { font: 15px/1.45 system-ui, sans-serif; margin: 2rem auto; max-width: 110rem; padding: 0 1.5rem }
h1 { font-size: 1.5rem } h2 { font-size: 1.15rem; margin-top: 2.2rem } h3 { font-size: 1rem }
div.wide { overflow-x: auto } table { border-collapse: collapse; font-variant-numeric: tabular-nums }
th, td { padding: .25rem .7rem; border-bottom: 1px solid #ddd; text-align: right; vertical-align: top }
th:first-child, td:first-child { text-align: left }
thead th { border-bottom: 2px solid #888 }
table.facts td { text-align: left; overflow-wrap: anywhere }
img { max-width: 100%; height: auto; display: block } section.run { border-top: 1px solid #ccc; margin-top: 1.5rem }
"""


def page(title: str, runs: Sequence[Run], tables: Sequence[Table], plots: Sequence[Plot]) -> str:
    """The document."""
    parts = [
        "<!doctype html>",
        '<html lang="en"><head><meta charset="utf-8">',
        f'<meta http-equiv="Content-Security-Policy" content="{escape(_POLICY)}">',
        '<meta name="viewport" content="width=device-width, initial-scale=1">',
        f"<title>{escape(title)}</title><style>{_STYLE}</style></head><body>",
        f"<h1>{escape(title)}</h1>",
        *(f"<h2>{escape(table.title)}</h2>\n{_rows(table.rows, table.head)}" for table in tables),
        *(_picture(plot) for plot in plots),
        "<h2>The runs</h2>",
        *(_run(run) for run in runs),
        "</body></html>",
    ]
    return "\n".join(parts) + "\n"


def _rows(rows: Sequence[Sequence[str]], head: Sequence[str] = ()) -> str:
    top = "".join(f'<th scope="col">{escape(cell)}</th>' for cell in head)
    body = "".join(f"<tr>{''.join(f'<td>{escape(cell)}</td>' for cell in row)}</tr>\n" for row in rows)
    kind = f"<table><thead><tr>{top}</tr></thead>\n" if head else '<table class="facts">'
    return f'<div class="wide">{kind}<tbody>{body}</tbody></table></div>'


def _picture(plot: Plot) -> str:
    data = base64.b64encode(plot.png).decode()
    return f'<h2>{escape(plot.title)}</h2>\n<img alt="{escape(plot.title)}" src="data:image/png;base64,{data}">'


def _run(run: Run) -> str:
    began = f", begun {run.started}" if run.started else ""
    parts = [
        f'<section class="run"><h3>{escape(run.name)}</h3>',
        f"<p>{escape(f'{run.kind}, a load of {run.duration_s:g} s{began}')}</p>",
        *(f"<p>{escape(note)}</p>" for note in run.notes),
        _facts("Parameters", run.parameters),
        _facts("Versions", run.versions),
        _facts("Events", {f"{event['t_s']:g} s": event["what"] for event in run.events}),
        "</section>",
    ]
    return "\n".join(parts)


def _facts(title: str, facts: Mapping[str, Any]) -> str:
    rows = [(name, fact if isinstance(fact, str) else orjson.dumps(fact).decode()) for name, fact in facts.items()]
    return f"<p>{title}</p>\n{_rows(rows)}" if rows else ""
