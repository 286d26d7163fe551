"""What is measured: numbers of policies and allocations on frames, with their intervals."""
