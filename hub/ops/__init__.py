"""What operators look at: health. Knows the hub's condition, never its content."""

from hub.ops.health import HealthOptions, LoopWatch, Readiness, create_health

__all__ = ["HealthOptions", "LoopWatch", "Readiness", "create_health"]
