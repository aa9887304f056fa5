"""Tables at the end of update.yml and status.yml, also when the play stopped.

A play describes its table with set_stats, ``preact_edge_table: {title, columns, result, folder}``, and each host gives
its row, ``preact_edge_row: {column: value}``, with ``per_host: true``. For a host that failed or was not reached the
column that ``result`` names says so, and the column ``why`` has the reason.
"""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

from ansible.plugins.callback import CallbackBase

DOCUMENTATION = """
    name: preact_edge_report
    type: aggregate
    short_description: prints a table of the fleet
    description:
      - Prints the table that a play described with set_stats, and keeps it in a file where the play names a folder.
"""

WIDEST = 60  # characters of a cell on the terminal; the file has them all


class CallbackModule(CallbackBase):
    """Synchronization: none, Ansible calls it from one thread."""

    CALLBACK_VERSION = 2.0
    CALLBACK_TYPE = "aggregate"
    CALLBACK_NAME = "preact_edge_report"
    CALLBACK_NEEDS_ENABLED = True

    def __init__(self) -> None:
        super().__init__()
        self._why: dict[str, str] = {}

    def v2_runner_on_failed(self, result: Any, ignore_errors: bool = False) -> None:
        if not ignore_errors and "results" not in result._result:  # of a loop its item says more
            self._why[result._host.get_name()] = _reason(result._result)

    def v2_runner_item_on_failed(self, result: Any) -> None:
        self._why[result._host.get_name()] = _reason(result._result)

    def v2_runner_on_unreachable(self, result: Any) -> None:
        self._why[result._host.get_name()] = f"cannot be reached: {_reason(result._result)}"

    def v2_playbook_on_stats(self, stats: Any) -> None:
        table = (stats.custom.get("_run") or {}).get("preact_edge_table")
        if not table:
            return
        rows = {host: dict(of.get("preact_edge_row", {})) for host, of in stats.custom.items() if host != "_run"}
        for host in {*stats.failures, *stats.dark} - {"localhost"}:
            row = rows.setdefault(host, {})
            row.setdefault("why", self._why.get(host, ""))
            row[table["result"]] = "unreachable" if host in stats.dark else _failed(row)
        lines = _lines(table["columns"], rows)
        self._display.banner(table["title"])
        for line in _lines(table["columns"], rows, WIDEST):
            self._display.display(line)
        if table.get("folder"):
            self._keep(Path(table["folder"]).expanduser(), table, lines)

    def _keep(self, folder: Path, table: dict[str, Any], lines: list[str]) -> None:
        file = folder / f"{table['title'].lower().replace(' ', '-')}-{time.strftime('%Y%m%d-%H%M%S')}.txt"
        try:
            folder.mkdir(parents=True, exist_ok=True)
            file.write_text("\n".join(lines) + "\n")
        except OSError as error:
            self._display.warning(f"the report cannot be kept in {file}: {error.strerror}")
        else:
            self._display.display(f"\nkept in {file}")


def _reason(result: dict[str, Any]) -> str:
    text = str(result.get("msg") or result.get("stderr") or result.get("stdout") or "see above")
    return " ".join(text.split())


def _failed(row: dict[str, Any]) -> str:
    return row["result"] if row.get("result") in ("refused", "rolled back") else "failed"


def _lines(columns: list[str], rows: dict[str, dict[str, Any]], widest: int = 10_000) -> list[str]:
    """Aligned columns, a line a host; the last column is as long as it is."""
    cells = [["host", *columns]]
    cells += [[host, *(_cell(rows[host].get(column)) for column in columns)] for host in sorted(rows)]
    widths = [min(max(len(line[at]) for line in cells), widest) for at in range(len(columns))]
    return [
        "  ".join([*(cell[:width].ljust(width) for cell, width in zip(line, widths, strict=False)), line[-1]]).rstrip()
        for line in cells
    ]


def _cell(value: Any) -> str:
    return "-" if value is None or value == "" else " ".join(str(value).split())
