import itertools

import numpy as np
import pytest

from edge.errors import ModelError
from edge.inference.labels import Labels, check_count
from edge.inference.ssd import Places, SsdDecoder, find_places
from edge.inference.tensors import Tensor
from edge.inference.yolo import Layout, YoloDecoder, find_layout

FLOAT = np.dtype(np.float32)
POSTPROCESS = "TFLite_Detection_PostProcess"
CALL = "StatefulPartitionedCall"
SHAPES = {"boxes": (1, 10, 4), "classes": (1, 10), "scores": (1, 10), "number": (1,)}
NAMES = {
    "first generation": {
        "boxes": POSTPROCESS, "classes": f"{POSTPROCESS}:1", "scores": f"{POSTPROCESS}:2", "number": f"{POSTPROCESS}:3"
    },
    "second generation": {
        "boxes": f"{CALL}:3", "classes": f"{CALL}:2", "scores": f"{CALL}:1", "number": f"{CALL}:0"
    },
    "EfficientDet-Lite": {
        "boxes": f"{CALL}:31", "classes": f"{CALL}:32", "scores": f"{CALL}:33", "number": f"{CALL}:34"
    },
    "Identity": {"boxes": "Identity", "classes": "Identity_1", "scores": "Identity_2", "number": "Identity_3"},
    "words": {"boxes": "location", "classes": "class_ids", "scores": "a", "number": "b"},
}  # fmt: skip


def real(name, shape, dtype=FLOAT, scale=0.0, zero_point=0):
    return Tensor(0, name, shape, np.dtype(dtype), scale, zero_point)


@pytest.mark.parametrize("names", NAMES.values(), ids=NAMES)
def test_the_four_outputs_are_found_in_any_order(names):
    for order in itertools.permutations(SHAPES):
        places = find_places([real(names[each], SHAPES[each]) for each in order])
        assert places == Places(*(order.index(each) for each in ("boxes", "classes", "scores", "number"))), order


@pytest.mark.parametrize("order", [("boxes", "classes", "scores", "number"), ("scores", "boxes", "number", "classes")])
def test_without_names_the_two_known_orders_are_told_apart(order):
    places = find_places([real("", SHAPES[each]) for each in order])
    assert places == Places(*(order.index(each) for each in ("boxes", "classes", "scores", "number")))


@pytest.mark.parametrize(
    "shapes",
    [
        [(1, 84, 8400)],
        [(1, 10, 4), (1, 10), (1, 10)],
        [(1, 10, 4), (1, 10), (1, 9), (1,)],
        [(1, 10, 4), (1, 10, 4), (1, 10), (1,)],
    ],
)
def test_other_outputs_are_not_taken_for_an_ssds(shapes):
    assert find_places([real(str(index), shape) for index, shape in enumerate(shapes)]) is None


def ssd(threshold=0.4, limit=100):
    tensors = [real(NAMES["first generation"][each], SHAPES[each]) for each in SHAPES]
    return SsdDecoder(tensors, find_places(tensors), threshold, limit)


def ssd_outputs(scores, number=None):
    boxes, classes, padded = (
        np.zeros((1, 10, 4), np.float32),
        np.zeros((1, 10), np.float32),
        np.zeros((1, 10), np.float32),
    )
    boxes[0, :] = [0.1, 0.2, 0.3, 0.4]
    classes[0] = np.arange(10)
    padded[0, : len(scores)] = scores
    return [boxes, classes, padded, np.array([len(scores) if number is None else number], np.float32)]


def test_ssd_gives_corners_in_xy_order_best_first():
    found = ssd().decode(ssd_outputs([0.5, 0.9, 0.3, 0.4]))
    assert found.class_ids.tolist() == [1, 0, 3]
    assert np.allclose(found.scores, [0.9, 0.5, 0.4])
    assert np.allclose(found.boxes[0], [0.2, 0.1, 0.4, 0.3])


@pytest.mark.parametrize(("number", "expected"), [(2, 2), (0, 0), (-1, 0), (-np.inf, 0), (99, 4), (np.nan, 4)])
def test_ssd_believes_the_count(number, expected):
    assert len(ssd().decode(ssd_outputs([0.9, 0.8, 0.7, 0.6], number)).scores) == expected


def test_ssd_gives_at_most_so_many():
    assert ssd(limit=2).decode(ssd_outputs([0.5, 0.9, 0.8])).class_ids.tolist() == [1, 2]


def test_ssd_leaves_out_what_is_no_number():
    outputs = ssd_outputs([0.9, np.nan, np.inf, 0.8, 0.7, 0.6])
    outputs[0][0, 3, 1], outputs[0][0, 4, 0], outputs[1][0, 5] = np.nan, np.inf, np.nan
    assert ssd().decode(outputs).class_ids.tolist() == [0]


SIZE = (640, 480)  # width, height: 6300 places, 18900 anchors of YOLOv5
PLACES = 80 * 60 + 40 * 30 + 20 * 15


@pytest.mark.parametrize(
    ("shape", "labels", "layout"),
    [
        ((1, 84, PLACES), 0, Layout(True, False, 80)),
        ((1, PLACES, 84), 0, Layout(False, False, 80)),
        ((1, 85, PLACES), 80, Layout(True, False, 81)),  # the places tell, whatever the labels say
        ((1, PLACES * 3, 85), 0, Layout(False, True, 80)),
        ((1, 85, PLACES * 3), 0, Layout(True, True, 80)),
        ((1, 6, PLACES), 2, Layout(True, False, 2)),
        ((1, 6, PLACES * 3), 1, Layout(True, True, 1)),
        ((1, 6, 80 * 60), 1, Layout(True, False, 2)),  # one head alone
        ((1, 6, PLACES + 10 * 7), 1, Layout(True, False, 2)),  # one head more
        ((1, 6, 961), 2, Layout(True, False, 2)),  # of no known strides: the labels tell
        ((1, 6, 961), 1, Layout(True, True, 1)),
        ((1, 84, 2000), 0, Layout(True, False, 80)),
    ],
)
def test_the_head_is_recognised_by_its_shape(shape, labels, layout):
    assert find_layout(real("out", shape), SIZE, labels) == layout


@pytest.mark.parametrize("shape", [(1, 1000), (1, 300, 6, 1), (2, 84, PLACES), (1, 4, PLACES), (1, 10, 12)])
def test_other_shapes_are_no_yolo_head(shape):
    assert find_layout(real("out", shape), SIZE, 0) is None


def test_too_few_labels_are_refused_with_both_counts():
    with pytest.raises(ModelError, match=r"x\.txt: 2 names, but the model has 80 classes"):
        check_count(Labels("x.txt", {0: "a", 1: "b"}), 80)
    check_count(Labels("x.txt", {79: "a"}), 80)
    check_count(Labels(), 80)


CLASSES, ANCHORS = 3, 40


def yolo(tensor, *, last=True, objectness=False, threshold=0.4, iou=0.5, limit=100, size=(320, 320)):
    layout = Layout(last, objectness, CLASSES)
    return YoloDecoder(tensor, layout, size, score_threshold=threshold, iou_threshold=iou, limit=limit)


def head(*objects, objectness=None):
    """(attributes, anchors): each object is (cx, cy, w, h, scores)."""
    rows = np.zeros((4 + CLASSES + (objectness is not None), ANCHORS), np.float32)
    for index, (cx, cy, w, h, *scores) in enumerate(objects):
        extra = [] if objectness is None else [objectness[index]]
        rows[:, index] = [cx, cy, w, h, *extra, *scores]
    return rows


THREE = [(0.5, 0.5, 0.2, 0.2, 0.1, 0.6, 0.2), (0.2, 0.3, 0.1, 0.2, 0.9, 0, 0), (0.8, 0.8, 0.1, 0.1, 0.1, 0.2, 0.3)]


@pytest.mark.parametrize("last", [True, False])
@pytest.mark.parametrize("dtype", [np.int8, np.uint8, np.int16, np.float32])
def test_yolo_reads_every_type_and_both_arrangements(last, dtype):
    rows = head(*THREE)
    scale, zero_point = {np.int8: (1 / 250, -125), np.uint8: (1 / 250, 3), np.int16: (1 / 30000, 7)}.get(
        dtype, (0.0, 0)
    )
    values = rows if not scale else (np.rint(rows / scale) + zero_point).astype(dtype)
    tensor = real("out", (1, *values.shape), dtype, scale, zero_point)
    found = yolo(tensor, last=last).decode([values[None] if last else values.T[None].copy()])
    assert found.class_ids.tolist() == [0, 1]
    assert np.allclose(found.scores, [0.9, 0.6], atol=scale)
    assert np.allclose(found.boxes, [[0.15, 0.2, 0.25, 0.4], [0.4, 0.4, 0.6, 0.6]], atol=2 * scale + 1e-6)


def test_boxes_in_pixels_are_recognised():
    rows = head((160, 80, 32, 40, 0.9, 0, 0))
    found = yolo(real("out", (1, *rows.shape)), size=(320, 160)).decode([rows[None]])
    assert np.allclose(found.boxes, [[0.45, 0.375, 0.55, 0.625]])
    tensor = real("out", (1, *rows.shape), np.uint8, 1.5, 0)
    rows = np.zeros((7, ANCHORS), np.uint8)
    rows[:, 0] = [100, 50, 20, 20, 1, 0, 0]
    found = yolo(tensor, size=(300, 300)).decode([rows[None]])
    assert np.allclose(found.boxes, [[0.45, 0.2, 0.55, 0.3]])


def test_one_box_wider_than_the_picture_does_not_make_all_of_them_pixels():
    decoder = yolo(real("out", (1, 4 + CLASSES, ANCHORS)))
    decoder.decode([head((0.5, 0.5, 2.3, 0.4, 0.9, 0, 0))[None]])
    found = decoder.decode([head((0.5, 0.5, 0.2, 0.2, 0.9, 0, 0))[None]])
    assert np.allclose(found.boxes, [[0.4, 0.4, 0.6, 0.6]])


def test_yolov5_multiplies_by_objectness():
    rows = head(*THREE, objectness=[0.5, 0.9, 1.0])
    found = yolo(real("out", (1, *rows.shape)), objectness=True).decode([rows[None]])
    assert found.class_ids.tolist() == [0]
    assert np.allclose(found.scores, [0.81])


@pytest.mark.parametrize("threshold", [0.3, 0.304, 0.4, 0.5, 0.7])
@pytest.mark.parametrize("dtype", [np.int8, np.uint8])
def test_filtering_quantized_scores_is_filtering_real_ones(threshold, dtype):
    scale, zero_point = 0.004078173544257879, np.iinfo(dtype).min + 6
    values = np.arange(np.iinfo(dtype).min, np.iinfo(dtype).max + 1).astype(dtype)
    tensor = real("out", values.shape, dtype, scale, zero_point)
    assert np.array_equal(tensor.at_least(values, threshold), tensor.real(values) >= np.float32(threshold))
    assert not tensor.at_least(values, 1.5).any()
    assert tensor.at_least(values, -1).all()


def test_suppression_is_within_a_class():
    same = (0.5, 0.5, 0.2, 0.2)
    rows = head((*same, 0.9, 0, 0), (*same, 0.8, 0, 0), (*same, 0, 0.7, 0), (0.51, 0.5, 0.2, 0.2, 0, 0.6, 0))
    found = yolo(real("out", (1, *rows.shape))).decode([rows[None]])
    assert found.class_ids.tolist() == [0, 1]
    assert np.allclose(found.scores, [0.9, 0.7])


def test_suppression_goes_by_overlap():
    rows = head((0.3, 0.5, 0.2, 0.2, 0.9, 0, 0), (0.4, 0.5, 0.2, 0.2, 0.8, 0, 0))  # IoU 1/3
    tensor = real("out", (1, *rows.shape))
    assert len(yolo(tensor, iou=0.34).decode([rows[None]]).scores) == 2
    assert len(yolo(tensor, iou=0.32).decode([rows[None]]).scores) == 1


def test_of_equal_scores_the_first_anchor_stays():
    rows = head((0.30, 0.5, 0.2, 0.2, 0.9, 0, 0), (0.31, 0.5, 0.2, 0.2, 0.9, 0, 0))
    found = yolo(real("out", (1, *rows.shape))).decode([rows[None]])
    assert np.allclose(found.boxes, [[0.2, 0.4, 0.4, 0.6]])


def test_yolo_gives_at_most_so_many_best_first():
    rows = head(*[(0.1 + 0.2 * index, 0.5, 0.1, 0.1, 0.5 + 0.1 * index, 0, 0) for index in range(4)])
    found = yolo(real("out", (1, *rows.shape)), limit=2).decode([rows[None]])
    assert np.allclose(found.scores, [0.8, 0.7])


def test_yolo_leaves_out_what_is_no_number():
    rows = head(*[(0.1 + 0.2 * index, 0.5, 0.1, 0.1, 0.9, 0, 0) for index in range(5)])
    rows[0, 0], rows[3, 1], rows[4, 2], rows[5, 3] = np.nan, np.inf, np.inf, np.nan
    found = yolo(real("out", (1, *rows.shape))).decode([rows[None]])
    assert np.allclose(found.boxes[:, 0], [0.65, 0.85])
    rows[:] = np.nan
    assert len(yolo(real("out", (1, *rows.shape))).decode([rows[None]]).scores) == 0


def test_a_picture_full_of_objects_stays_bounded():
    rows = np.random.default_rng(1).uniform(0, 1, (4 + CLASSES, 8400)).astype(np.float32)
    found = yolo(real("out", (1, *rows.shape)), limit=100).decode([rows[None]])
    assert 0 < len(found.scores) <= 100
    assert (np.diff(found.scores) <= 0).all()
