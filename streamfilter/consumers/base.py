"""What judges frames: a network, a Python callable, or a file of outputs."""

from __future__ import annotations

import importlib
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Protocol

import numpy as np

from streamfilter.consumers.answers import Categories, read_answer
from streamfilter.consumers.detections import Detections
from streamfilter.consumers.onnx import OnnxNetwork, load_onnx
from streamfilter.consumers.verdict import Answer, Label
from streamfilter.errors import ConfigError, ConsumerError, ModelError, first_line
from streamfilter.frame import RGB


class Consumer(Protocol):
    """A detector or classifier that can be asked about any picture."""

    name: str
    """As profiles and messages show it."""

    def ask(self, rgb: RGB) -> Answer:
        """Its decision on one picture.

        Args:
            rgb: (H, W, 3) uint8, RGB, HWC, 0-255, upright.

        Raises:
            ConsumerError: it failed, or returned something that is no answer.
        """
        ...


class NetworkConsumer:
    """An ONNX network with the uniform interface: `images` uint8 NHWC RGB in, `task`, `input_size` and `fit` in its
    metadata.

    Raises:
        ModelError: the file is missing, corrupt or without the interface.
    """

    def __init__(self, path: Path, threads: int = 1) -> None:
        self._network: OnnxNetwork = load_onnx(path, None, "cpu", threads)
        self.name = path.name

    def ask(self, rgb: RGB) -> Answer:
        """See `Consumer.ask`."""
        try:
            answer = self._network.predict([rgb])
        except ModelError as error:
            raise ConsumerError(str(error)) from error
        if isinstance(answer, list):
            return _finite(answer[0])
        category = int(np.argmax(answer[0]))
        return Label(category, float(answer[0][category]))


class CallableConsumer:
    """A Python callable: (H, W, 3) uint8 RGB in; out a list of (label, score, box), or one (label, score)."""

    def __init__(self, function: Callable[[RGB], object], name: str) -> None:
        self._function = function
        self._categories = Categories()
        self.name = name

    def ask(self, rgb: RGB) -> Answer:
        """See `Consumer.ask`."""
        try:
            given = self._function(rgb)
        # Whatever the user's program raises is about this frame; it is counted, and the calibration goes on.
        except Exception as error:
            raise ConsumerError(f"it raised {type(error).__name__}: {first_line(error)}") from error
        return read_answer(given, self._categories)


def import_entry_point(text: str) -> Callable[[RGB], object]:
    """The callable of `pkg.mod:callable`; the working directory is searched as well.

    Raises:
        ConfigError: the module cannot be imported, or there is no such callable in it.
    """
    module_name, _, path = text.partition(":")
    if os.getcwd() not in sys.path:
        sys.path.insert(0, os.getcwd())
    try:
        found: object = importlib.import_module(module_name)
    # A module of the user's may raise anything while it is imported.
    except Exception as error:
        what = f"{type(error).__name__}: {first_line(error)}"
        raise ConfigError(f"consumer {text}: importing {module_name} raised {what}") from error
    for part in path.split("."):
        found = getattr(found, part, None)
    if not callable(found):
        raise ConfigError(f"consumer {text}: {module_name} has no callable {path}")
    return found


def open_consumer(text: str, threads: int = 1) -> Consumer:
    """The consumer that a command line names.

    Args:
        text: the path of an ONNX network, or `pkg.mod:callable`.
        threads: inside one prediction of a network; 0 = one a core.

    Raises:
        ConfigError: it is neither, or the callable cannot be imported.
        ModelError: the network cannot be used.
    """
    if text.lower().endswith(".onnx"):
        return NetworkConsumer(Path(text), threads)
    module, colon, path = text.partition(":")
    if colon and all(part.isidentifier() for part in [*module.split("."), *path.split(".")]):
        return CallableConsumer(import_entry_point(text), text)
    raise ConfigError(f"consumer {text!r}: expected NETWORK.onnx, pkg.mod:callable, or a file of outputs (.jsonl)")


def _finite(found: Detections) -> Detections:
    if not (np.isfinite(found.boxes).all() and np.isfinite(found.scores).all()):
        raise ConsumerError("it gave boxes or scores that are no numbers")
    return found
