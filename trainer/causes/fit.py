"""From examples to the model of causes, and how often it is right on pictures it has not seen."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

from streamfilter.causes import NOTHING, CauseModel
from streamfilter.frame import Cause
from trainer.causes.examples import Examples

HIDDEN = 64
DECAY = 0.03
"""Weight of the squared weights in the loss."""
PASSES = 150
"""Most passes over the examples."""


def fit(examples: Examples, statistics: tuple[str, ...], seed: int) -> CauseModel:
    """A model of the examples that are not held back."""
    from sklearn.neural_network import MLPClassifier

    values, causes = examples.values[~examples.held_back], examples.causes[~examples.held_back]
    answers = tuple(name for name in (*(cause.value for cause in Cause), NOTHING) if name in set(causes))
    mean, deviation = values.mean(axis=0), values.std(axis=0) + 1e-6
    blank = np.zeros((len(statistics), 1), np.float32)
    scaled = CauseModel(statistics, (), mean, deviation, blank, blank[0], blank[:1, :0], blank[0, :0]).scaled(values)
    network = MLPClassifier((HIDDEN,), alpha=DECAY, max_iter=PASSES, random_state=seed).fit(scaled, causes)
    order = [list(network.classes_).index(answer) for answer in answers]
    (hidden, output), (hidden_bias, output_bias) = network.coefs_, network.intercepts_
    arrays = (mean, deviation, hidden, hidden_bias, output[:, order], output_bias[order])
    return CauseModel(statistics, answers, *(np.asarray(array, np.float32) for array in arrays))


def answered(model: CauseModel, values: npt.NDArray[np.float32]) -> list[str]:
    """The model's answer for each row of statistics, `none` included."""
    return [NOTHING if cause is None else cause.value for cause in model.causes(values)]


def share_right(model: CauseModel, examples: Examples) -> float:
    """How many of the held-back examples it is right about, as a share."""
    held = examples.held_back
    return float(np.mean(np.array(answered(model, examples.values[held])) == examples.causes[held]))


def table(model: CauseModel, examples: Examples) -> Iterator[str]:
    """A Markdown table of the held-back examples: each distortion, how often it is called what."""
    kinds, truths = examples.kinds[examples.held_back], examples.causes[examples.held_back]
    given = np.array(answered(model, examples.values[examples.held_back]))
    yield f"| distortion | examples | right | {' | '.join(model.answers)} |"
    yield f"|---|---|---|{'---|' * len(model.answers)}"
    for kind in dict.fromkeys(kinds):
        rows = kinds == kind
        called = Counter(given[rows])
        cells = [f"{kind}", f"{rows.sum()}", f"{(given[rows] == truths[rows]).mean():.3f}"]
        yield f"| {' | '.join([*cells, *(str(called[answer]) for answer in model.answers)])} |"
