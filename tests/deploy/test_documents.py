"""What the Markdown files say of the project is true: links, paths, modules, settings, endpoints, metrics, figures."""

from __future__ import annotations

import importlib.util
import re
import sys
from functools import cache
from pathlib import Path
from urllib.parse import unquote

import pytest

from deploy.local.upkeep import settings_table
from gateway.documents.openapi.document import describe
from gateway.settings import GatewaySettings

ROOT = Path(__file__).resolve().parents[2]
FOLDERS = ("gateway", "workers", "bench", "deploy", "tests", "docs", ".ci")
DOCUMENTS = sorted(
    path.relative_to(ROOT)
    for path in (*ROOT.glob("*.md"), *(file for folder in FOLDERS for file in (ROOT / folder).rglob("*.md")))
)
LINK = re.compile(r"!?\[[^\]]*\]\(([^)\s]+)\)")
# A path from the project's folder on, in text or in code. Capitals stand for any name: deploy/values/NAME.
PATH = re.compile(rf"(?<![\w./-])(?:{'|'.join(map(re.escape, FOLDERS))})/[\w./*-]*")
BARE_FILE = re.compile(r"`([\w-]+\.(?:py|lua|md|toml|txt))`")
MODULE = re.compile(r"(?:python3? -m |from |import )((?:gateway|workers|bench|deploy|tests)[\w.]*)")
STEP = re.compile(r"`([\w./]+\.(?:py|lua))`\s+\(`(\w+)`\)")
METRIC = re.compile(r"`(leadtime_\w+)`")


@cache
def text_of(document: Path) -> str:
    """A file's text, by its path from the project's folder on."""
    return (ROOT / document).read_text(encoding="utf-8")


def without_code(text: str) -> str:
    """The prose: no fenced or indented blocks, nothing between backticks."""
    text = re.sub(r"^```.*?^```", "", text, flags=re.MULTILINE | re.DOTALL)
    return re.sub(r"`[^`\n]*`", "", re.sub(r"^ {4}.*$", "", text, flags=re.MULTILINE))


@cache
def anchors_of(document: Path) -> set[str]:
    """Its headings as GitHub names them in links."""
    text = re.sub(r"^```.*?^```", "", text_of(document), flags=re.MULTILINE | re.DOTALL)
    found: set[str] = set()
    for heading in re.findall(r"^#+ (.*)$", text, flags=re.MULTILINE):
        name = re.sub(r"[^\w\- ]", "", re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", heading).lower()).replace(" ", "-")
        number = next(n for n in range(len(found) + 1) if (f"{name}-{n}" if n else name) not in found)
        found.add(f"{name}-{number}" if number else name)
    return found


def missing_paths(text: str) -> list[str]:
    """The project's paths that a text names, of those that do not exist."""
    named = {found.rstrip(".") for found in PATH.findall(text)}
    patterns = {path: re.sub(r"(?<=/)[A-Z_]+(?=/|$)", "*", path).rstrip("/") for path in named}
    return sorted(path for path, pattern in patterns.items() if not any(ROOT.glob(pattern)))


def steps() -> list[tuple[str, list[tuple[str, str]]]]:
    """The lines of the worked answer in docs/concepts.md, each with its pairs of file and name."""
    section = text_of(Path("docs/concepts.md")).split("## Where does a job go?\n")[1].split("\n## ")[0]
    return [(line, STEP.findall(line)) for line in re.split(r"\n(?=\d+\. )", section)[1:]]


@pytest.mark.parametrize("document", DOCUMENTS, ids=str)
def test_every_relative_link_leads_to_a_file_and_its_heading(document: Path) -> None:
    broken = []
    for link in LINK.findall(without_code(text_of(document))):
        if re.match(r"[a-z]+:", link):
            continue
        target, _, anchor = unquote(link).partition("#")
        file = (ROOT / document.parent / target).resolve() if target else ROOT / document
        if not file.exists() or (anchor and anchor not in anchors_of(file.relative_to(ROOT))):
            broken.append(link)
    assert broken == []


@pytest.mark.parametrize("document", DOCUMENTS, ids=str)
def test_every_path_that_is_named_exists(document: Path) -> None:
    assert missing_paths(text_of(document)) == []


def test_every_path_that_a_comment_names_exists() -> None:
    files = [
        file for folder in FOLDERS for kind in ("py", "lua", "yaml") for file in (ROOT / folder).rglob(f"*.{kind}")
    ]
    found = {str(file.relative_to(ROOT)): missing_paths(file.read_text(encoding="utf-8")) for file in files}
    assert {file: paths for file, paths in found.items() if paths} == {}


@pytest.mark.parametrize("document", DOCUMENTS, ids=str)
def test_a_file_without_its_folder_is_one_at_the_top(document: Path) -> None:
    """`stream.py` could be anywhere, and nobody would notice that it has gone."""
    assert [name for name in BARE_FILE.findall(text_of(document)) if not (ROOT / name).is_file()] == []


@pytest.mark.parametrize("document", DOCUMENTS, ids=str)
def test_every_module_that_is_named_exists(document: Path) -> None:
    assert [name for name in MODULE.findall(text_of(document)) if importlib.util.find_spec(name) is None] == []


def test_a_job_goes_where_the_manual_says() -> None:
    assert len(steps()) == 10
    for line, pairs in steps():
        assert pairs, line
        for file, name in pairs:
            assert re.search(rf"\b{name}\b", text_of(Path(file))), f"{file} has no {name}"


def test_the_manual_has_every_endpoint_and_the_readme_no_other() -> None:
    paths = set(describe(GatewaySettings())["paths"])
    named = {
        document: set(re.findall(r"`(?:GET|POST|PUT|DELETE)\s(/[\w.{}/-]+)", text_of(Path(document))))
        for document in ("README.md", "docs/api.md", "docs/page.md")
    }
    assert named["README.md"] <= paths
    assert paths <= set().union(*named.values())


def test_every_metric_that_is_named_exists() -> None:
    files = [file for folder in ("gateway", "workers") for file in (ROOT / folder).rglob("*.py")]
    known = "\n".join(file.read_text(encoding="utf-8") for file in files)
    named = METRIC.findall(text_of(Path("docs/operations.md")))
    assert named
    assert [name for name in named if f'"{name}"' not in known] == []


def test_figures_of_the_readme_are_those_of_the_benchmarks() -> None:
    table = text_of(Path("README.md")).split("## How fast it is\n\n")[1].split("\n\n")[0]
    figures = re.findall(r"\d+(?:,\d+)*(?:\.\d+)?", table.replace("p50", ""))
    assert figures
    assert [figure for figure in figures if figure not in text_of(Path("docs/benchmarks.md"))] == []


def test_settings_are_listed() -> None:
    assert settings_table.section() in text_of(Path("docs/settings.md")), "run `python3 deploy/local fmt`"


def test_table_names_every_setting() -> None:
    tables = settings_table.tables()
    for _, settings, _ in settings_table._SECTIONS:
        for name in settings.model_fields:
            assert f"| `{name.upper()}` |" in tables


def test_write_puts_the_table_in_its_place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    page = tmp_path / "settings.md"
    page.write_text(f"before\n{settings_table.BEGIN}old{settings_table.END}after\n", encoding="utf-8")
    monkeypatch.setattr(settings_table, "PAGE", page)
    monkeypatch.setattr(sys, "argv", ["settings_table", "--write"])
    settings_table.main()
    assert page.read_text(encoding="utf-8") == f"before\n{settings_table.section()}after\n"
