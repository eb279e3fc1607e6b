"""The networks whose decisions define utility, behind one protocol."""

from streamfilter.consumers.detections import Detections
from trainer.networks.base import Network, load_network

__all__ = ["Detections", "Network", "load_network"]
