"""How many consumers there may be, and of one owner. The ids are statements of docs/protocol.md."""

from __future__ import annotations

from edge.outbox.consumers import MAX_CONSUMERS, MAX_LEFT, MAX_OF_ONE, Consumers

NOON = 1760000000.0


def test_one_owner_takes_half_of_the_places_at_most() -> None:
    """[EDGE-8-10]"""
    consumers = Consumers()
    owners = ("open", "mtls:a/b", "hmac:a")
    taken = {owner: [consumers.register(f"{owner}/{n}", 0, NOON) for n in range(MAX_CONSUMERS)] for owner in owners}
    assert [sum(acked is not None for acked in each) for each in taken.values()] == [MAX_OF_ONE, MAX_OF_ONE, 0]
    assert consumers.register("open/0", 5, NOON) == 0, "who is known stays so"
    assert consumers.register("mtls:a/1", 0, NOON) is None, "another one, but all places are taken"


def test_of_those_that_were_forgotten_the_latest_are_known() -> None:
    consumers = Consumers()
    for number in range(MAX_LEFT + 1):
        consumers.register(f"open/{number}", number, NOON)
        assert consumers.settle(NOON + 2, NOON + 1) == {f"open/{number}": number}
    assert consumers.register("open/0", 100, NOON) == 100, "a stranger by now"
    assert consumers.register("open/1", 100, NOON) == 1
    assert consumers.register(f"open/{MAX_LEFT}", 100, NOON) == MAX_LEFT
