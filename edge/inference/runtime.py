"""The TFLite runtime, and a model opened in it.

LiteRT (ai-edge-litert) is the first choice, tflite-runtime the second. LiteRT checks a model's bytes before it believes
them; tflite-runtime does not, and ends the whole process on a file that was cut short. So a model is first tried in a
child process where tflite-runtime or an accelerator's delegate is to open it: see ``edge.inference.probe``.
"""

from __future__ import annotations

import contextlib
import importlib
import importlib.metadata
import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from edge.errors import DelegateError, ModelError, RuntimeMissing
from edge.inference.tensors import Array, Tensor

MODULES = {"litert": "ai_edge_litert.interpreter", "tflite-runtime": "tflite_runtime.interpreter"}
PACKAGES = {"litert": "ai-edge-litert", "tflite-runtime": "tflite-runtime"}
ADVICE = {
    "litert": "pip install 'ai-edge-litert>=2.1.6,<2.4'",
    "tflite-runtime": "pip install tflite-runtime==2.14.0 'numpy<2' (Python up to 3.11)",
}
LIBRARIES = {"edgetpu": "libedgetpu.so.1", "vx": "libvx_delegate.so", "armnn": "libarmnnDelegate.so"}
MAGIC = b"TFL3"  # the flatbuffer's file identifier, bytes 4 to 8
EDGE_TPU_OP = "edgetpu-custom-op"


@dataclass(frozen=True, slots=True)
class Job:
    """What to open: a model file, by which runtime, with how many threads and which delegate ("" for the CPU)."""

    model: str
    runtime: str = "litert"
    num_threads: int = 2
    delegate: str = ""
    delegate_options: Mapping[str, str] = field(default_factory=dict)

    @property
    def library(self) -> str:
        """The delegate's library: a known name's, else the path as given."""
        return LIBRARIES.get(self.delegate, self.delegate)


def choose_runtime(wanted: str) -> str:
    """The installed runtime for the setting ``auto``, ``litert`` or ``tflite-runtime``; raises RuntimeMissing."""
    reasons = []
    for name in MODULES if wanted == "auto" else (wanted,):
        try:
            importlib.import_module(MODULES[name])
        except ImportError as error:
            reasons.append(f"{PACKAGES[name]} cannot be imported ({_one_line(error)})")
        else:
            return name
    advice = ADVICE["litert" if wanted == "auto" else wanted]
    raise RuntimeMissing(f"no TFLite runtime: {'; '.join(reasons)}; install one: {advice}")


def version(runtime: str) -> str:
    """The installed version of a runtime's package."""
    try:
        return importlib.metadata.version(PACKAGES[runtime])
    except importlib.metadata.PackageNotFoundError:
        return "of unknown version"


def check_file(path: Path) -> None:
    """Raise ModelError unless ``path`` is a readable file that begins as a TFLite model does."""
    try:
        with path.open("rb") as file:
            head = file.read(8)
    except OSError as error:
        raise ModelError(f"model {path}: cannot be read: {error.strerror}; check the path") from error
    if not head:
        raise ModelError(f"model {path}: the file is empty; copy or pull it again")
    if head[4:8] != MAGIC:
        raise ModelError(f"model {path}: is not a TFLite model (no {MAGIC.decode()} mark); give a .tflite file")


def compiled_for_edge_tpu(path: Path) -> bool:
    """Whether the model holds the Edge TPU's own operator; raises OSError."""
    return EDGE_TPU_OP.encode() in path.read_bytes()


class Engine:
    """A model opened in an interpreter, ready to run.

    Raises ModelError for a file that the runtime cannot run, DelegateError for a delegate that cannot be used and
    RuntimeMissing where the runtime itself does not work.

    Synchronization: one owner thread.
    """

    def __init__(self, job: Job) -> None:
        self.job = job
        check_file(Path(job.model))
        self._interpreter = _build(job)
        self.inputs = tuple(Tensor.from_details(each) for each in self._interpreter.get_input_details())
        self.outputs = tuple(Tensor.from_details(each) for each in self._interpreter.get_output_details())

    def tensor_shapes(self) -> list[tuple[int, ...]]:
        """The shapes of all tensors, those between the layers too."""
        return [tuple(int(size) for size in each["shape"]) for each in self._interpreter.get_tensor_details()]

    def run(self, value: Array) -> list[Array]:
        """Invoke with ``value`` as the first input; copies of all outputs, in the model's order."""
        self._interpreter.set_tensor(self.inputs[0].index, value)
        self._interpreter.invoke()
        return [self._interpreter.get_tensor(output.index) for output in self.outputs]

    def run_blank(self) -> None:
        """Invoke once with zeros: what cannot run at all fails here and not on the first frame."""
        try:
            for each in self.inputs:
                self._interpreter.set_tensor(each.index, np.zeros(each.shape, each.dtype))
            self._interpreter.invoke()
        except (RuntimeError, ValueError) as error:
            raise _refusal(self.job, error) from error

    def close(self) -> None:
        """Free the interpreter and its delegate."""
        self._interpreter = None


def _build(job: Job) -> Any:
    module = importlib.import_module(MODULES[job.runtime])
    delegates = [_load_delegate(module, job)] if job.delegate else None
    try:
        with _without_chatter():
            interpreter = module.Interpreter(
                model_path=job.model, num_threads=job.num_threads, experimental_delegates=delegates
            )
            interpreter.allocate_tensors()
    except (SystemError, ImportError, AttributeError) as error:
        raise RuntimeMissing(_broken(job.runtime)) from error
    except (ValueError, RuntimeError) as error:
        raise _refusal(job, error) from error
    return interpreter


@contextlib.contextmanager
def _without_chatter() -> Iterator[None]:
    """Leave out the INFO lines that the runtime's C++ writes to stderr; what else comes meanwhile is passed on."""
    with open(os.memfd_create("stderr"), "w+b") as said:  # no disk: it may be full
        stderr = os.dup(2)
        os.dup2(said.fileno(), 2)
        try:
            yield
        finally:
            os.dup2(stderr, 2)
            os.close(stderr)
            said.seek(0)
            for line in said:
                if not line.startswith(b"INFO: "):
                    os.write(2, line)


def _load_delegate(module: Any, job: Job) -> Any:
    try:
        return module.load_delegate(job.library, dict(job.delegate_options))
    except OSError as error:  # no such library, or one for another machine
        raise DelegateError(f"delegate {job.delegate}: {_one_line(error)}; install its library") from error
    except AttributeError as error:  # it lacks tflite_plugin_create_delegate
        raise DelegateError(f"delegate {job.delegate}: {job.library} is no TFLite delegate library") from error
    except (ValueError, RuntimeError) as error:
        reason = _one_line(error).removeprefix(f"Failed to load delegate from {job.library}").strip()
        reason = reason or "it gave no reason; is the device plugged in, and does no other program use it?"
        raise DelegateError(f"delegate {job.delegate}: {job.library} refused to start: {reason}") from error


def _refusal(job: Job, error: Exception) -> ModelError | DelegateError:
    """The runtime's words as an error of ours."""
    text = _one_line(error)
    if job.delegate:
        return DelegateError(f"delegate {job.delegate}: cannot run model {job.model}: {text}")
    if EDGE_TPU_OP in text:
        return ModelError(
            f"model {job.model}: is compiled for the Edge TPU and cannot run on the CPU; "
            "set detector.delegate to edgetpu, or take the same model without _edgetpu in its name"
        )
    if operator := re.search(r"unresolved custom op: (\S+?)\.? |builtin opcode '(\w+)'", text + " "):
        return ModelError(
            f"model {job.model}: needs the operator {operator[1] or operator[2]}, which {PACKAGES[job.runtime]} "
            f"{version(job.runtime)} does not have; convert it for built-in operators"
        )
    return ModelError(f"model {job.model}: is damaged or unusable ({text}); copy or pull it again")


def _broken(runtime: str) -> str:
    return (
        f"{PACKAGES[runtime]} {version(runtime)} does not work with numpy {np.__version__} in this Python; "
        f"install a pair that does: {ADVICE[runtime]}"
    )


def _one_line(error: BaseException) -> str:
    return " ".join(str(error).split())[:300]
