"""The user's own detector or classifier: asked, judged, or read from a file."""

from streamfilter.consumers.base import CallableConsumer, Consumer, NetworkConsumer, open_consumer
from streamfilter.consumers.outputs import Outputs, read_outputs
from streamfilter.consumers.verdict import Bars, Verdict, compare

__all__ = [
    "Bars",
    "CallableConsumer",
    "Consumer",
    "NetworkConsumer",
    "Outputs",
    "Verdict",
    "compare",
    "open_consumer",
    "read_outputs",
]
