"""No module outside `workers/stream/` names a Redis key or sends a Redis command."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
STREAM = ROOT / "workers/stream"
MODULES = sorted(
    path for room in ("gateway", "workers") for path in (ROOT / room).rglob("*.py") if STREAM not in path.parents
)
# The key table at the top of keys.lua: `{q}:job:ID`, `{q}:health-check` ...
KEYS = sorted(set(re.findall(r"\{q\}:([a-z-]+)", (STREAM / "lua/base/keys.lua").read_text(encoding="utf-8"))))
KEY = re.compile(rf"(^|[}}\w]):({'|'.join(KEYS)})(:|$)")


def breaches(source: str) -> list[str]:
    """What of a module's source names a key or sends a command, by line."""
    tree = ast.parse(source)
    docstrings = {
        id(node.body[0].value)
        for node in ast.walk(tree)
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef)
        and node.body
        and isinstance(node.body[0], ast.Expr)
    }
    found = []
    for node in ast.walk(tree):
        match node:
            case ast.Attribute(value=ast.Call(func=ast.Name(id="super")), attr="execute_command"):
                pass  # a client of its own that passes on what its user sends
            case ast.Attribute(attr="execute_command" | "redis" as name):
                found.append(f"{node.lineno}: .{name}")
            case ast.Constant(value=str(text)) if id(node) not in docstrings and KEY.search(text):
                found.append(f"{node.lineno}: {text!r}")
    return found


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(ROOT)))
def test_no_other_module_names_keys_or_sends_commands(path: Path) -> None:
    assert breaches(path.read_text(encoding="utf-8")) == []


def test_keys_and_commands_are_found() -> None:
    assert {"stream", "job", "wake", "health-check"} <= set(KEYS)
    source = '''
"""A docstring may speak of {q}:job:ID."""
key = f"{prefix}:job:{job_id}"
other = prefix + ":health-check"
await stream.redis.delete(key)
await client.execute_command("PING")
fine = "job: done"
'''
    assert sorted(breaches(source)) == ["3: ':job:'", "4: ':health-check'", "5: .redis", "6: .execute_command"]
