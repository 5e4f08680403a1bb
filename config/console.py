"""The console: a page for operators."""

from __future__ import annotations

from pydantic import Field

from config.section import Section


class ConsoleSettings(Section):
    """The page `/console`. On the internal port, where there is one; what it shows needs an API key \
with the scope `admin`."""

    enabled: bool = False
    """Serve it."""
    public: bool = False
    """Without an internal port: give the page to everybody who asks for it. Otherwise it is there only for \
browsers on this machine, and for requests that bring the key, as a proxy may add it."""
    max_watches: int = Field(default=20, ge=0)
    """Pages that watch a channel live at the same time, in one process."""
