"""Delivery: one notification, one way to each phone. The pure rules of inbox, devices and debts.

Knows no engine, no clock and no provider: time is always an argument, in unix milliseconds.
"""
