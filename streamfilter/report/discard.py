"""How often the user's consumer is wrong on what remains when the lowest-scored frames are discarded. Pure."""

from __future__ import annotations

import numpy as np

from streamfilter.report.columns import Floats

MARKED = (0.05, 0.1, 0.2, 0.3)
"""Shares told in words."""
STEPS = 96
MOST = 0.95


def shares() -> Floats:
    """(96,) the discarded shares of a curve, 0 to 0.95."""
    return np.linspace(0, MOST, STEPS)


def errors_left(scores: Floats, errors: Floats, discarded: Floats) -> Floats:
    """Mean error of the frames that remain when the lowest-scored are discarded.

    Frames of equal score are discarded in random order: the figure is the expectation of that. A share between two
    whole numbers of frames discards part of one.

    Args:
        scores: (N,) higher is more useful, N >= 1.
        errors: (N,) error of each frame, 0 or 1.
        discarded: (S,) shares, 0 to under 1.

    Returns:
        (S,) mean errors, 0-1.
    """
    _, places = np.unique(scores, return_inverse=True)
    means = np.bincount(places, weights=errors) / np.bincount(places)
    gone = np.concatenate([[0.0], np.cumsum(means[np.sort(places)])])
    frames = np.asarray(discarded) * len(errors)
    return np.asarray((gone[-1] - np.interp(frames, np.arange(len(gone)), gone)) / (len(errors) - frames))


def ideal(errors: Floats, discarded: Floats) -> Floats:
    """(S,) mean errors when the wrong ones are discarded first, as no score could do better."""
    return errors_left(-errors, errors, discarded)
