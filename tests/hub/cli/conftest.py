"""A real Redis for the commands that go to it themselves."""

from __future__ import annotations

from tests.support.shared_redis import shared_server

__all__ = ["shared_server"]
