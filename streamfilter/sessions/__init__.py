"""ONNX Runtime sessions on the device asked for, never on another, and what runs batches through them."""

from __future__ import annotations

from streamfilter.sessions.opening import Opened, Wanted, open_model
from streamfilter.sessions.runs import INPUT, LADDER, OUTPUT, Bound, Plain

__all__ = ["INPUT", "LADDER", "OUTPUT", "Bound", "Opened", "Plain", "Wanted", "open_model"]
