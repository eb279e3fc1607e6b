"""What of CUDA is needed beside ONNX Runtime: its libraries, the GPU's name, memory that it copies from fast."""

from __future__ import annotations

import ctypes
import importlib.util
import io
import logging
import re
import weakref
from collections.abc import Iterator
from contextlib import redirect_stdout
from pathlib import Path
from types import ModuleType

import numpy as np
import numpy.typing as npt

from streamfilter.errors import DeviceError, first_line

DRIVER = "libcuda.so.1"
RUNTIME = "libcudart.so"
NAME_BYTES = 256
PORTABLE = 1
"""cudaHostRegisterPortable: the memory counts as pinned for every context."""
FAILURE = re.compile(r"CU\w+ failure \d+: [^;\n]*")
"""What ONNX Runtime says of a call that failed, behind hundreds of characters on where."""

logger = logging.getLogger(__name__)


def preload(onnxruntime: ModuleType) -> None:
    """Load CUDA and cuDNN from their wheels, wherever Python finds them; what is missing is told later."""
    if not hasattr(onnxruntime, "preload_dlls"):
        return
    said = io.StringIO()
    # It prints, and standard output may be a video.
    with redirect_stdout(said):
        for folder in _library_folders():
            onnxruntime.preload_dlls(directory=str(folder))
        onnxruntime.preload_dlls()
    for line in said.getvalue().splitlines():
        logger.debug("%s", line)


def _library_folders() -> Iterator[Path]:
    """Where NVIDIA's wheels keep libraries: by itself ONNX Runtime looks for them only in the folder it lies in."""
    found = importlib.util.find_spec("nvidia")
    for root in (found and found.submodule_search_locations) or ():
        yield from sorted(Path(root).absolute().glob("*/lib"))


def reason(error: Exception) -> str:
    """What a failed call of ONNX Runtime says, as part of one line: CUDA's own words where there are any."""
    found = FAILURE.search(str(error))
    return found[0].strip() if found else first_line(error)


def why_not(device: str) -> str:
    """Why ONNX Runtime's provider cannot be loaded, as the loader says; "check the driver" when it can."""
    found = importlib.util.find_spec("onnxruntime")
    folder = Path(found.origin).parent / "capi" if found and found.origin else Path()
    try:
        ctypes.CDLL(str(folder / f"libonnxruntime_providers_{device}.so"))
    except OSError as error:
        return first_line(error)
    return "its libraries are there; check the driver with nvidia-smi"


def gpu_name() -> str:
    """Name of the first GPU that CUDA sees.

    Raises:
        DeviceError: there is no driver, or it sees no GPU.
    """
    name, number = ctypes.create_string_buffer(NAME_BYTES), ctypes.c_int()
    try:
        driver = ctypes.CDLL(DRIVER)
    except OSError as error:
        raise DeviceError(f"there is no NVIDIA driver here ({error}); use --device cpu") from error
    failed = driver.cuInit(0) or driver.cuDeviceGet(ctypes.byref(number), 0)
    if failed or driver.cuDeviceGetName(name, NAME_BYTES, number):
        raise DeviceError("the NVIDIA driver sees no GPU here; check nvidia-smi and CUDA_VISIBLE_DEVICES")
    return name.value.decode(errors="replace")


class Pinning:
    """Pins host memory with the CUDA runtime that ONNX Runtime has loaded, so that a GPU copies from it directly.

    Args:
        version: of CUDA, as ONNX Runtime tells it: its major number names the library.
    """

    def __init__(self, version: str) -> None:
        try:
            self._runtime: ctypes.CDLL | None = ctypes.CDLL(f"{RUNTIME}.{version.partition('.')[0]}")
        except OSError as error:
            self._runtime = None
            logger.info("host memory is not pinned, and copied more slowly: %s", error)

    def __call__(self, buffer: npt.NDArray[np.uint8]) -> bool:
        """Pin a buffer for as long as it lives; whether that was possible. Copies work either way."""
        if self._runtime is None:
            return False
        address = ctypes.c_void_p(buffer.ctypes.data)
        failed = self._runtime.cudaHostRegister(address, ctypes.c_size_t(buffer.nbytes), ctypes.c_uint(PORTABLE))
        if failed:
            # Else ONNX Runtime would find this error after its next kernel, and take it for that one's.
            self._runtime.cudaGetLastError()
            logger.info("host memory is not pinned, and copied more slowly: CUDA error %d", failed)
            return False
        weakref.finalize(buffer, self._runtime.cudaHostUnregister, address)
        return True
