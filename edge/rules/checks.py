"""Rules that cannot work, found before they run."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from edge.config import Rule
from edge.errors import ConfigError
from edge.rules.engine import fold


def check_rules(rules: Sequence[Rule]) -> None:
    """Raise ConfigError, naming the rule, for the first one that makes no sense by itself."""
    names: set[str] = set()
    for rule in rules:
        problem = _problem(rule)
        if not problem and fold(rule.name) in names:
            problem = "another rule has this name: give it one of its own"
        if problem:
            raise ConfigError(f"alerts.rules: rule {rule.name!r}: {problem}")
        names.add(fold(rule.name))


def unknown_classes(rules: Sequence[Rule], class_names: Iterable[str]) -> tuple[str, ...]:
    """One line for each rule that can never fire with a model that knows ``class_names``, saying which it lacks."""
    known = frozenset(map(fold, class_names))
    return tuple(
        f"rule {rule.name!r} can never fire: the model {missing}"
        for rule in rules
        if (missing := _missing(rule, known))
    )


def _problem(rule: Rule) -> str:
    """What is wrong with a rule and what to do, or nothing."""
    if not rule.any and not rule.all:
        return "it asks for no class: give `any` or `all`, since an alert says what was seen and where"
    if not all(map(fold, (*rule.any, *rule.all, *rule.none))):
        return "a class name is empty: remove it"
    if rule.hold_hits > rule.hold_frames:
        return f"hold_hits is {rule.hold_hits} of hold_frames {rule.hold_frames}: it can be at most hold_frames"
    barred = frozenset(map(fold, rule.none))
    both = [name for name in rule.all if fold(name) in barred]
    if both:
        return f"{_listed(both)} stands in `all` and in `none`: it can never match"
    if rule.any and barred.issuperset(map(fold, rule.any)):
        return "every class of `any` stands in `none` too: it can never match"
    return ""


def _missing(rule: Rule, known: frozenset[str]) -> str:
    unknown = [name for name in rule.all if fold(name) not in known]
    if unknown:
        return f"does not know {_listed(unknown)}"
    barred = frozenset(map(fold, rule.none))
    if rule.any and not any(fold(name) in known - barred for name in rule.any):
        return f"knows none of {_listed(name for name in rule.any if fold(name) not in barred)}"
    return ""


def _listed(names: Iterable[str]) -> str:
    return ", ".join(f"'{name}'" for name in names)
