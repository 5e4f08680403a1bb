"""Payload builders: from a push in no provider's words to a provider's message. Pure: no I/O, no clock."""
