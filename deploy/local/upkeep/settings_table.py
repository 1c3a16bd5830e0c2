"""The tables of docs/settings.md, made from the settings classes: printed, or with `--write` put in their place."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from deploy.local.settings import UpSettings
from gateway.settings import GatewaySettings
from workers.kubernetes.deletion_cost import PodSettings
from workers.scaler.settings import PolicySettings, ScalerSettings
from workers.settings import ObjectSettings, StreamSettings, WorkerSettings

if TYPE_CHECKING:
    from pydantic_settings import BaseSettings

PAGE = Path(__file__).resolve().parents[3] / "docs" / "settings.md"
BEGIN = "<!-- settings: made by `python -m deploy.local.upkeep.settings_table --write` -->\n"
END = "<!-- end of settings -->\n"

# Title of the table, class, and the classes whose settings another table has.
_SECTIONS: list[tuple[str, type[BaseSettings], tuple[type[BaseSettings], ...]]] = [
    ("The run command (`up`)", UpSettings, ()),
    ("Gateway, workers and scaler", StreamSettings, ()),
    ("Gateway and workers: the object store", ObjectSettings, ()),
    ("The gateway", GatewaySettings, (StreamSettings, ObjectSettings)),
    ("The workers", WorkerSettings, (StreamSettings, ObjectSettings)),
    ("A worker in a pod", PodSettings, ()),
    ("The scaler, and the run command with `WORKERS=auto`", PolicySettings, ()),
    ("The scaler in a cluster", ScalerSettings, (StreamSettings, PolicySettings)),
]


def tables() -> str:
    """A heading and a Markdown table for each class: name, default, unit and meaning of every setting."""
    parts: list[str] = []
    for title, settings, others in _SECTIONS:
        known = {name for other in others for name in other.model_fields}
        rows = [
            f"| `{name.upper()}` | {_shown(field.default)} | {_unit(name)} | {_meaning(field.description)} |"
            for name, field in settings.model_fields.items()
            if name not in known
        ]
        parts.append(
            "\n".join([f"## {title}\n", "| Name | Default | Unit | Meaning |", "| --- | --- | --- | --- |", *rows])
        )
    return "\n\n".join(parts) + "\n"


def section() -> str:
    """The tables between their marks, as the page has them."""
    return f"{BEGIN}\n{tables()}\n{END}"


def _shown(default: Any) -> str:
    if isinstance(default, float):
        default = f"{default:.15g}"
    if isinstance(default, (list, tuple, set, frozenset)):
        default = ",".join(map(str, default))
    text = str(default).lower() if isinstance(default, bool) else str(default)
    return f"`{text}`" if text and default is not None else "empty"


def _unit(name: str) -> str:
    for suffix, unit in (("_s", "seconds"), ("_ms", "milliseconds"), ("_bytes", "bytes")):
        if name.endswith(suffix):
            return unit
    return ""


def _meaning(description: str | None) -> str:
    if not description:
        raise ValueError("every setting needs a description")
    return description.replace("|", "\\|")


def main() -> None:
    """Prints the section, or writes it into the page."""
    if sys.argv[1:] != ["--write"]:
        print(section(), end="")
        return
    before, _, rest = PAGE.read_text(encoding="utf-8").partition(BEGIN)
    _, _, after = rest.partition(END)
    PAGE.write_text(f"{before}{section()}{after}", encoding="utf-8")


if __name__ == "__main__":
    main()
