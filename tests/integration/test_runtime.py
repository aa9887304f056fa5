"""Real runtimes, damaged models, and delegates built from C that misbehave in every known way."""

from __future__ import annotations

import logging
import os
import random
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from edge.config import Detector as Settings
from edge.errors import DelegateError, ModelError
from edge.inference import probe, runtime
from edge.inference.detector import open_detector
from edge.inference.runtime import Engine, Job
from edge.types import Frame, ModelSpec
from tests.support import ROOT, shared_assets

BUNDLED = ROOT / "models" / "preact_scene_320x192_int8.tflite"
LABELS = ROOT / "models" / "labels" / "preact_scene.txt"

DELEGATES = {
    "refuses": """
        void *tflite_plugin_create_delegate(char **k, char **v, size_t n, void (*report)(const char *)) {
            report("no device was found"); return 0; }
        void tflite_plugin_destroy_delegate(void *d) {}""",
    "refuses in silence": """
        void *tflite_plugin_create_delegate(char **k, char **v, size_t n, void (*report)(const char *)) { return 0; }
        void tflite_plugin_destroy_delegate(void *d) {}""",
    "segfaults": """
        void *tflite_plugin_create_delegate(char **k, char **v, size_t n, void (*report)(const char *)) {
            *(volatile int *)0 = 1; return 0; }
        void tflite_plugin_destroy_delegate(void *d) {}""",
    "aborts": """
        void *tflite_plugin_create_delegate(char **k, char **v, size_t n, void (*report)(const char *)) { abort(); }
        void tflite_plugin_destroy_delegate(void *d) {}""",
    "hangs": """
        void *tflite_plugin_create_delegate(char **k, char **v, size_t n, void (*report)(const char *)) {
            for (;;) pause(); }
        void tflite_plugin_destroy_delegate(void *d) {}""",
    "has no symbols": "int something_else(void) { return 1; }",
    "wants an option": """
        void *tflite_plugin_create_delegate(char **k, char **v, size_t n, void (*report)(const char *)) {
            report(n == 1 && !strcmp(k[0], "device") && !strcmp(v[0], "usb:0") ? "option came" : "option lost");
            return 0; }
        void tflite_plugin_destroy_delegate(void *d) {}""",
    # A TfLiteDelegate whose Prepare takes no node: everything stays on the CPU, which is a delegate that works.
    "works": """
        typedef struct Context Context;
        typedef struct Delegate { void *data; int (*prepare)(Context *, struct Delegate *); void *rest[8]; } Delegate;
        static int prepare(Context *c, Delegate *d) { return 0; }
        static Delegate delegate = { 0, prepare };
        void *tflite_plugin_create_delegate(char **k, char **v, size_t n, void (*report)(const char *)) {
            return &delegate; }
        void tflite_plugin_destroy_delegate(void *d) {}""",
    "cannot run the model": """
        typedef struct Context Context;
        typedef struct Delegate { void *data; int (*prepare)(Context *, struct Delegate *); void *rest[8]; } Delegate;
        static int prepare(Context *c, Delegate *d) { return 1; }
        static Delegate delegate = { 0, prepare };
        void *tflite_plugin_create_delegate(char **k, char **v, size_t n, void (*report)(const char *)) {
            return &delegate; }
        void tflite_plugin_destroy_delegate(void *d) {}""",
}
REASONS = {
    "refuses": "refused to start: no device was found",
    "refuses in silence": "it gave no reason",
    "segfaults": r"crashed \(SIGSEGV\)",
    "aborts": r"crashed \(SIGABRT\)",
    "has no symbols": "is no TFLite delegate library",
    "cannot run the model": "cannot run model",
}


def build(folder: Path, name: str) -> str:
    compiler = shutil.which("gcc")
    if compiler is None:
        pytest.skip("needs gcc to build a delegate that misbehaves")
    source, library = folder / "delegate.c", folder / f"lib{name.replace(' ', '_')}.so"
    source.write_text(f"#include <stdlib.h>\n#include <string.h>\n#include <unistd.h>\n{DELEGATES[name]}\n")
    subprocess.run([compiler, "-shared", "-fPIC", "-w", "-o", library, source], check=True)
    return str(library)


def bundled(name: str = "bundled", path: Path = BUNDLED, cpu_twin: ModelSpec | None = None) -> ModelSpec:
    return ModelSpec(name, path, LABELS, "yolo", "letterbox", cpu_twin)


def look(detector) -> None:
    detector.detect(Frame(1, 0.0, 0.0, np.zeros((180, 320, 3), np.uint8)))


@pytest.mark.parametrize("name", REASONS)
def test_a_delegate_that_cannot_be_used_leaves_the_cpu_and_says_why(tmp_path, caplog, name):
    library = build(tmp_path, name)
    with caplog.at_level(logging.ERROR):
        detector = open_detector(bundled(), Settings(delegate=library))
    assert detector.description.delegate == "cpu"
    assert library in detector.description.degraded
    assert "\n" not in detector.description.degraded
    assert caplog.records[0].levelno == logging.ERROR
    assert re.search(REASONS[name], detector.description.degraded)
    assert "on the CPU instead" in caplog.text
    look(detector)
    detector.close()


def test_a_delegate_that_hangs_is_given_up(tmp_path):
    library = build(tmp_path, "hangs")
    detector = open_detector(bundled(), Settings(delegate=library), probe_limit_s=1.5)
    assert "did not answer within 1.5 s" in detector.description.degraded
    look(detector)
    detector.close()


def test_a_missing_delegate_library_leaves_the_cpu():
    detector = open_detector(bundled(), Settings(delegate="/nowhere/libdelegate.so"))
    assert "No such file" in detector.description.degraded
    detector.close()
    if not any(Path(folder, "libvx_delegate.so").exists() for folder in ("/usr/lib", "/lib")):
        detector = open_detector(bundled(), Settings(delegate="vx"))
        assert "libvx_delegate.so" in detector.description.degraded
        detector.close()


def test_options_reach_the_delegate(tmp_path):
    library = build(tmp_path, "wants an option")
    detector = open_detector(bundled(), Settings(delegate=library, delegate_options={"device": "usb:0"}))
    assert "option came" in detector.description.degraded
    detector.close()


def test_a_delegate_that_works_is_used(tmp_path):
    library = build(tmp_path, "works")
    detector = open_detector(bundled(), Settings(delegate=library))
    assert (detector.description.delegate, detector.description.degraded) == (library, "")
    look(detector)
    detector.close()


@pytest.mark.parametrize(("name", "file"), [("edgetpu", "libedgetpu.so.1"), ("vx", "libvx_delegate.so")])
def test_a_delegate_is_found_by_name_and_one_with_nothing_to_do_is_told(tmp_path, name, file):
    (tmp_path / file).symlink_to(build(tmp_path, "works"))
    check = (
        "import sys; from pathlib import Path\n"
        "from edge.config import Detector as Settings\n"
        "from edge.inference.detector import open_detector; from edge.types import ModelSpec\n"
        "detector = open_detector(ModelSpec('bundled', Path(sys.argv[1])), Settings(delegate=sys.argv[2]))\n"
        "print(detector.description.delegate); print(detector.description.degraded)\n"
    )
    command = [sys.executable, "-c", check, BUNDLED, name]
    environ = os.environ | {"LD_LIBRARY_PATH": str(tmp_path)}
    done = subprocess.run(command, cwd=ROOT, env=environ, capture_output=True, text=True, check=True)
    delegate, degraded = done.stdout.splitlines()
    assert delegate == name
    assert ("is not compiled for the Edge TPU" in degraded) == (name == "edgetpu")


def test_the_cpu_twin_takes_over(tmp_path):
    library = build(tmp_path, "refuses")
    accelerated = tmp_path / "model_edgetpu.tflite"
    accelerated.write_bytes(without_operators(BUNDLED))
    detector = open_detector(bundled("fast", accelerated, bundled("twin")), Settings(delegate=library))
    assert detector.description.model == "twin"
    assert "no device was found" in detector.description.degraded
    look(detector)
    detector.close()


def test_without_a_twin_both_failures_are_told(tmp_path):
    library = build(tmp_path, "refuses")
    accelerated = tmp_path / "model_edgetpu.tflite"
    accelerated.write_bytes(without_operators(BUNDLED))
    with pytest.raises(ModelError, match=r"compiled for the Edge TPU.*and the accelerator failed.*no device was found"):
        open_detector(bundled("fast", accelerated), Settings(delegate=library))


def test_an_edge_tpu_model_on_the_cpu_is_refused_in_one_line(tmp_path):
    path = tmp_path / "model_edgetpu.tflite"
    path.write_bytes(without_operators(BUNDLED))
    with pytest.raises(ModelError, match=r"compiled for the Edge TPU and cannot run on the CPU") as caught:
        open_detector(bundled("fast", path), Settings())
    assert "\n" not in str(caught.value)


def test_an_unknown_operator_is_named(tmp_path):
    path = tmp_path / "model.tflite"
    path.write_bytes(without_operators(BUNDLED, b"VendorMagic"))
    with pytest.raises(ModelError, match="needs the operator VendorMagic, which ai-edge-litert"):
        open_detector(bundled("odd", path), Settings())


def without_operators(model: Path, custom_code: bytes = b"edgetpu-custom-op") -> bytes:
    """The model with every operator made a custom one that no runtime has."""
    flatbuffers = pytest.importorskip("flatbuffers")
    schema = pytest.importorskip("ai_edge_litert.schema_py_generated")
    content = schema.ModelT.InitFromPackedBuf(model.read_bytes(), 0)
    for code in content.operatorCodes:
        code.builtinCode = code.deprecatedBuiltinCode = schema.BuiltinOperator.CUSTOM
        code.customCode = custom_code
    for operator in content.subgraphs[0].operators:
        operator.builtinOptions, operator.builtinOptionsType = None, 0
    builder = flatbuffers.Builder(1024)
    builder.Finish(content.Pack(builder), file_identifier=b"TFL3")
    return bytes(builder.Output())


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (None, "cannot be read: No such file"),
        (b"", "is empty"),
        (b"TFL3", "is not a TFLite model"),
        (b"\x89PNG\r\n\x1a\n" + bytes(500), "is not a TFLite model"),
        (b"\x1c\0\0\0TFL3", "is damaged"),
        (b"\x1c\0\0\0TFL3" + random.Random(1).randbytes(4000), "is damaged"),
    ],
)
def test_a_file_that_is_no_model_is_refused_in_one_line(tmp_path, content, words):
    path = tmp_path / "model.tflite"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(ModelError, match=words) as caught:
        open_detector(bundled("bad", path), Settings())
    assert "\n" not in str(caught.value)
    assert str(path) in str(caught.value)


def test_a_model_cut_short_anywhere_is_refused(tmp_path):
    """In a process of its own: were the runtime to crash, it would take this one along."""
    content = BUNDLED.read_bytes()
    lengths = [9, 24, 64, 200, 1000, *(int(len(content) * part / 20) for part in range(1, 20)), len(content) - 100]
    check = (
        "import sys; from pathlib import Path\n"
        "from edge.config import Detector as Settings; from edge.errors import ModelError\n"
        "from edge.inference.detector import open_detector; from edge.types import ModelSpec\n"
        "for path in sys.argv[1:]:\n"
        "    try: open_detector(ModelSpec('cut', Path(path)), Settings(runtime='litert'))\n"
        "    except ModelError as error: print(error)\n"
    )
    paths = []
    for length in lengths:
        paths.append(tmp_path / f"{length}.tflite")
        paths[-1].write_bytes(content[:length])
    done = subprocess.run([sys.executable, "-c", check, *paths], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.count("is damaged") == len(lengths), done.stdout


def test_a_folder_in_place_of_a_model_is_refused(tmp_path):
    with pytest.raises(ModelError, match="directory"):
        open_detector(bundled("folder", tmp_path), Settings())


def test_a_probe_passes_what_works_and_dies_with_what_does_not(tmp_path):
    probe.try_out(Job(str(BUNDLED)))
    with pytest.raises(DelegateError, match="SIGSEGV"):
        probe.try_out(Job(str(BUNDLED), delegate=build(tmp_path, "segfaults")))


def test_a_probe_leaves_no_child_behind(tmp_path):
    library = build(tmp_path, "hangs")
    with pytest.raises(DelegateError, match="did not answer"):
        probe.try_out(Job(str(BUNDLED), delegate=library), limit_s=1.0)
    children = subprocess.run(["ps", "-eo", "args"], capture_output=True, text=True, check=False).stdout
    assert library not in children


def test_a_missing_runtime_says_what_to_install():
    check = (
        "import sys; sys.modules['tflite_runtime'] = sys.modules['ai_edge_litert'] = None\n"
        "from edge.errors import RuntimeMissing; from edge.inference.runtime import choose_runtime\n"
        "for name in ('auto', 'litert', 'tflite-runtime'):\n"
        "    try: choose_runtime(name)\n"
        "    except RuntimeMissing as error: print(error)\n"
    )
    done = subprocess.run([sys.executable, "-c", check], cwd=ROOT, capture_output=True, text=True, check=True)
    first, second, third = done.stdout.splitlines()
    assert "pip install 'ai-edge-litert" in first
    assert "pip install 'ai-edge-litert" in second
    assert "pip install tflite-runtime==2.14.0 'numpy<2'" in third


def test_auto_takes_litert_and_the_log_can_name_it():
    pytest.importorskip("ai_edge_litert")
    assert runtime.choose_runtime("auto") == "litert"
    detector = open_detector(bundled(), Settings(num_threads=1))
    assert detector.description.runtime.startswith("ai-edge-litert 2.")
    assert detector.description.num_threads == 1
    detector.close()


def second_python() -> str:
    python = os.environ.get("TEST_TFLITE_PYTHON", "")
    if not python:
        pytest.skip("needs TEST_TFLITE_PYTHON, a Python with tflite-runtime, numpy<2 and this package's needs")
    return python


def test_tflite_runtime_survives_a_damaged_model(tmp_path):
    content = BUNDLED.read_bytes()
    paths = []
    for length in (24, 64, 1000, len(content) // 2, len(content) * 9 // 10):
        paths.append(tmp_path / f"{length}.tflite")
        paths[-1].write_bytes(content[:length])
    check = (
        "import sys; from pathlib import Path\n"
        "from edge.config import Detector as Settings; from edge.errors import ModelError\n"
        "from edge.inference.detector import open_detector; from edge.types import ModelSpec\n"
        "for path in sys.argv[1:]:\n"
        "    try: open_detector(ModelSpec('cut', Path(path)), Settings(runtime='tflite-runtime'))\n"
        "    except ModelError as error: print(error)\n"
    )
    command = [second_python(), "-c", check, *paths]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.count("is damaged") == len(paths), done.stdout


def test_tflite_runtime_with_numpy_2_says_so():
    python = os.environ.get("TEST_TFLITE_NUMPY2_PYTHON", "")
    if not python:
        pytest.skip("needs TEST_TFLITE_NUMPY2_PYTHON, a Python with tflite-runtime and numpy 2")
    check = (
        "import sys; from edge.errors import RuntimeMissing\n"
        "from edge.inference.probe import try_out; from edge.inference.runtime import Job\n"
        "try: try_out(Job(sys.argv[1], 'tflite-runtime'))\n"
        "except RuntimeMissing as error: print(error)\n"
    )
    done = subprocess.run([python, "-c", check, BUNDLED], cwd=ROOT, capture_output=True, text=True, check=True)
    assert "tflite-runtime 2.14.0 does not work with numpy 2" in done.stdout


def test_labels_too_few_are_refused_at_start(tmp_path):
    labels = tmp_path / "labels.txt"
    labels.write_text("person\n")
    with pytest.raises(ModelError, match="1 names, but the model has 2 classes"):
        open_detector(ModelSpec("bundled", BUNDLED, labels), Settings())


def test_a_model_that_is_no_detector_is_refused():
    with pytest.raises(ModelError, match="are no ssd detector's"):
        open_detector(bundled(), Settings(decoder="ssd"))
    ssd = shared_assets() / "models" / "ssd_mobilenet_v1_coco_quant.tflite"
    with pytest.raises(ModelError, match="are no yolo detector's"):
        open_detector(ModelSpec("ssd", ssd), Settings(decoder="yolo"))


def test_an_engine_runs_and_frees_itself():
    engine = Engine(Job(str(BUNDLED)))
    engine.run_blank()
    outputs = engine.run(np.zeros(engine.inputs[0].shape, engine.inputs[0].dtype))
    assert [output.shape for output in outputs] == [output.shape for output in engine.outputs]
    engine.close()
    engine.close()
