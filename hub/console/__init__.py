"""The console: a page for operators, and the little that the server API does not tell it.

Plain files without a build step, nothing of any other host. What it shows and does goes through the
server API with the key that its user types; only live rates and the watching of a channel are its own.
"""

from hub.console.app import Console, ConsoleOptions

__all__ = ["Console", "ConsoleOptions"]
