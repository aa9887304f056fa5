"""How much of a connection may lie in the network."""

from __future__ import annotations

import socket

import pytest

from edge.stream.room import GROWTH, LEAST, MOST, QUEUE_S, Room, fitted


@pytest.mark.parametrize("size", [0, 20_000, MOST])
def test_without_a_queue_a_free_connection_stays_free_and_a_bounded_one_grows(size: int) -> None:
    assert fitted(size, 0.050, 0.045, 1e6) == min(MOST, int(size * GROWTH))


def test_with_a_queue_it_is_what_the_link_carries() -> None:
    assert fitted(0, 0.2, 0.05, 4e6) == int(4e6 * (0.05 + QUEUE_S) / 2)
    assert fitted(0, 0.2, 0.0, 1000.0) == LEAST
    assert fitted(0, 0.2, 0.1, 1e9) == MOST


def test_a_connection_that_meets_no_queue_keeps_the_kernels_buffer() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server, socket.create_connection(server.getsockname()) as near:
        before = near.getsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF)
        room = Room(near)
        room.fit()
        assert room.size == 0
        assert near.getsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF) == before


def test_what_is_no_tcp_connection_is_left_alone() -> None:
    near, far = socket.socketpair()
    with near, far:
        room = Room(near)
        room.fit()
        assert room.size == 0
