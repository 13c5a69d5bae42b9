"""The asynchronous client of a task hub. `durastream.sync` has its blocking twin."""

from __future__ import annotations

from durastream.client.client import Client
from durastream.client.handles import Handle
from durastream.client.views import InstanceStatus

__all__ = ["Client", "Handle", "InstanceStatus"]
