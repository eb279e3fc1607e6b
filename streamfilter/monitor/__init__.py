"""A web page that shows running streams: what is kept, what is dropped and why, as it happens."""

from __future__ import annotations

from streamfilter.monitor.access import new_token
from streamfilter.monitor.board import Board
from streamfilter.monitor.server import Monitor

__all__ = ["Board", "Monitor", "new_token"]
