"""The networks whose decisions define utility, behind one protocol."""

from trainer.networks.base import Detections, Network, load_network

__all__ = ["Detections", "Network", "load_network"]
