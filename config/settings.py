"""The settings as one typed value. Where they come from is the business of ``config.loading``."""

from __future__ import annotations

from typing import Literal

from pydantic import Field
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict

from config.api import ApiSettings
from config.auth import AuthSettings
from config.channels import ChannelsSettings
from config.console import ConsoleSettings
from config.delivery import DeliverySettings, DevicesSettings, InboxSettings
from config.limits import ExpirySettings, LimitsSettings, PingSettings
from config.listeners import HttpSettings, InsecureSettings, InternalSettings, WebSocketSettings
from config.observing import MetricsSettings, TracingSettings
from config.process import LogSettings, NodeSettings, RecoverySettings, RedisSettings, ShutdownSettings
from config.push import PushSettings

Engine = Literal["memory", "redis"]


class Settings(BaseSettings):
    """Everything an operator can set. Immutable; secrets print as asterisks."""

    model_config = SettingsConfigDict(
        frozen=True,
        extra="forbid",
        use_attribute_docstrings=True,
        hide_input_in_errors=True,
        validate_default=False,
        case_sensitive=True,
    )

    engine: Literal["auto", "memory", "redis"] = "auto"
    """Where state lives. `auto`: `redis` when `redis.url` is set, else `memory`, in this one process."""
    partitions: int = Field(default=64, ge=1, le=16_384)
    """Partitions that the keys in Redis are spread over. Must be the same everywhere, for good."""
    http: HttpSettings = HttpSettings()
    internal: InternalSettings = InternalSettings()
    websocket: WebSocketSettings = WebSocketSettings()
    auth: AuthSettings = AuthSettings()
    api: ApiSettings = ApiSettings()
    channels: ChannelsSettings = ChannelsSettings()
    inbox: InboxSettings = InboxSettings()
    devices: DevicesSettings = DevicesSettings()
    delivery: DeliverySettings = DeliverySettings()
    push: PushSettings = PushSettings()
    limits: LimitsSettings = LimitsSettings()
    ping: PingSettings = PingSettings()
    expiry: ExpirySettings = ExpirySettings()
    insecure: InsecureSettings = InsecureSettings()
    redis: RedisSettings = RedisSettings()
    recovery: RecoverySettings = RecoverySettings()
    node: NodeSettings = NodeSettings()
    shutdown: ShutdownSettings = ShutdownSettings()
    log: LogSettings = LogSettings()
    metrics: MetricsSettings = MetricsSettings()
    tracing: TracingSettings = TracingSettings()
    console: ConsoleSettings = ConsoleSettings()

    @property
    def chosen_engine(self) -> Engine:
        """The engine that ``engine`` and ``redis.url`` together ask for."""
        if self.engine == "auto":
            return "memory" if self.redis.url is None else "redis"
        return self.engine

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Arguments only: reading the environment by itself would hide where a value came from."""
        return (init_settings,)
