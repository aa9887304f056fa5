import cv2
import numpy as np
import pytest

from edge.errors import ModelError
from edge.inference.preprocess import Preprocessor
from edge.inference.tensors import Tensor
from edge.types import Frame


def tensor(width=8, height=6, dtype=np.uint8, scale=1 / 128, zero_point=128):
    return Tensor(0, "image", (1, height, width, 3), np.dtype(dtype), scale, zero_point)


def frame(image, lores=None):
    return Frame(1, 0.0, 0.0, image, lores)


def picture(width, height, seed=1):
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)


def test_a_frame_of_the_inputs_size_goes_in_unchanged_but_for_the_order_of_colours():
    image = picture(8, 6)
    before = image.copy()
    preprocessor = Preprocessor(tensor(), "stretch", "ssd")
    preprocessor.fill(frame(image))
    assert np.array_equal(preprocessor.input[0], image[:, :, ::-1])
    assert np.array_equal(image, before)


@pytest.mark.parametrize(
    ("dtype", "scale", "zero_point", "decoder", "expected"),
    [
        (np.uint8, 1 / 128, 128, "ssd", lambda p: p),
        (np.uint8, 1 / 128, 127, "ssd", lambda p: p),
        (np.uint8, 1 / 255, 0, "yolo", lambda p: p),
        (np.uint8, 1.0, 0, "ssd", lambda p: p),
        (np.int8, 1 / 255, -128, "yolo", lambda p: p - 128),
        (np.int8, 1 / 127.5, 0, "ssd", lambda p: p - 128),
        (np.float32, 0.0, 0, "yolo", lambda p: p / 255),
        (np.float32, 0.0, 0, "ssd", lambda p: (p - 127.5) / 127.5),
        (np.int8, 2 / 255, -128, "yolo", lambda p: np.clip(np.rint(p / 2) - 128, -128, 127)),
    ],
)
def test_pixels_become_what_the_tensor_says(dtype, scale, zero_point, decoder, expected):
    image = picture(8, 6)
    before = image.copy()
    preprocessor = Preprocessor(tensor(dtype=dtype, scale=scale, zero_point=zero_point), "stretch", decoder)
    preprocessor.fill(frame(image))
    assert preprocessor.input.dtype == dtype
    assert np.allclose(preprocessor.input[0], expected(image[:, :, ::-1].astype(np.float64)), atol=1e-6)
    assert np.array_equal(image, before)


@pytest.mark.parametrize("shape", [(1, 3, 6, 8), (1, 6, 8, 1), (2, 6, 8, 3), (6, 8, 3), (1, 0, 8, 3)])
def test_an_input_that_is_no_picture_is_refused(shape):
    with pytest.raises(ModelError, match="no picture"):
        Preprocessor(Tensor(0, "x", shape, np.dtype(np.uint8), 1 / 255, 0), "stretch", "ssd")


def test_an_input_of_another_type_is_refused():
    with pytest.raises(ModelError, match="int16"):
        Preprocessor(tensor(dtype=np.int16), "stretch", "ssd")


@pytest.mark.parametrize(
    ("frame_size", "content", "left", "top"),
    [
        ((1280, 720), (640, 360), 0, 140),
        ((640, 427), (640, 427), 0, 106),  # an odd rest: the smaller half goes first
        ((427, 640), (427, 640), 106, 0),
        ((100, 100), (640, 640), 0, 0),
        ((333, 500), (426, 640), 107, 0),
        ((4000, 2), (640, 1), 0, 319),  # never nothing
    ],
)
def test_letterbox_places_as_the_exporter_does(frame_size, content, left, top):
    preprocessor = Preprocessor(tensor(640, 640, np.int8, 1 / 255, -128), "letterbox", "yolo")
    assert preprocessor.content_size(*frame_size) == content
    image = np.full((frame_size[1], frame_size[0], 3), 255, np.uint8)
    placement = preprocessor.fill(frame(image))
    assert (placement.left, placement.top) == (left, top)
    expected = np.full((640, 640, 3), 114 - 128, np.int8)
    expected[top : top + content[1], left : left + content[0]] = 127
    assert np.array_equal(preprocessor.input[0], expected)


def test_a_frame_of_another_size_leaves_nothing_of_the_one_before():
    preprocessor = Preprocessor(tensor(64, 64, np.uint8, 1 / 255, 0), "letterbox", "yolo")
    preprocessor.fill(frame(np.full((40, 80, 3), 255, np.uint8)))
    preprocessor.fill(frame(np.full((80, 40, 3), 255, np.uint8)))
    assert np.unique(preprocessor.input[0, :, :16]).tolist() == [114]
    assert np.unique(preprocessor.input[0, :, 16:48]).tolist() == [255]


def test_resizing_is_bilinear():
    image = picture(1280, 720)
    preprocessor = Preprocessor(tensor(320, 320, np.uint8, 1 / 255, 0), "letterbox", "yolo")
    preprocessor.fill(frame(image))
    expected = cv2.resize(image, (320, 180), interpolation=cv2.INTER_LINEAR)[:, :, ::-1]
    assert np.array_equal(preprocessor.input[0, 70:250], expected)


@pytest.mark.parametrize("lores_size", [(320, 180), (640, 360), (318, 180)])
def test_the_cameras_small_picture_is_used_where_there_is_one(lores_size):
    main, lores = np.zeros((720, 1280, 3), np.uint8), np.full((lores_size[1], lores_size[0], 3), 200, np.uint8)
    preprocessor = Preprocessor(tensor(320, 320, np.uint8, 1 / 255, 0), "letterbox", "yolo")
    placement = preprocessor.fill(frame(main, lores))
    assert (placement.frame_width, placement.frame_height) == (1280, 720)
    assert np.unique(preprocessor.input[0, 70:250]).tolist() == [200]


@pytest.mark.parametrize("resize", ["letterbox", "stretch"])
def test_boxes_come_back_to_where_they_were(resize):
    preprocessor = Preprocessor(tensor(320, 192), resize, "yolo")
    image = np.zeros((500, 640, 3), np.uint8)
    image[100:300, 200:400] = 255
    placement = preprocessor.fill(frame(image))
    rows, columns = np.nonzero(preprocessor.input[0, :, :, 0] > 127)
    corners = np.array([[columns.min(), rows.min(), columns.max() + 1, rows.max() + 1]], np.float32)
    back = placement.to_frame(corners / np.array([320, 192, 320, 192], np.float32), 320, 192)
    assert np.abs(back[0] - [200, 100, 400, 300]).max() < 3


def test_boxes_are_clipped_to_the_frame():
    preprocessor = Preprocessor(tensor(320, 320), "letterbox", "yolo")
    placement = preprocessor.fill(frame(np.zeros((360, 640, 3), np.uint8)))
    back = placement.to_frame(np.array([[-1, -1, 2, 2], [0, 0, 1, 0.1]], np.float32), 320, 320)
    assert back.tolist() == [[0, 0, 640, 360], [0, 0, 640, 0]]


def test_a_frame_that_is_a_view_with_gaps_works():
    wide = picture(16, 6)
    preprocessor = Preprocessor(tensor(dtype=np.int8, scale=1 / 255, zero_point=-128), "stretch", "yolo")
    preprocessor.fill(frame(wide[:, 4:12]))
    assert np.array_equal(preprocessor.input[0], wide[:, 4:12, ::-1].astype(np.int16) - 128)
