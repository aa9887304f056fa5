"""Writes docs/configuration.md from the settings' structs: ``python -m edge.commands.document``."""

from __future__ import annotations

import sys
from inspect import cleandoc
from pathlib import Path
from typing import Any

import msgspec
from msgspec import inspect

from edge.config import Config
from edge.configure import describe, plain

HEAD = """\
# Configuration

Everything has a default: without a file, `preact-edge run` watches the drawn scene. Settings come from, each winning
over the one before:

1. the TOML file given with `-c FILE` (or the variable `PREACT_EDGE_CONFIG`);
2. variables `PREACT_EDGE_GROUP__KEY`, for example `PREACT_EDGE_CAMERA__FPS=10`;
3. `--set group.key=value`, for example `--set camera.fps=10` or `--set listeners.0.port=9000`;
4. the short options of `run` (`--source`, `--model`, `--labels`, `--listen`, `--framing`, `--video`, `--unpaced`).

What a client changed with the command `set_config` wins over all of these, also after a restart, until `reset_config`;
the log at every start and `preact-edge check` name it. Its values have the same bounds as those of the file.

An unknown key or a wrong value is an error (exit code 2) that names the file, variable or option, the key and what is
allowed. `preact-edge check -c FILE` says whether the device can run with it. Three variables are no settings:
`PREACT_EDGE_CONFIG`; `PREACT_EDGE_MODEL_MIRROR`, where `models pull` looks; and `PREACT_EDGE_PYTHON`, with which
`deploy/demo` and `deploy/test` make `.venv`.

```toml
[camera]
source = "/dev/video0"
fps = 10

[detector]
model = "ssd-mobilenet-v1"

[[listeners]]
host = "127.0.0.1"
port = 8080
video = true

[[alerts.rules]]
name = "armed person"
level = "critical"
any = ["knife", "scissors"]
all = ["person"]
```

This page is made from the program's own settings (`python -m edge.commands.document`); a test keeps it so.

## Rules

A rule says what is worth an alert. What it finds is an event: it begins with one alert, `escalate` may tell a higher
level of it, and it is resolved when nothing of it was seen for `resolve_after_s`. What stays is not told again. Each
key is explained below; a shop whose door is watched by night may begin with this:

```toml
[alerts]
time_zone = "Europe/Berlin"

[[alerts.schedules]]
name = "closed"
times = ["mon-fri 20:00-07:00", "sat,sun 00:00-24:00"]

[[alerts.zones]]                       # the floor before the door; feet in it count
name = "door"
points = [[0.35, 0.55], [0.65, 0.55], [0.75, 1.0], [0.25, 1.0]]

[[alerts.zones]]                       # people on a poster are none
name = "poster"
points = [[0.8, 0.1], [0.95, 0.1], [0.95, 0.5], [0.8, 0.5]]
kind = "exclude"
anchor = "center"

[[alerts.lines]]                       # walked from left to right: who comes towards the camera goes to_right
name = "threshold"
start = [0.1, 0.6]
end = [0.9, 0.6]

[[alerts.rules]]                       # waits at the door when the shop is closed, and does not go away
name = "at the door"
level = "low"
any = ["person"]
when = "dwelt"
dwell_s = 10
zones = ["door"]
schedule = "closed"
escalate = [{ after_s = 30, level = "medium" }, { after_s = 120, level = "high" }]

[[alerts.rules]]                       # comes in when the shop is closed
name = "comes in"
level = "high"
any = ["person"]
when = "crossed"
line = "threshold"
direction = "to_right"
schedule = "closed"

[[alerts.rules]]                       # a weapon no further from a person than half of that person's height, always
name = "armed person"
level = "critical"
any = ["knife", "gun"]
all = ["person"]
near = 0.5
```

`preact-edge explain`, and the command `explain`, say what the rules looked at and why it led to no alert.
"""


def document() -> str:
    """The whole page."""
    root = inspect.type_info(Config)
    assert isinstance(root, inspect.StructType)  # noqa: S101  # for the type checker: Config is a struct
    top = [field for field in root.fields if _struct(field.type) is None]
    parts = [HEAD, _table("Top level", "", top)]
    parts += [_section(field.name, field.type) for field in root.fields if _struct(field.type) is not None]
    return "\n".join(parts)


def _section(path: str, kind: inspect.Type) -> str:
    """The table of one group, then those of the groups inside it."""
    struct = _struct(kind)
    assert struct is not None  # noqa: S101  # for the type checker: only groups come here
    listed = isinstance(plain(kind), inspect.VarTupleType)
    own = [field for field in struct.fields if _struct(field.type) is None]
    inner = [field for field in struct.fields if _struct(field.type) is not None]
    title = f"`[[{path}]]`" if listed else f"`[{path}]`"
    about = cleandoc(struct.cls.__doc__ or "") + _most(plain(kind))
    parts = [_table(title, about, own)] if own else [f"## {title}\n\n{about}\n"]
    return "\n".join(parts + [_section(f"{path}.{field.name}", field.type) for field in inner])


def _table(title: str, about: str, fields: list[inspect.Field]) -> str:
    head = [
        f"## {title}",
        "",
        *([about, ""] if about else []),
        "| key | what it holds | default | |",
        "|---|---|---|---|",
    ]
    rows = [f"| `{field.name}` | {describe(field.type)} | {_default(field)} | {_about(field)} |" for field in fields]
    return "\n".join([*head, *rows, ""])


def _struct(kind: inspect.Type) -> inspect.StructType | None:
    """The struct behind a group or a list of groups."""
    found = plain(kind)
    if isinstance(found, inspect.VarTupleType):
        found = plain(found.item_type)
    return found if isinstance(found, inspect.StructType) else None


def _most(kind: inspect.Type | None) -> str:
    return f" At most {kind.max_length}." if isinstance(kind, inspect.VarTupleType) and kind.max_length else ""


def _about(field: inspect.Field) -> str:
    schema = field.type.extra_json_schema if isinstance(field.type, inspect.Metadata) else None
    return str((schema or {}).get("description", "")).replace("|", "\\|")


def _default(field: inspect.Field) -> str:
    if field.required:
        return "(must be given)"
    value: Any = field.default_factory() if field.default is msgspec.NODEFAULT else field.default
    if value is None:
        return "(left out)"
    return f"`{msgspec.json.encode(value).decode()}`"


if __name__ == "__main__":
    Path(sys.argv[1] if len(sys.argv) > 1 else "docs/configuration.md").write_text(document(), encoding="utf-8")
