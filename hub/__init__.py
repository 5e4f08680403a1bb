"""A realtime WebSocket hub that falls back to push. Start it with ``hub serve``; see README.md."""

__version__ = "0.1.0"
