"""Opening a model on the device asked for: what is missing is an error, and `auto` says what it chose."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from streamfilter.errors import DeviceError, MissingExtraError, ModelError, first_line
from streamfilter.sessions import cuda, tensorrt
from streamfilter.sessions.half import in_half
from streamfilter.sessions.runs import INPUT, Bound, Plain, ladder_to

if TYPE_CHECKING:
    import onnxruntime

PROVIDERS = {"cpu": "CPUExecutionProvider", "cuda": "CUDAExecutionProvider", "tensorrt": "TensorrtExecutionProvider"}
NAMES = {"cuda": "CUDA", "tensorrt": "TensorRT"}
CUDA = ("cuda", {"use_tf32": "0"})
"""In TF32, what `fp32` says of a picture would be as far from the CPU's answer as what `fp16` says."""
ERRORS_ONLY, WARNINGS, FATAL_ONLY = 3, 2, 4
"""Severities of ONNX Runtime's own log."""

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Wanted:
    """What a model is to run on."""

    device: str = "auto"
    """`auto`, `cpu`, `cuda` or `tensorrt`."""
    threads: int = 0
    """Of the CPU; 0 = one a core."""
    precision: str = "fp32"
    """Arithmetic of the convolutions: `fp32` or `fp16`."""
    batch_size: int = 8
    """Most pictures at once; larger batches are split on a GPU."""


@dataclass(frozen=True)
class Opened:
    """A model that has been opened."""

    device: str
    """`cpu`, `cuda` or `tensorrt`."""
    sessions: Mapping[int, onnxruntime.InferenceSession]
    """By batch size; the same for all but with TensorRT."""

    @property
    def session(self) -> onnxruntime.InferenceSession:
        """The one for the largest batches."""
        return self.sessions[max(self.sessions)]

    def runs(self, hw: tuple[int, int], tasks: int) -> Plain | Bound:
        """What scores batches; on a GPU it has scored one of each size.

        Args:
            hw: height and width of the model's input, pixels.
            tasks: columns of its output.

        Raises:
            DeviceError: the device failed.
        """
        if self.device == "cpu":
            return Plain(self.session)
        import onnxruntime

        bound = Bound(self.sessions, hw, tasks, "cuda", cuda.Pinning(str(onnxruntime.cuda_version)))
        bound.warm_up()
        return bound


def open_model(path: Path, wanted: Wanted) -> Opened:
    """Open a model where it is wanted.

    Raises:
        ModelError: the file is no readable ONNX model.
        DeviceError: the device asked for cannot be had.
        MissingExtraError: ONNX Runtime is not installed or cannot be loaded, or `onnx` for float16.
    """
    try:
        import onnxruntime
    except ImportError as error:
        is_absent = isinstance(error, ModuleNotFoundError) and error.name == "onnxruntime"
        what = "is not installed" if is_absent else f"cannot be loaded ({first_line(error)})"
        raise MissingExtraError(
            f'ONNX Runtime {what}; run: pip install "streamfilter[cpu]" (or "streamfilter[cuda]")'
        ) from error
    offered = onnxruntime.get_available_providers()
    device = _choose(wanted.device, offered)
    try:
        opened = Opened(device, _OPENERS[device](path, wanted))
    except DeviceError as error:
        if wanted.device != "auto":
            raise
        logger.warning("device auto: cpu, because %s", error)
        return Opened("cpu", _open_cpu(path, wanted))
    if wanted.device == "auto":
        logger.info("device auto: %s (ONNX Runtime offers %s)", device, ", ".join(offered))
    return opened


def _choose(device: str, offered: Sequence[str]) -> str:
    if device == "auto":
        return "cuda" if PROVIDERS["cuda"] in offered else "cpu"
    if PROVIDERS[device] not in offered:
        raise DeviceError(
            f"no {NAMES[device]} here: the installed ONNX Runtime runs on {', '.join(offered)}; "
            f"install streamfilter[{device}] on a machine with an NVIDIA GPU, or use --device cpu"
        )
    return device


def _open_cpu(path: Path, wanted: Wanted) -> dict[int, onnxruntime.InferenceSession]:
    return {1: _load(_in_precision(path, wanted.precision), path, _options(wanted.threads))}


def _open_cuda(path: Path, wanted: Wanted) -> dict[int, onnxruntime.InferenceSession]:
    model = _in_precision(path, wanted.precision)
    session = _start("cuda", model, path, _options(wanted.threads), [CUDA, "cpu"])
    return dict.fromkeys(ladder_to(wanted.batch_size), session)


def _open_tensorrt(path: Path, wanted: Wanted) -> dict[int, onnxruntime.InferenceSession]:
    import onnxruntime

    dimension = _load(path, path, _options(1)).get_inputs()[0].shape[0]
    versions = (f"ort{onnxruntime.__version__}", f"trt{tensorrt.load_libraries()}")
    cache = tensorrt.EngineCache(path, wanted.precision, cuda.gpu_name(), versions)
    sizes = ladder_to(wanted.batch_size)
    with cache.building(sizes):
        return {size: _engine(path, wanted.threads, cache, size, dimension) for size in sizes}


_OPENERS = {"cpu": _open_cpu, "cuda": _open_cuda, "tensorrt": _open_tensorrt}


def _engine(
    path: Path, threads: int, cache: tensorrt.EngineCache, size: int, dimension: str | int
) -> onnxruntime.InferenceSession:
    """A session for one batch size: with every shape known, TensorRT takes the whole graph and needs no profiles."""
    options = _options(threads)
    if isinstance(dimension, str):
        options.add_free_dimension_override_by_name(dimension, size)
    with cache.options(size) as own:
        hint = f"delete {cache.folder} if its engines may be damaged, "
        return _start("tensorrt", path, path, options, [("tensorrt", own), CUDA, "cpu"], size, hint)


def _start(
    device: str,
    model: Path | bytes,
    path: Path,
    options: onnxruntime.SessionOptions,
    devices: Sequence[str | tuple[str, dict[str, str]]],
    size: int = 1,
    hint: str = "",
) -> onnxruntime.InferenceSession:
    """A session on a GPU that has run once, or an error: ONNX Runtime would go on without it."""
    import onnxruntime
    from onnxruntime.capi import onnxruntime_pybind11_state as failures

    cuda.preload(onnxruntime)
    providers = [PROVIDERS[one] if isinstance(one, str) else (PROVIDERS[one[0]], one[1]) for one in devices]
    try:
        with _quiet():
            session = onnxruntime.InferenceSession(model, options, providers=providers, enable_fallback=0)
        is_there = session.get_providers()[0] == PROVIDERS[device]
        if is_there:
            _run_once(session, size)
    except (failures.EPFail, failures.Fail, failures.RuntimeException, RuntimeError) as error:
        _load(model, path, options)
        raise _not_started(device, cuda.reason(error), hint) from error
    if not is_there:
        raise _not_started(device, cuda.why_not(device), hint)
    return session


def _run_once(session: onnxruntime.InferenceSession, size: int) -> None:
    """Score blank pictures; what is no utility model is told later."""
    images, *others = session.get_inputs()
    if not others and images.name == INPUT and images.type == "tensor(uint8)":
        session.run(None, {INPUT: np.zeros((size, *images.shape[1:]), np.uint8)})


def _not_started(device: str, reason: str, hint: str) -> DeviceError:
    cures = {
        cuda.DRIVER: "install NVIDIA's driver",
        "insufficient": "install a newer NVIDIA driver",
        "CUDA failure": "check the GPU with nvidia-smi",
        "": f'pip install "streamfilter[{device}]" for its libraries',
    }
    cure = next(cure for sign, cure in cures.items() if sign in reason)
    return DeviceError(
        f"ONNX Runtime offers {NAMES[device]} but could not start it ({reason}); {hint}{cure}, or use --device cpu"
    )


def _in_precision(path: Path, precision: str) -> Path | bytes:
    if precision == "fp32":
        return path
    _load(path, path, _options(1))
    return in_half(path)


def _load(model: Path | bytes, path: Path, options: onnxruntime.SessionOptions) -> onnxruntime.InferenceSession:
    """A session on the CPU."""
    import onnxruntime
    from onnxruntime.capi import onnxruntime_pybind11_state as failures

    unreadable = (failures.Fail, failures.InvalidProtobuf, failures.InvalidGraph, failures.InvalidArgument)
    try:
        return onnxruntime.InferenceSession(model, options, providers=[PROVIDERS["cpu"]])
    except unreadable as error:
        reason = first_line(error)
        raise ModelError(f"{path} is not a readable ONNX model ({reason}); copy or export it again") from error
    except (failures.NotImplemented, failures.RuntimeException, failures.NoSuchFile) as error:
        reason = first_line(error)
        raise ModelError(f"{path} cannot be run by this ONNX Runtime ({reason}); export it again") from error


def _options(threads: int) -> onnxruntime.SessionOptions:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads or os.cpu_count() or 1
    options.log_severity_level = ERRORS_ONLY
    # Threads that wait by spinning take the cores from the decoder: filtering ran at 0.70 of decoding, not 0.83.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    return options


@contextmanager
def _quiet() -> Iterator[None]:
    """What ONNX Runtime says of a provider it cannot load is told in one line, as an error of ours."""
    import onnxruntime

    onnxruntime.set_default_logger_severity(FATAL_ONLY)
    try:
        yield
    finally:
        onnxruntime.set_default_logger_severity(WARNINGS)
