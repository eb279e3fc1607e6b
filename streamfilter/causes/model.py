"""The classifier over the statistics: a small network of its own, kept as numbers in a JSON file."""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cache
from importlib.resources import as_file, files
from pathlib import Path

import numpy as np
import numpy.typing as npt

from streamfilter.errors import ModelError
from streamfilter.frame import Cause

VERSION = 1
NOTHING = "none"
"""What a picture has in which no cause can be seen."""
FAR = 5.0
"""Statistics further than so many standard deviations from the training pictures' mean are taken as so far."""

Floats = npt.NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class CauseModel:
    """One hidden layer: p = softmax(V relu(W z + b) + c), z the statistics less their mean over their deviation.

    Raises:
        ModelError: the arrays disagree in shape, hold no finite numbers, or name an unknown cause.
    """

    statistics: tuple[str, ...]
    """Names of the F statistics, in the order they come."""
    answers: tuple[str, ...]
    """Names of the A answers: causes, and `none`."""
    mean: Floats
    """(F,) float32, of the training pictures."""
    deviation: Floats
    """(F,) float32, above 0."""
    hidden: Floats
    """W, (F, H) float32."""
    hidden_bias: Floats
    """b, (H,) float32."""
    output: Floats
    """V, (H, A) float32."""
    output_bias: Floats
    """c, (A,) float32."""

    def __post_init__(self) -> None:
        count, width, answers = len(self.statistics), len(self.hidden_bias), len(self.answers)
        wanted = {"mean": (count,), "deviation": (count,), "hidden": (count, width),
                  "output": (width, answers), "output_bias": (answers,)}  # fmt: skip
        problems = [
            f"{name} is {getattr(self, name).shape}, expected {shape}"
            for name, shape in wanted.items()
            if getattr(self, name).shape != shape
        ]
        numbers = [getattr(self, name) for name in (*wanted, "hidden_bias")]
        if not all(np.isfinite(array).all() for array in numbers) or not (self.deviation > 0).all():
            problems.append("numbers are not finite, or a deviation is not above 0")
        known = {NOTHING, *(cause.value for cause in Cause)}
        problems += [f"unknown answer {answer!r}" for answer in self.answers if answer not in known]
        if problems:
            raise ModelError(f"bad model of causes: {'; '.join(problems)}")

    @classmethod
    def load(cls, path: Path) -> CauseModel:
        """Read a file that `save` wrote.

        Raises:
            ModelError: it cannot be read, or is no model of causes of this version.
        """
        again = "install streamfilter again, or make one with `python -m trainer causes`"
        try:
            content = json.loads(path.read_text(encoding="utf-8"))
            if content["version"] != VERSION:
                raise ModelError(f"{path} is of version {content['version']}, this program reads {VERSION}; {again}")
            arrays = {name: np.asarray(values, np.float32) for name, values in content["arrays"].items()}
            return cls(tuple(content["statistics"]), tuple(content["answers"]), **arrays)
        except OSError as error:
            raise ModelError(f"cannot read the model of causes {path} ({error.strerror}); {again}") from error
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise ModelError(f"{path} is not a model of causes ({type(error).__name__}: {error}); {again}") from error

    def save(self, path: Path, **about: object) -> None:
        """Write it as JSON, with what is to be said about it."""
        names = ("mean", "deviation", "hidden", "hidden_bias", "output", "output_bias")
        arrays = {name: [_rounded(row) for row in getattr(self, name)] for name in names}
        content = {"version": VERSION, **about, "statistics": self.statistics, "answers": self.answers,
                   "arrays": arrays}  # fmt: skip
        path.write_text(json.dumps(content) + "\n", encoding="utf-8")

    def probabilities(self, values: Floats) -> Floats:
        """How sure each answer is.

        Args:
            values: (N, F) float32 statistics.

        Returns:
            (N, A) float32 in [0, 1]; rows sum to 1.
        """
        logits = np.maximum(self.scaled(values) @ self.hidden + self.hidden_bias, 0) @ self.output + self.output_bias
        shares = np.exp(logits - logits.max(axis=1, keepdims=True))
        return np.asarray(shares / shares.sum(axis=1, keepdims=True), np.float32)

    def scaled(self, values: Floats) -> Floats:
        """(N, F) float32 statistics as the network takes them: z, without outliers."""
        return np.asarray(np.clip((values - self.mean) / self.deviation, -FAR, FAR), np.float32)

    def causes(self, values: Floats) -> list[Cause | None]:
        """The likeliest answer for each row of (N, F) float32 statistics; None where no cause can be seen."""
        best = self.probabilities(values).argmax(axis=1)
        return [None if self.answers[place] == NOTHING else Cause(self.answers[place]) for place in best]


@cache
def shipped_model() -> CauseModel:
    """The model that comes with the package, read once.

    Raises:
        ModelError: it is missing or corrupt.
    """
    with as_file(files("streamfilter") / "models" / "causes.json") as path:
        return CauseModel.load(path)


def _rounded(row: object) -> object:
    values = np.asarray(row, np.float64)
    rounded: object = np.array([float(f"{value:.5g}") for value in values.ravel()]).reshape(values.shape).tolist()
    return rounded
