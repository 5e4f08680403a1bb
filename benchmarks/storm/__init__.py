"""Clients that lose their hub at once, and resume on the others."""
