"""TensorRT's libraries, and its engines: where they are kept, and that building them is told."""

from __future__ import annotations

import ctypes
import importlib
import importlib.util
import logging
import os
import re
import shutil
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from streamfilter.digest import file_sha256
from streamfilter.errors import DeviceError

LIBRARIES = ("libnvinfer.so.10", "libnvonnxparser.so.10")
WHEEL = "tensorrt_libs"
VARIABLE = "STREAMFILTER_TENSORRT_CACHE"
INSTALL = 'pip install "streamfilter[tensorrt]"'

logger = logging.getLogger(__name__)


def load_libraries() -> str:
    """Load TensorRT from its wheel or the system, before ONNX Runtime looks for it.

    Returns:
        Its version, as a number such as 101303.

    Raises:
        DeviceError: it is not installed.
    """
    folder = Path()
    if importlib.util.find_spec(WHEEL) is not None:
        module = importlib.import_module(WHEEL)
        folder = Path(next(iter(module.__path__)))
    try:
        loaded = [
            ctypes.CDLL(str(folder / name) if (folder / name).is_file() else name, ctypes.RTLD_GLOBAL)
            for name in LIBRARIES
        ]
    except OSError as error:
        raise DeviceError(
            f"TensorRT 10 is not installed ({error}); run: {INSTALL} or put its folder on LD_LIBRARY_PATH, "
            "or use --device cuda"
        ) from error
    return str(loaded[0].getInferLibVersion())


def cache_folder() -> Path:
    """Where engines are kept: $STREAMFILTER_TENSORRT_CACHE, or streamfilter/tensorrt in the user's cache.

    Raises:
        DeviceError: it cannot be written.
    """
    own, base = os.environ.get(VARIABLE), os.environ.get("XDG_CACHE_HOME")
    folder = Path(own) if own else (Path(base) if base else Path.home() / ".cache") / "streamfilter" / "tensorrt"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            return folder.absolute()
    except OSError as error:
        raise DeviceError(
            f"TensorRT engines cannot be kept in {folder} ({error.strerror}); set {VARIABLE} to a folder that can be "
            "written"
        ) from error


class EngineCache:
    """The engines of one model on one GPU, a folder for each batch size.

    Args:
        model: the ONNX file.
        precision: `fp32` or `fp16`.
        gpu: its name.
        versions: of everything else that an engine depends on.

    Raises:
        DeviceError: the cache cannot be written.
    """

    def __init__(self, model: Path, precision: str, gpu: str, versions: Sequence[str]) -> None:
        self._name, self._gpu, self._root = model.stem, gpu, cache_folder()
        parts = [model.stem, file_sha256(model)[:16], precision, gpu, *versions]
        self.folder = self._root / re.sub(r"[^\w.-]+", "-", "_".join(parts))
        self._precision = precision

    def missing(self, sizes: Sequence[int]) -> list[int]:
        """Batch sizes without an engine."""
        return [size for size in sizes if not any(self._of(size).glob("*.engine"))]

    @contextmanager
    def building(self, sizes: Sequence[int]) -> Iterator[None]:
        """Say which engines are going to be built, and when they are."""
        missing = self.missing(sizes)
        if not missing:
            logger.info("TensorRT engines of %s from %s", self._name, self.folder)
            yield
            return
        logger.warning(
            "building TensorRT engines of %s in %s for batches of %s on %s; this may take minutes, once; kept in %s",
            self._name, self._precision, ", ".join(map(str, missing)), self._gpu, self.folder,
        )  # fmt: skip
        started = time.monotonic()
        yield
        logger.warning("TensorRT engines of %s are built, in %.0f s", self._name, time.monotonic() - started)

    @contextmanager
    def options(self, size: int) -> Iterator[dict[str, str]]:
        """What ONNX Runtime's provider is told, for as long as a session of that size is opened and first run.

        A new engine is written beside and moved here at the end: one cut off would be refused for ever.

        Raises:
            DeviceError: TensorRT built no engine.
        """
        folder = self._of(size)
        if not self.missing([size]):
            yield self._options(folder)
            return
        part = Path(tempfile.mkdtemp(prefix=".building-", dir=self._root))
        try:
            yield self._options(part)
            if not any(part.glob("*.engine")):
                raise DeviceError(f"TensorRT takes no part of {self._name}; use --device cuda")
            self._keep(part, folder)
        finally:
            shutil.rmtree(part, ignore_errors=True)

    def _keep(self, part: Path, folder: Path) -> None:
        folder.parent.mkdir(exist_ok=True)
        try:
            part.rename(folder)
        except OSError as error:
            # Another process may have built the same meanwhile.
            if not folder.is_dir():
                logger.warning("the TensorRT engine in %s could not be kept: %s", folder, error.strerror)

    def _of(self, size: int) -> Path:
        return self.folder / str(size)

    def _options(self, folder: Path) -> dict[str, str]:
        return {
            "trt_engine_cache_enable": "True",
            "trt_engine_cache_path": str(folder),
            "trt_timing_cache_enable": "True",
            "trt_timing_cache_path": str(self._root),
            "trt_fp16_enable": str(self._precision == "fp16"),
        }
