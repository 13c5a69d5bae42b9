"""durastream: durable functions for Python, on Redis.

import durastream as ds

app = ds.App()

@app.activity
async def greet(name: str) -> str:
    return f"Hello {name}"

@app.orchestrator
async def hello(ctx: ds.OrchestrationContext, name: str) -> str:
    return await ctx.call_activity(greet, name)
"""

from durastream.activity import ActivityContext
from durastream.app import App
from durastream.client import Client, EntityStatus, Handle, InstanceStatus
from durastream.core.context import OrchestrationContext
from durastream.core.entity_context import EntityContext
from durastream.core.entity_id import EntityId
from durastream.core.retry import RetryPolicy
from durastream.core.sections import CriticalSection
from durastream.core.tasks import Task, when_all, when_any
from durastream.errors import (
    AccessDenied,
    ActivityCancelled,
    ActivityFailed,
    Conflict,
    DurastreamError,
    EntityFailed,
    EntityNotFound,
    HubMismatch,
    HubNotFound,
    InstanceExists,
    InstanceNotFound,
    InvalidId,
    NonDeterminismError,
    NonRetryableError,
    NotRegistered,
    OrchestrationFailed,
    OrchestrationTerminated,
    OrchestratorError,
    PayloadError,
    PayloadTooLarge,
    RemoteError,
    ServerUnsuitable,
    StoreUnavailable,
    SubOrchestrationFailed,
    TaskCancelled,
    TimeoutError,
)
from durastream.sync import SyncClient, SyncHandle
from durastream.worker import Worker

__version__ = "0.1.0"

__all__ = [
    "AccessDenied",
    "ActivityCancelled",
    "ActivityContext",
    "ActivityFailed",
    "App",
    "Client",
    "Conflict",
    "CriticalSection",
    "DurastreamError",
    "EntityContext",
    "EntityFailed",
    "EntityId",
    "EntityNotFound",
    "EntityStatus",
    "Handle",
    "HubMismatch",
    "HubNotFound",
    "InstanceExists",
    "InstanceNotFound",
    "InstanceStatus",
    "InvalidId",
    "NonDeterminismError",
    "NonRetryableError",
    "NotRegistered",
    "OrchestrationContext",
    "OrchestrationFailed",
    "OrchestrationTerminated",
    "OrchestratorError",
    "PayloadError",
    "PayloadTooLarge",
    "RemoteError",
    "RetryPolicy",
    "ServerUnsuitable",
    "StoreUnavailable",
    "SubOrchestrationFailed",
    "SyncClient",
    "SyncHandle",
    "Task",
    "TaskCancelled",
    "TimeoutError",
    "Worker",
    "when_all",
    "when_any",
]
