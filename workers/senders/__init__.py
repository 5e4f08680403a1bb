"""Senders: one file a provider, all behind one small port."""
