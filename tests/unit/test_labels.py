import json
import zipfile
from pathlib import Path

import pytest

from edge.errors import ModelError
from edge.inference.labels import labels_in_model, parse_labels, read_labels
from tests.support import shared_assets

LABELS = Path(__file__).resolve().parents[2] / "models" / "labels"


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("person\nknife\n", {0: "person", 1: "knife"}),
        ("person\nknife", {0: "person", 1: "knife"}),
        ("person\r\nknife\r\n\r\n", {0: "person", 1: "knife"}),
        ("person\nknife\n\n\n", {0: "person", 1: "knife"}),
        ("???\nperson\nknife\n", {0: "person", 1: "knife"}),
        ("background\nperson\n", {0: "person"}),
        ("__background__\nperson\n", {0: "person"}),
        ("0 person\n1 baseball bat\n", {0: "person", 1: "baseball bat"}),
        ("0  person\n48   knife\n", {0: "person", 48: "knife"}),
        ("48 knife\n0 person\n", {0: "person", 48: "knife"}),
        ("0:person\n3: knife\n", {0: "person", 3: "knife"}),
        ("0,person\n3, knife\n", {0: "person", 3: "knife"}),
        ("0\tperson\n3\tknife\n", {0: "person", 3: "knife"}),
        ("0 background\n1 person\n2 knife\n", {0: "person", 1: "knife"}),
        ("person\n\nknife\n", {0: "person", 2: "knife"}),
        ("person\n2 wheeler\n", {0: "person", 1: "2 wheeler"}),
        ("person\n???\nknife\n", {0: "person", 1: "???", 2: "knife"}),
    ],
)
def test_every_common_form(text, names):
    assert parse_labels(text) == names


def test_a_name_that_would_steer_a_terminal_is_escaped(tmp_path):
    assert parse_labels("knife\x1b[2J\n\u202egun\n") == {0: r"knife\x1b[2J", 1: r"\u202egun"}
    model = tmp_path / "m.tflite"
    with zipfile.ZipFile(model, "w") as archive:
        archive.writestr("metadata.json", json.dumps({"names": {"0": "a\nWARNING forged"}}))
    assert labels_in_model(model).names == {0: r"a\nWARNING forged"}


def test_a_byte_order_mark_on_disk(tmp_path):
    path = tmp_path / "labels.txt"
    path.write_bytes(b"\xef\xbb\xbfperson\r\nknife")
    labels = read_labels(path)
    assert (labels.names, labels.count, labels.source) == ({0: "person", 1: "knife"}, 2, str(path))


def test_a_class_without_a_name_has_its_number(tmp_path):
    path = tmp_path / "labels.txt"
    path.write_text("0 person\n3 knife\n")
    labels = read_labels(path)
    assert [labels.name(class_id) for class_id in (0, 1, 3, 9)] == ["person", "class 1", "knife", "class 9"]
    assert labels.count == 4


@pytest.mark.parametrize(
    ("content", "words"), [(b"", "no class names"), (b"\n \n", "no class names"), (b"\xff\xfe\x00p", "not UTF-8")]
)
def test_a_file_without_names_is_refused_in_one_line(tmp_path, content, words):
    path = tmp_path / "labels.txt"
    path.write_bytes(content)
    with pytest.raises(ModelError, match=words) as caught:
        read_labels(path)
    assert "\n" not in str(caught.value)
    assert str(path) in str(caught.value)


def test_a_missing_file_and_a_folder_are_refused(tmp_path):
    with pytest.raises(ModelError, match="No such file"):
        read_labels(tmp_path / "none.txt")
    with pytest.raises(ModelError, match="directory"):
        read_labels(tmp_path)


def test_the_labels_that_ship():
    coco90, coco80 = read_labels(LABELS / "coco90.txt"), read_labels(LABELS / "coco80.txt")
    assert (len(coco90.names), coco90.count) == (80, 90)
    assert (len(coco80.names), coco80.count) == (80, 80)
    assert list(coco90.names.values()) == list(coco80.names.values())
    for name, in_90, in_80 in (("person", 0, 0), ("knife", 48, 43), ("scissors", 86, 76), ("toothbrush", 89, 79)):
        assert coco90.names[in_90] == coco80.names[in_80] == name


def test_our_labels_agree_with_the_public_ones():
    models = shared_assets() / "models"
    public = read_labels(models / "coco_ssd_labelmap.txt").names
    assert {index: name for index, name in public.items() if name != "???"} == read_labels(LABELS / "coco90.txt").names
    assert read_labels(models / "coco80_labels.txt").names == read_labels(LABELS / "coco80.txt").names


def test_labels_inside_a_model():
    models = shared_assets() / "models"
    inside = labels_in_model(models / "yolo11n_640_full_integer_quant.tflite")
    assert inside.names == read_labels(LABELS / "coco80.txt").names
    assert labels_in_model(models / "ssd_mobilenet_v1_coco_quant.tflite").names == {}
