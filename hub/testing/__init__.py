"""What our users test with: simulators of push providers. All comes as arguments; no settings are read."""
