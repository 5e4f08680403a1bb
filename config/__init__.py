"""Settings of the hub: typed, from files, environment and flags, with every mistake named at once.

Knows nothing of hub or workers; rooms get their own small option objects from the composition root.
"""

from config.loading import LoadedSettings, load_settings, profile_file, read_settings
from config.problems import Problem, SettingsError
from config.settings import Settings

__all__ = [
    "LoadedSettings",
    "Problem",
    "Settings",
    "SettingsError",
    "load_settings",
    "profile_file",
    "read_settings",
]
