"""docs/configuration.md is what the structs say."""

from __future__ import annotations

import re

import msgspec

from edge.commands.document import document
from edge.config import Config
from edge.configure import tomllib
from edge.rules.checks import check_rules, judge
from tests.seeing import Eyes, standing
from tests.support import ROOT


def test_the_page_is_made_from_the_settings() -> None:
    page = (ROOT / "docs" / "configuration.md").read_text(encoding="utf-8")
    assert page == document(), "run: .venv/bin/python -m edge.commands.document"


def examples() -> list[Config]:
    texts = re.findall(r"```toml\n(.*?)```", document(), re.DOTALL)
    return [msgspec.convert(tomllib.loads(text), Config) for text in texts]


def test_the_examples_on_the_page_are_valid_configs() -> None:
    first, shop = examples()
    assert first.listeners[0].video
    check_rules(shop.alerts.rules)
    assert judge(shop, ["person", "knife"]) == ()
    assert [rule.name for rule in shop.alerts.rules] == ["at the door", "comes in", "armed person"]


NIGHT, NOON = 1710017999.0, 1710160000.0  # Saturday 21:59:59 and Monday 13:26:40 in Berlin


def walk(look: Eyes, start: tuple[float, float], end: tuple[float, float]) -> None:
    for n in range(31):
        look.look(standing(start[0] + (end[0] - start[0]) * n / 30, start[1] + (end[1] - start[1]) * n / 30))


def shop_at(moment: float) -> Eyes:
    look = Eyes(examples()[1].alerts)
    look.wall = moment - look.at
    return look


def test_the_shop_of_the_page_by_night() -> None:
    look = shop_at(NIGHT)
    look.watch(130, standing(500, 800))
    look.watch(6)
    assert look.brief == [
        ("at the door", "firing", "low"),
        ("at the door", "firing", "medium"),
        ("at the door", "firing", "high"),
        ("at the door", "resolved", "high"),
    ]
    look = shop_at(NIGHT)
    walk(look, (200, 500), (200, 800))
    assert look.brief == [("comes in", "firing", "high")]
    look = shop_at(NIGHT)
    walk(look, (200, 800), (200, 500))
    assert look.told == [], "goes out"
    look.watch(30, standing(870, 400))
    assert look.told == [], "is on the poster"


def test_the_shop_of_the_page_by_day() -> None:
    look = shop_at(NOON)
    walk(look, (500, 500), (500, 800))
    look.watch(30, standing(500, 800))
    look.watch(3, standing(500, 800), standing(800, 800, "knife", height=30))
    assert look.told == [], "it is open, and the knife lies elsewhere"
    look.watch(3, standing(500, 800), standing(590, 800, "knife", height=30))
    assert look.brief == [("armed person", "firing", "critical")]


def test_every_setting_is_described() -> None:
    rows = [line for line in document().splitlines() if line.startswith("| `")]
    assert len(rows) > 40
    assert [row for row in rows if row.endswith("|  |")] == []
