"""From a TOML file, PREACT_EDGE_* variables and ``--set`` to a checked Config; every error names its source and key."""

from __future__ import annotations

import contextlib
import difflib
import re
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import msgspec
from msgspec import inspect

from edge.config import Config
from edge.errors import ConfigError

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

PREFIX = "PREACT_EDGE_"
NOT_SETTINGS = frozenset({"CONFIG", "MODEL_MIRROR", "PYTHON"})  # variables that are no keys
_ROOT = inspect.type_info(Config)


def load_config(path: Path | None, environ: Mapping[str, str] | None = None, overrides: Iterable[str] = ()) -> Config:
    """Read ``path`` (None: the defaults), then apply PREACT_EDGE_GROUP__KEY of ``environ``, then ``key.path=value``s.

    Raises ConfigError: its one line names the file, variable or option, the key's path and what is allowed.
    """
    config = Config() if path is None else _convert(_read(path), str(path))
    for name, value in sorted((environ or {}).items()):
        key = name.removeprefix(PREFIX)
        if name.startswith(PREFIX) and key not in NOT_SETTINGS:
            config = override(config, key.lower().replace("__", "."), value, name)
    for text in overrides:
        key, equals, value = text.partition("=")
        if not equals:
            raise ConfigError(f"--set {text}: expected key.path=value, for example camera.fps=10")
        config = override(config, key.strip(), value, f"--set {text}")
    return config


def salvage(group: str, path: Path | None, environ: Mapping[str, str], overrides: Iterable[str]) -> Config:
    """As load_config, for who must act although that raises: only ``group``, each key of it where that is valid.

    What is wrong, or cannot be read, is as in the defaults. Never raises.
    """
    config, tree = Config(), {}
    with contextlib.suppress(ConfigError):
        tree = {} if path is None else _read(path)
    of_group = tree.get(group)
    for key, value in of_group.items() if isinstance(of_group, dict) else ():
        with contextlib.suppress(ConfigError):
            config = with_values(config, {f"{group}.{key}": value}, group)
    variables = [(name.removeprefix(PREFIX).lower().replace("__", "."), environ[name]) for name in sorted(environ)]
    options = [(key.strip(), value) for key, _, value in (text.partition("=") for text in overrides)]
    for key, value in (*variables, *options):
        if key.startswith(f"{group}."):
            with contextlib.suppress(ConfigError):
                config = override(config, key, value, key)
    return config


def override(config: Config, key: str, value: str, origin: str) -> Config:
    """``config`` with the one key changed; ``value`` is TOML, or bare text where the key holds text."""
    tree: dict[str, Any] = _lists(msgspec.to_builtins(config))
    parts = re.findall(r"[^.\[\]]+", key)
    if not parts:
        raise ConfigError(f"{origin}: no key given, for example camera.fps=10")
    _put(tree, parts, _parse(value, type_at(parts)), key, origin)
    return _convert(tree, origin)


def with_values(config: Config, values: Mapping[str, Any], origin: str) -> Config:
    """``config`` with the value of each key's path replaced; values are as JSON has them. Raises ConfigError."""
    tree: dict[str, Any] = _lists(msgspec.to_builtins(config))
    for key, value in values.items():
        _put(tree, key.split("."), value, key, origin)
    return _convert(tree, origin)


def value_at(config: Config, key: str) -> Any:
    """The value at a key's path, as JSON has it; the key must be there."""
    node: Any = _lists(msgspec.to_builtins(config))
    for part in key.split("."):
        node = node[part]
    return node


def type_at(parts: Iterable[str]) -> inspect.Type | None:
    """What the settings hold at a key's path; None where there is no such key."""
    found: inspect.Type | None = _ROOT
    for part in parts:
        found = plain(found)
        if isinstance(found, inspect.StructType):
            found = next((field.type for field in found.fields if field.name == part), None)
        elif isinstance(found, inspect.VarTupleType) and _is_index(part):
            found = found.item_type
        elif isinstance(found, inspect.TupleType) and _is_index(part):
            found = next(iter(found.item_types[int(part) :]), None)
        elif isinstance(found, inspect.DictType):
            found = found.value_type
        else:
            return None
    return found


def describe(kind: inspect.Type | None) -> str:
    """What a setting may hold, for a person: ``a whole number, 64 to 7680``."""
    kind = plain(kind)
    if isinstance(kind, inspect.BoolType):
        return "true or false"
    if isinstance(kind, inspect.LiteralType):
        return "one of " + ", ".join(sorted(str(value) for value in kind.values))
    if isinstance(kind, (inspect.IntType, inspect.FloatType)):
        noun = "a whole number" if isinstance(kind, inspect.IntType) else "a number"
        return f"{noun}{_limits(kind)}"
    if isinstance(kind, inspect.StrType):
        most = f", at most {kind.max_length} characters" if kind.max_length else ""
        return f"text{', not empty' if kind.min_length else ''}{most}"
    if isinstance(kind, inspect.UnionType):
        return ", or ".join(describe(one) for one in kind.types if not isinstance(one, inspect.NoneType))
    if isinstance(kind, inspect.VarTupleType):
        least = f", at least {'one' if kind.min_length == 1 else kind.min_length}" if kind.min_length else ""
        most = f", at most {kind.max_length}" if kind.max_length else ""
        return f"a list of {_many(plain(kind.item_type))}{least}{most}"
    if isinstance(kind, inspect.TupleType):
        return f"a list of {len(kind.item_types)}, each {describe(kind.item_types[0])}"
    return "a table"


def _many(kind: inspect.Type | None) -> str:
    if isinstance(kind, inspect.TupleType):
        return "points"
    return "tables" if isinstance(kind, inspect.StructType) else "text"


def _limits(kind: inspect.IntType | inspect.FloatType) -> str:
    low = f"{kind.ge:g}" if kind.ge is not None else f"above {kind.gt:g}" if kind.gt is not None else ""
    high = f"{kind.le:g}" if kind.le is not None else ""
    if low and high:
        return f", {low} to {high}"
    return f", {low} or more" if low else ""


def plain(kind: inspect.Type | None) -> inspect.Type | None:
    """A type without the description and limits around it."""
    return kind.type if isinstance(kind, inspect.Metadata) else kind


def _lists(value: Any) -> Any:
    """The same with lists for tuples, so that entries can be replaced."""
    if isinstance(value, dict):
        return {key: _lists(child) for key, child in value.items()}
    return [_lists(child) for child in value] if isinstance(value, tuple) else value


def _read(path: Path) -> dict[str, Any]:
    try:
        with path.open("rb") as file:
            tree: dict[str, Any] = tomllib.load(file)
            return tree
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read: {error.strerror}; give the config file with -c FILE") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: is not valid TOML: {error}") from error


def _convert(tree: dict[str, Any], origin: str) -> Config:
    try:
        return msgspec.convert(tree, Config)
    except msgspec.ValidationError as error:
        raise ConfigError(f"{origin}: {_explain(str(error))}") from error


def _explain(message: str) -> str:
    """Turn ``Expected `int`, got `str` - at `$.camera.width``` into words with the key first and what is allowed."""
    problem, _, place = message.partition(" - at `")
    key = place.rstrip("`").removeprefix("$").lstrip(".").replace("[...]", ".*")  # any key of a table of text
    parts = re.findall(r"[^.\[\]]+", key)
    unknown = re.fullmatch(r"Object contains unknown field `(.*)`", problem)
    if unknown:
        return _unknown(unknown.group(1), parts)
    missing = re.fullmatch(r"Object missing required field `(.*)`", problem)
    if missing:
        return f"{key}: needs the key {missing.group(1)}"
    if not problem.startswith(("Expected", "Invalid")):  # of a struct's own check
        return f"{key}: {problem}" if key else problem
    return f"{key}: {problem[0].lower()}{problem[1:].replace('`', '')}; allowed: {describe(type_at(parts))}"


def _unknown(name: str, parts: list[str]) -> str:
    table = plain(type_at(parts))
    known = [field.name for field in table.fields] if isinstance(table, inspect.StructType) else []
    close = difflib.get_close_matches(name, known, 1)
    hint = f" (did you mean {close[0]}?)" if close else ""
    return f"{'.'.join([*parts, name])}: unknown key{hint}; allowed here: {', '.join(known)}"


def _put(tree: dict[str, Any], parts: list[str], value: Any, key: str, origin: str) -> None:
    """Set what stands at the end of a key's path."""
    node: Any = tree
    for depth, part in enumerate(parts[:-1]):
        node = _step(node, part, ".".join(parts[: depth + 1]), origin)
    _step(node, parts[-1], key, origin, missing_ok=True)
    node[int(parts[-1]) if isinstance(node, list) else parts[-1]] = value


def _step(node: Any, part: str, key: str, origin: str, *, missing_ok: bool = False) -> Any:
    """The child of a table or list; ``missing_ok`` lets a table's key be new (the conversion then judges it)."""
    if isinstance(node, list) and _is_index(part) and int(part) < len(node):
        return node[int(part)]
    if isinstance(node, list):
        raise ConfigError(f"{origin}: {key}: no such entry; the list has {len(node)}, counted from 0")
    if isinstance(node, dict) and (missing_ok or part in node):
        return node.get(part)
    known = ", ".join(node) if isinstance(node, dict) else "nothing below it"
    raise ConfigError(f"{origin}: {key}: unknown key; allowed here: {known}")


def _is_index(part: str) -> bool:
    return part.isascii() and part.isdigit()


def _parse(value: str, kind: inspect.Type | None) -> Any:
    if isinstance(plain(kind), (inspect.StrType, inspect.LiteralType)):
        return value
    try:
        return tomllib.loads(f"value = {value}")["value"]
    except tomllib.TOMLDecodeError:
        return value
