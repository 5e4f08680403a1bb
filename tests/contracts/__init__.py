"""What every engine promises, whatever it is made of: one set of cases, a factory for each engine."""
