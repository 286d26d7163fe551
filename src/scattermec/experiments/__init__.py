"""Experiments: policies rolled out or compared on frames, and the statistics of their results."""
