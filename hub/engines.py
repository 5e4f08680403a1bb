"""Which engine the settings name, built: the only place where an engine is named."""

from __future__ import annotations

import contextlib
import secrets
from collections.abc import AsyncIterator

import hub
from config import LoadedSettings, Settings
from hub import from_settings
from hub.engine import Engine
from hub.engine.memory import memory_engine
from hub.engine.redis import redis_engine
from hub.model import NodeId


def build_engine(settings: Settings, loaded: LoadedSettings | None, node_id: NodeId, name: str) -> Engine:
    """The engine that the settings name.

    Raises:
        SettingsError: for an address of Redis that is none.
    """
    if settings.chosen_engine == "memory":
        return memory_engine(
            delivery=from_settings.delivery_options(settings),
            max_revocations=settings.limits.max_revocations,
        )
    return redis_engine(
        from_settings.redis_options(settings, loaded),
        node_id,
        namespaces=from_settings.channel_policy(settings),
        description={"name": name, "version": hub.__version__},
        delivery=from_settings.delivery_options(settings),
    )


def build_engine_beside(settings: Settings, loaded: LoadedSettings | None = None) -> Engine:
    """The engine of the hubs for a process that is none of them: a worker, a command. Only Redis has one.

    Raises:
        SettingsError: for an address of Redis that is none.
    """
    return redis_engine(
        from_settings.redis_options(settings, loaded),
        NodeId(secrets.token_hex(8)),
        namespaces=None,
        delivery=from_settings.delivery_options(settings),
    )


@contextlib.asynccontextmanager
async def open_engine(settings: Settings, loaded: LoadedSettings | None = None) -> AsyncIterator[Engine]:
    """:func:`build_engine_beside`, started, and stopped at the end.

    Raises:
        SettingsError: for an address of Redis that is none.
        EngineUnavailable: when Redis cannot be reached.
        SchemaMismatch: when the hubs use the same Redis in another way.
    """
    engine = build_engine_beside(settings, loaded)
    await engine.lifecycle.start()
    try:
        yield engine
    finally:
        await engine.lifecycle.stop()
