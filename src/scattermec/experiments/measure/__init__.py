"""Measurements: results of policies and allocations on frames, with their intervals."""
