"""Upper limits of counts in scenarios, in files and on the command line, beyond any sensible use.

They keep arrays within memory and prevent counters from overflowing.
"""

MOST_USERS = 256
MOST_ANTENNAS = 1024
MOST_FRAMES = 10**8
"""Frames of a rollout, an episode, or a training."""
MOST_EPISODE_FRAMES = 1000
"""Frames that are optimised together."""
MOST_EPISODES = 10_000
MOST_SCENARIOS = 10_000
MOST_STEPS = 10**8
"""Steps of training price-net."""
MOST_LAYERS = 16
MOST_WIDTH = 4096
"""Width of a layer."""
MOST_BATCH = 2**16
"""Transitions or frames per update."""
MOST_TRANSITIONS = 10**6
"""Transitions that an agent remembers."""
MOST_ROUNDS = 64
"""Rounds in which price-net's users exchange numbers."""
MOST_SAMPLES = 10_000
"""Samples of what the truth may be, per frame."""
MOST_SEEDS = 10_000
MOST_PROCESSES = 1024
MOST_JOBS = 100_000
"""Jobs of an array."""
MOST_SEED = 2**32 - 1
