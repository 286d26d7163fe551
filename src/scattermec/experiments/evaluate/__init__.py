"""Policies compared: on the same frames, over episodes, in unseen scenarios, and under a coarse broadcast."""
