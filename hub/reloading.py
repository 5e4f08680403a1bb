"""Settings that change while a hub runs: which they are, who is told of them, and which wait for a restart.

All of a change is taken over, or none of it. What may not change at run time keeps its old value,
and is named, so that nobody believes it is in force.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Protocol

from config import LoadedSettings, Settings, SettingsError
from config.logging import configure_logging
from config.section import Section
from hub import from_settings
from hub.api.keys import KeyRing
from hub.auth import TokenVerifier
from hub.auth.checking import SignatureChecks
from hub.auth.jwks import JWKSSource
from hub.connection import ConnectionServices
from hub.engine.redis import SchemaMismatch
from hub.errors import EngineUnavailable
from hub.transport.origins import OriginPolicy
from hub.transport.server import HubServer

log = logging.getLogger(__name__)

EVERYTHING = frozenset({"*"})

AT_RUN_TIME: Mapping[str, frozenset[str]] = {
    "auth": EVERYTHING,
    "api": frozenset({"keys"}),
    "channels": EVERYTHING,
    "http": frozenset({"allowed_origins", "trusted_proxies"}),
    "limits": frozenset(
        {
            "max_message_bytes",
            "max_commands_per_frame",
            "max_pending_commands",
            "max_channels",
            "max_outbox_bytes",
            "recovery_max_publications",
            "history_max_limit",
            "max_connections",
            "connections_per_ip",
            "connections_per_user",
            "max_http_connections",
            "connects_per_s",
            "connects_burst",
            "connects_per_ip_per_s",
            "connects_per_ip_burst",
            "commands_per_s",
            "commands_burst",
            "user_commands_per_s",
            "user_commands_burst",
            "write_timeout_s",
            "handshake_timeout_s",
            "connect_timeout_s",
            "close_timeout_s",
        }
    ),
    "expiry": EVERYTHING,
    "shutdown": EVERYTHING,
    "log": EVERYTHING,
}
"""Settings of each section that are taken over from a running hub's sources; all others need a restart."""


@dataclass(frozen=True, slots=True)
class Change:
    """What differs: ``settings`` are those to go on with, the names are as in the settings file."""

    settings: Settings
    applied: tuple[str, ...]
    needs_restart: tuple[str, ...]


def change_between(old: Settings, new: Settings) -> Change:
    """What of ``new`` can be taken over by a hub that runs with ``old``."""
    applied: list[str] = []
    needs_restart: list[str] = []
    sections: dict[str, Section] = {}
    for name in type(old).model_fields:
        before, after = getattr(old, name), getattr(new, name)
        if before == after:
            continue
        if not isinstance(before, Section):
            needs_restart.append(name)
            continue
        may_change = AT_RUN_TIME.get(name, frozenset())
        differs = [
            field for field in type(before).model_fields if getattr(before, field) != getattr(after, field)
        ]
        taken = [field for field in differs if may_change is EVERYTHING or field in may_change]
        applied += [f"{name}.{field}" for field in taken]
        needs_restart += [f"{name}.{field}" for field in differs if field not in taken]
        sections[name] = before.model_copy(update={field: getattr(after, field) for field in taken})
    return Change(old.model_copy(update=sections), tuple(applied), tuple(needs_restart))


class CurrentOrigins:
    """The origins that may call now, for those who keep asking the same object."""

    def __init__(self, patterns: tuple[str, ...]) -> None:
        self.policy = OriginPolicy(patterns)

    def allows(self, origin: str | None, host: str | None) -> bool:
        """As ``OriginPolicy``."""
        return self.policy.allows(origin, host)


class Keys:
    """What verifies tokens: both verifiers of a hub, and the URL behind them."""

    def __init__(self, settings: Settings, loaded: LoadedSettings | None) -> None:
        keys = from_settings.verification_keys(settings, loaded)
        own = from_settings.subscription_keys(settings, loaded)
        options = from_settings.verifier_options(settings)
        self.jwks = from_settings.jwks_source(settings, loaded)
        self._has_own = bool(keys)
        self._checks = SignatureChecks(settings.node.verify_threads)
        self.verifier = TokenVerifier(options, keys, self.jwks, checks=self._checks)
        # Always two, since a key of their own may be given to subscription tokens later.
        self.subscription_verifier = (
            TokenVerifier(options, keys, self.jwks, checks=self._checks)
            if own is None
            else TokenVerifier(options, own, checks=self._checks)
        )

    @property
    def there(self) -> bool:
        """False until those of a URL came for the first time, where there are no others."""
        return self._has_own or self.jwks is None or self.jwks.health().loaded

    def start(self) -> None:
        """Begin to fetch those of a URL."""
        if self.jwks is not None:
            self.jwks.start()

    async def stop(self) -> None:
        """Fetch no more, and end the threads. Idempotent."""
        self._checks.close()
        if self.jwks is not None:
            await self.jwks.stop()

    def prepared(
        self, old: Settings, new: Settings, loaded: LoadedSettings
    ) -> Callable[[], JWKSSource | None]:
        """Build what ``new`` says; the call that puts it in force gives the source not needed any more.

        Raises:
            SettingsError: with every key that is none.
        """
        keys = from_settings.verification_keys(new, loaded)
        own = from_settings.subscription_keys(new, loaded)
        options = from_settings.verifier_options(new)
        same_url = all(
            getattr(old.auth, name) == getattr(new.auth, name)
            for name in ("jwks_url", "jwks_refresh_s", "jwks_allow_http")
        )
        jwks = self.jwks if same_url else from_settings.jwks_source(new, loaded)

        def apply() -> JWKSSource | None:
            former, self.jwks = self.jwks, jwks
            self._has_own = bool(keys)
            self.verifier.replace(options, keys, jwks)
            self.subscription_verifier.replace(
                options, keys if own is None else own, jwks if own is None else None
            )
            if former is jwks:
                return None
            if jwks is not None:
                jwks.start()
            return former

        return apply


@dataclass(slots=True)
class Changeable:
    """The parts of a hub that settings reach while it runs."""

    keys: Keys
    api_keys: KeyRing
    origins: CurrentOrigins
    services: ConnectionServices
    public: HubServer
    internal: HubServer | None

    async def take_over(self, old: Settings, loaded: LoadedSettings) -> Change:
        """Put in force what may change at run time: all of it, or, when it raises, nothing.

        Raises:
            SettingsError: for what turns out to be unusable.
            EngineUnavailable: when the namespaces changed and Redis could not be told.
            SchemaMismatch: when other hubs agreed on what this one cannot do.
        """
        change = change_between(old, loaded.settings)
        new = change.settings
        node = self.services.node
        put_keys_in_force = self.keys.prepared(old, new, loaded)
        api_keys = from_settings.api_keys(new)
        KeyRing(api_keys)
        rules = from_settings.channel_rules(new)
        connections = from_settings.connection_options(new)
        public = from_settings.public_server_options(new).transport
        internal = from_settings.internal_server_options(new)
        origins = OriginPolicy(new.http.allowed_origins)
        # The files that the running hub knows, whatever they hold now.
        with from_settings.named_in_settings(("http", "tls_cert"), loaded):
            show_certificate = self.public.certificate_read_again()
        policy = from_settings.channel_policy(new)
        if policy != from_settings.channel_policy(old):
            await node.engine.lifecycle.replace_policy(policy)
        # Nothing can fail from here on, and nobody gets a turn before it is done.
        show_certificate()
        needless = put_keys_in_force()
        self.api_keys.replace(api_keys)
        node.rules = rules
        self.services.options = connections
        self.origins.policy = origins
        self.public.adopt(public)
        if self.internal is not None and internal is not None:
            self.internal.adopt(internal.transport)
        if "log" in {name.partition(".")[0] for name in change.applied}:
            configure_logging(new.log)
        if needless is not None:
            await needless.stop()
        return change


class Reloads(Protocol):
    """A hub that can take over settings."""

    async def reload(self, loaded: LoadedSettings) -> Change:
        """See :meth:`Changeable.take_over`."""
        ...


def settings_read_again(reread: Callable[[], LoadedSettings]) -> LoadedSettings | None:
    """The settings from the same sources; None, with every mistake in the log, when they cannot be used."""
    try:
        return reread()
    except SettingsError as error:
        for problem in error.problems:
            log.error("! settings: %s", problem)
        log.error("! the settings have %d mistakes: nothing was changed", len(error.problems))
    except Exception:
        log.exception("! the settings could not be read: nothing was changed")
    return None


async def reload(hub: Reloads, reread: Callable[[], LoadedSettings]) -> None:
    """Have a hub take over its settings from their sources; the log says what came of it. Never raises."""
    loaded = settings_read_again(reread)
    if loaded is None:
        return
    try:
        change = await hub.reload(loaded)
    except SettingsError as error:
        for problem in error.problems:
            log.error("! settings: %s", problem)
        log.error("! nothing was changed")
    except (EngineUnavailable, SchemaMismatch) as error:
        log.error("! the namespaces could not be changed, and nothing else was: %s", error)
    except Exception:
        log.exception("! the settings could not be taken over")
    else:
        log_change(change)


def log_change(change: Change) -> None:
    """Tell operators what is in force now, and what is not."""
    if change.applied:
        log.info("= settings in force from now on: %s", ", ".join(change.applied))
    if change.needs_restart:
        log.warning("! these settings changed but need a restart: %s", ", ".join(change.needs_restart))
    if not change.applied and not change.needs_restart:
        log.info("= no setting changed; files of keys were read again")
