"""How a batch goes through a session: as it comes, or in fixed sizes out of memory that is used again."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from streamfilter.errors import DeviceError
from streamfilter.frame import RGB
from streamfilter.sessions import cuda

if TYPE_CHECKING:
    import onnxruntime

INPUT, OUTPUT = "images", "utility"
LADDER = (1, 2, 4, 8, 16, 32, 64)
"""Batch sizes on a GPU: for each new one CUDA looks for algorithms anew, and TensorRT builds an engine."""

Scores = npt.NDArray[np.float32]


def ladder_to(batch_size: int) -> tuple[int, ...]:
    """The sizes of the ladder, up to the first that holds such a batch."""
    return tuple(size for size in LADDER if size < 2 * batch_size)


class Plain:
    """Batches as they come."""

    def __init__(self, session: onnxruntime.InferenceSession) -> None:
        self._session = session

    def __call__(self, pictures: Sequence[RGB] | RGB) -> Scores:
        """(N, T) float32 utilities of N pictures of (H, W, 3) uint8, RGB, HWC, 0-255."""
        batch = np.ascontiguousarray(pictures)
        return np.asarray(self._session.run([OUTPUT], {INPUT: batch})[0], dtype=np.float32)


class Bound:
    """Batches padded to the sizes of a ladder, or split, out of host and device memory that stays where it is.

    May be called from several threads: each takes a place of its own.

    Args:
        sessions: the session for each size; it may be the same for all.
        hw: height and width of the model's input, pixels.
        tasks: columns of its output.
        memory: where the input lies when the session runs, as ONNX Runtime calls it: `cpu` or `cuda`.
        pin: called once with each new host buffer.
    """

    def __init__(
        self,
        sessions: Mapping[int, onnxruntime.InferenceSession],
        hw: tuple[int, int],
        tasks: int,
        memory: str,
        pin: Callable[[RGB], object] = lambda buffer: None,
    ) -> None:
        self._sessions, self._hw, self._tasks, self._memory, self._pin = sessions, hw, tasks, memory, pin
        self._free: dict[int, deque[_Place]] = {size: deque() for size in sessions}

    def __call__(self, pictures: Sequence[RGB] | RGB) -> Scores:
        """(N, T) float32 utilities of N pictures of (H, W, 3) uint8, RGB, HWC, 0-255.

        Raises:
            DeviceError: the device failed.
        """
        parts = [self._run(size, pictures[first:last]) for size, first, last in self._parts(len(pictures))]
        return np.concatenate(parts)

    def warm_up(self) -> None:
        """Run every size once, so that no frame waits for memory or for the choice of algorithms.

        Raises:
            DeviceError: the device failed.
        """
        for size in self._sessions:
            self._run(size, np.zeros((size, *self._hw, 3), np.uint8))

    def _parts(self, count: int) -> Iterator[tuple[int, int, int]]:
        """Size, first and last picture of each run."""
        most = max(self._sessions)
        for first in range(0, count, most):
            last = min(count, first + most)
            yield min(size for size in self._sessions if size >= last - first), first, last

    def _run(self, size: int, pictures: Sequence[RGB] | RGB) -> Scores:
        from onnxruntime.capi import onnxruntime_pybind11_state as failures

        place = self._take_place(size)
        try:
            scores = place.run(pictures)
        except (failures.EPFail, failures.Fail, failures.RuntimeException, RuntimeError) as error:
            raise DeviceError(
                f"the device failed while it scored {size} pictures ({cuda.reason(error)}); "
                "take a smaller batch size, or --device cpu"
            ) from error
        self._free[size].append(place)
        return scores

    def _take_place(self, size: int) -> _Place:
        try:
            return self._free[size].pop()
        except IndexError:
            return self._new_place(size)

    def _new_place(self, size: int) -> _Place:
        host = np.zeros((size, *self._hw, 3), np.uint8)
        self._pin(host)
        return _Place(self._sessions[size], host, self._tasks, self._memory)


class _Place:
    """Memory for one size, on both sides, and what binds it to a session."""

    def __init__(self, session: onnxruntime.InferenceSession, host: RGB, tasks: int, memory: str) -> None:
        import onnxruntime

        self._session, self._host = session, host
        self._device = onnxruntime.OrtValue.ortvalue_from_shape_and_type(host.shape, np.uint8, memory)
        self._scores = np.zeros((len(host), tasks), np.float32)
        self._binding = session.io_binding()
        self._binding.bind_ortvalue_input(INPUT, self._device)
        self._binding.bind_output(OUTPUT, "cpu", 0, np.float32, self._scores.shape, self._scores.ctypes.data)

    def run(self, pictures: Sequence[RGB] | RGB) -> Scores:
        # What the batch before left in the rest is scored as well, and cut off.
        np.stack(list(pictures), out=self._host[: len(pictures)])
        self._device.update_inplace(self._host)
        self._session.run_with_iobinding(self._binding)
        self._binding.synchronize_outputs()
        return self._scores[: len(pictures)].copy()
