"""The rules of one connection, without I/O or clock: what is legal, and what a resume gives back."""

from hub.session.machine import Close, Decision, Ignore, Pong, Refuse, Serve, Session, State
from hub.session.recovery import (
    WANTED_FOR_CACHE,
    Gap,
    Recovered,
    catch_up,
    is_beyond,
    may_be_missing,
    recover,
    recover_cache,
    wanted_for_stream,
)

__all__ = [
    "WANTED_FOR_CACHE",
    "Close",
    "Decision",
    "Gap",
    "Ignore",
    "Pong",
    "Recovered",
    "Refuse",
    "Serve",
    "Session",
    "State",
    "catch_up",
    "is_beyond",
    "may_be_missing",
    "recover",
    "recover_cache",
    "wanted_for_stream",
]
