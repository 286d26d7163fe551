"""The most that counts may be, in scenarios, in files and on the command line: beyond is no sensible wish.

They keep arrays within memory, and counters within what holds them.
"""

MOST_USERS = 256
MOST_ANTENNAS = 1024
MOST_FRAMES = 10**8
"""Of a rollout, an episode, or a training."""
MOST_EPISODE_FRAMES = 1000
"""That are optimised together."""
MOST_EPISODES = 10_000
MOST_SCENARIOS = 10_000
MOST_STEPS = 10**8
"""Of training price-net."""
MOST_LAYERS = 16
MOST_WIDTH = 4096
"""Of a layer."""
MOST_BATCH = 2**16
"""Transitions or frames that an update sees."""
MOST_TRANSITIONS = 10**6
"""That an agent remembers."""
MOST_ROUNDS = 64
"""In which price-net's users exchange numbers."""
MOST_SEEDS = 10_000
MOST_PROCESSES = 1024
MOST_SEED = 2**32 - 1
