"""The drawn scene keeps its promises: the same picture for the same arguments, and a knife and nobody in every 20 s."""

from __future__ import annotations

import numpy as np
import pytest

from edge.capture.scene import CYCLE_SECONDS, Scene

SIZE = {"width": 320, "height": 180, "fps": 5.0}
FRAMES_A_CYCLE = int(CYCLE_SECONDS * SIZE["fps"])


def names(scene: Scene, index: int) -> list[str]:
    return [truth.class_name for truth in scene.draw(index)[1]]


def longest_run(flags: list[bool]) -> int:
    best = run = 0
    for flag in flags:
        run = run + 1 if flag else 0
        best = max(best, run)
    return best


def test_a_frame_depends_on_nothing_but_its_arguments() -> None:
    first, second = Scene(seed=3), Scene(seed=3)
    second.draw(17)
    image, truths = first.draw(90)
    again, truths_again = second.draw(90)
    assert (image.shape, image.dtype) == ((720, 1280, 3), np.uint8)
    assert np.array_equal(image, again)
    assert truths == truths_again


def test_seeds_and_moments_draw_different_pictures() -> None:
    image, _ = Scene(seed=3, **SIZE).draw(30)
    other_seed, _ = Scene(seed=4, **SIZE).draw(30)
    later, _ = Scene(seed=3, **SIZE).draw(31)
    assert not np.array_equal(image, other_seed)
    assert not np.array_equal(image, later)


@pytest.mark.parametrize("seed", [0, 1, 2, 5, 11, 42, 1234])
def test_any_twenty_seconds_show_a_knife_for_three_and_nobody_for_two(seed: int) -> None:
    scene = Scene(seed=seed, **SIZE)
    seen = [names(scene, index) for index in range(3 * FRAMES_A_CYCLE)]
    armed = ["knife" in frame and "person" in frame for frame in seen]
    empty = [not frame for frame in seen]
    for start in range(2 * FRAMES_A_CYCLE + 1):
        window = slice(start, start + FRAMES_A_CYCLE)
        assert longest_run(armed[window]) >= 3 * SIZE["fps"]
        assert sum(empty[window]) >= 2 * SIZE["fps"]


def test_a_calm_scene_shows_people_and_never_a_knife() -> None:
    scene = Scene(seed=0, calm=True, **SIZE)
    seen = {name for index in range(FRAMES_A_CYCLE) for name in names(scene, index)}
    assert seen == {"person"}


@pytest.mark.parametrize(("width", "height"), [(1280, 720), (640, 480), (321, 241)])
def test_boxes_lie_in_the_frame(width: int, height: int) -> None:
    scene = Scene(seed=8, width=width, height=height, fps=2.0)
    boxes = [truth.box for index in range(40) for truth in scene.draw(index)[1]]
    assert boxes
    for box in boxes:
        assert 0 <= box.xmin < box.xmax <= width
        assert 0 <= box.ymin < box.ymax <= height


def test_the_same_moment_has_the_same_truth_at_any_size() -> None:
    small = Scene(seed=6, width=640, height=360).draw(100)[1]
    large = Scene(seed=6, width=1280, height=720).draw(100)[1]
    assert [truth.class_id for truth in small] == [truth.class_id for truth in large]
    for one, other in zip(small, large, strict=True):
        assert one.box.xmax * 2 == pytest.approx(other.box.xmax, abs=6)
