"""Comparison of policies: on the same frames, over episodes, in unseen scenarios, with a coarse broadcast."""
