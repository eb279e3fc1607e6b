"""Consumers as a user might write them, for `pkg.mod:callable`."""

import numpy as np

DARK = 60


def bright_scene(rgb: np.ndarray) -> list[tuple[str, float, tuple[int, int, int, int]]]:
    """One object as large as the picture, unless that is dark."""
    height, width = rgb.shape[:2]
    return [("scene", 0.9, (0, 0, width, height))] if rgb.mean() > DARK else []


def light(rgb: np.ndarray) -> tuple[str, float]:
    """Day or night."""
    return ("day", 0.8) if rgb.mean() > DARK else ("night", 0.7)


def raises(rgb: np.ndarray) -> list[object]:
    """Fails on every picture."""
    raise ZeroDivisionError("no weights loaded")


def raises_at_length(rgb: np.ndarray) -> list[object]:
    """Fails with several lines of words."""
    raise ValueError("no weights loaded\nhint: fetch them first")


def nonsense(rgb: np.ndarray) -> str:
    """No answer at all."""
    return "a cat"


NOT_CALLABLE = 3
