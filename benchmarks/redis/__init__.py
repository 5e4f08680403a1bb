"""The hub on Redis, measured beside bare clients of the same Redis doing the same."""
