"""The asynchronous client of a task hub. `durastream.sync` has its blocking twin."""

from __future__ import annotations

from durastream.client.client import Client
from durastream.client.entity_views import EntityStatus, QueuedMessage
from durastream.client.handles import Handle
from durastream.client.locks import CleanedEntities
from durastream.client.views import InstanceStatus

__all__ = ["CleanedEntities", "Client", "EntityStatus", "Handle", "InstanceStatus", "QueuedMessage"]
