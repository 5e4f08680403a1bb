"""Looks at everything a hub depends on before it does, and says what to do about what it finds.

Changes nothing anywhere. Put together from the settings like the hub itself, so it may know every room.
"""
