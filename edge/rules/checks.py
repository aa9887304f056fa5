"""Rules and thresholds that cannot work, found before they run."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence

from edge.config import DEFAULT_RULES, Config, Rule
from edge.errors import ConfigError
from edge.rules.condition import fold
from edge.text import is_printable

HARDLY = 0.95  # scores from here on are rare with quantized models, also of what is plain to see
HARDLY_HITS = 300  # frames: 20 seconds at 15 a second, all of which must match
HARDLY_S = 3600.0  # nobody who is up to something stays so long in one piece
MOST_LISTED = 3  # classes that a line names: a rule may ask for 64, and what blinds it is said with every result
_NUMBERED = re.compile(r"class \d+")  # what a class without a name is called


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


def judge(config: Config, class_names: Iterable[str]) -> tuple[str, ...]:
    """Why silence does not mean safety with these settings, a line each, the gravest first; empty where it does.

    ``class_names`` are those that the model knows. Of the built-in rules it need not know every class, as long as one
    of them can fire.
    """
    rules, threshold = config.alerts.rules, config.detector.score_threshold
    known = frozenset(map(fold, class_names))
    lines = []
    if not rules:
        lines.append("no rule can fire: alerts.rules is empty")
    elif all(_missing(rule, known) for rule in rules):
        lines.append("no rule can fire: the model lacks their classes")
    if threshold >= HARDLY:
        lines.append(f"detector.score_threshold is {threshold:g}: hardly anything can be detected")
    lines += unknown_classes([rule for rule in rules if rule not in DEFAULT_RULES], known)
    return (*lines, *(f"rule {rule.name!r} can hardly fire: {why}" for rule in rules for why in _hurdles(rule)))


def _hurdles(rule: Rule) -> Iterator[str]:
    """What of a rule is set so high that it is hardly ever reached."""
    if rule.min_confidence >= HARDLY:
        yield f"min_confidence is {rule.min_confidence:g}"
    if rule.hold_hits >= HARDLY_HITS:
        yield f"hold_hits is {rule.hold_hits}"
    if rule.max_size == 0.0:
        yield "max_size is 0"
    if rule.min_size == 1.0:
        yield "min_size is 1"
    for name, seconds in (("dwell_s", rule.dwell_s), ("hold_s", rule.hold_s)):
        if seconds >= HARDLY_S:
            yield f"{name} is {seconds:g}"


def _problem(rule: Rule) -> str:
    """What is wrong with a rule and what to do, or nothing."""
    if not all(map(is_printable, (rule.name, *rule.any, *rule.all, *rule.none))):
        return "its name or that of a class holds control characters: remove them"
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
    unknown = [name for name in rule.all if not _knows(name, known)]
    if unknown:
        return f"does not know {_listed(unknown)}"
    barred = frozenset(map(fold, rule.none))
    if rule.any and not any(_knows(name, known) and fold(name) not in barred for name in rule.any):
        return f"knows none of {_listed([name for name in rule.any if fold(name) not in barred])}"
    return ""


def _knows(name: str, known: frozenset[str]) -> bool:
    return fold(name) in known or _NUMBERED.fullmatch(fold(name)) is not None


def _listed(names: Sequence[str]) -> str:
    more = f" and {len(names) - MOST_LISTED} more" if len(names) > MOST_LISTED else ""
    return ", ".join(f"'{name}'" for name in names[:MOST_LISTED]) + more
