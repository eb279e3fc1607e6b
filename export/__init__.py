"""From a finished run folder to a model file: one ONNX graph, checked against torch, with its card."""

from export.graph import export_run

__all__ = ["export_run"]
