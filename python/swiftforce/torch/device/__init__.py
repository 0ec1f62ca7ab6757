"""Searches that select on the device of a model's parameters, by torch's operations on integers.

The masks are the core's, bit for bit, and no weight or gradient reaches the host. `choice` decides
which searches do so. What the core computes does not belong here (`swiftforce.torch.core_search`).
"""

from swiftforce.torch.device.buffers import DeviceBuffers
from swiftforce.torch.device.choice import selects_on_device
from swiftforce.torch.device.search import search_on_device

__all__ = ["DeviceBuffers", "search_on_device", "selects_on_device"]
