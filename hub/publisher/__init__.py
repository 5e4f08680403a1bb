"""Publishing from a backend in Python straight to the Redis that the hubs share, without an HTTP hop.

Lives inside somebody else's process: takes arguments, and knows neither settings nor environment.
"""

from hub.engine.notifying import NotifyAnswer
from hub.engine.redis.schema import SchemaMismatch
from hub.errors import EngineUnavailable, HubError
from hub.model import Position, PublishResult
from hub.publisher.async_publisher import Publisher
from hub.publisher.new_publication import NewPublication
from hub.publisher.outlet import NoHub
from hub.publisher.sync_publisher import SyncPublisher

__all__ = [
    "EngineUnavailable",
    "HubError",
    "NewPublication",
    "NoHub",
    "NotifyAnswer",
    "Position",
    "PublishResult",
    "Publisher",
    "SchemaMismatch",
    "SyncPublisher",
]
