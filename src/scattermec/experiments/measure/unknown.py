"""An upper bound on the mean reward of any policy that knows a frame only in part.

The access point chooses its beams and their times knowing what it sees, s. The truth is random given s. For
the bound, two things are given away:

- The AP is told everything about the truth except one number per user, z_i: the strength ||h_i|| of its
  channel (its direction is told), or its workload. The z_i are independent given what the AP knows.
- The users know the truth, and do what is best for the reward.

More knowledge never hurts, so the best reward of this easier problem bounds every policy. What makes it
easier is order: if a user can finish its work with some beams, it can also with a stronger channel, or with
less work, whatever the beams are. So beams matter only through thresholds r_i: user i is able to finish if
z_i is at least as good as r_i. Let B(r) be the least energy of beaming with which all users are able at r,
and Q_m(S, z) the least energy of serving the users S at a known z if receiving costs m times as much, idle
energy included in both. Then, for beams with the thresholds r and able users S that are served at z:

1. The probability that exactly a set of users is able is a product of probabilities of single users.
2. energy >= (1 - 1/m) B(r) + Q_m(S, z) / m for every m >= 1. For energy = b + c, beaming with idle energy and
   receiving, b >= B(r) and b + m c >= Q_m(S, z); add (1 - 1/m) of the first to 1/m of the second.
3. B and Q_m are values of problem P2, so its certified lower bounds serve; they fall as r or z improve.

The numbers are sorted into cells, and a user in a cell counts as good as the best point of the cell. The best
thresholds are searched for in boxes: with the highest probabilities and the least energy of a box, its reward
is never underestimated, and the boxes with the largest values are halved. At any time the largest value
bounds all thresholds. If everything is known, m = 1 gives the certified optimum of the best set of users.

Where users only follow a plan that was made before the truth is known, its energy is known, too: it is at
least that of P2 at r, so this takes the place of 2.

The bound holds up to what the numbers leave out: a frame's tolerance of 1e-6 per constraint, the same part of
the energy for receiving in B, and strengths more than 8 standard deviations away.
"""

import dataclasses
import itertools
from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from jaxtyping import Bool, Complex, Float, Int

from scattermec.optimisation import optimise_beams
from scattermec.physics import Frame, Parameters
from scattermec.physics.energy import idle_energy

NUM_CELLS = 32
"""Cells of a user's number."""

LOWEST, HIGHEST = -3.2, 1.2
"""Quantiles between which the cells are even, as those of a normal distribution: thresholds are in the worse
half, the best cell holds the rest."""

GROUPS = (0.1, 0.35, 0.65, 0.9, 0.99)
"""Quantiles that separate the groups of cells by which the frame's own need, Q, is distinguished."""

RECEIVING = (1.0, 1.4, 2.2)
"""Values of m; 1 is the bound without regard to thresholds."""

FREE = 1e-6
"""Factor on the costs of receiving for B: small enough to be nothing, and the prices stay positive."""

ROUNDS, BOXES = 8, 8
"""Rounds of halving boxes, and boxes halved per frame and round."""

BLOCK = 512
"""Problems solved at once."""


class Cells(NamedTuple):
    """Sorted values of what the AP does not know in K frames of N users, from the worst cell to the best."""

    probability: Float[np.ndarray, "K C N"]
    strength: Float[np.ndarray, "K C N"]
    """||h|| at the best point of the cell"""
    lightest: Float[np.ndarray, "K C N"]
    """kbit, the least work in the cell"""
    heaviest: Float[np.ndarray, "K C N"]
    """kbit, the most"""
    mean: Float[np.ndarray, "K C N"]
    """kbit, the mean"""


def quantiles() -> Float[np.ndarray, " C"]:
    """Upper quantile of each cell."""
    from scipy import stats  # takes a second to import

    return np.append(stats.norm.cdf(np.linspace(LOWEST, HIGHEST, NUM_CELLS - 1)), 1.0)


def cells_of_density(
    grid: Float[np.ndarray, "G K N"],
    log_density: Float[np.ndarray, "G K N"],
    workload: Float[np.ndarray, "K N"],
) -> Cells:
    """Cells of the channel's strength, from its density on an even grid that covers all of it."""
    shares = np.exp(log_density - log_density.max(axis=0))
    total = np.cumsum(shares, axis=0)
    total /= total[-1]
    _, frames, users = grid.shape
    # Every point of the grid belongs to the first cell whose quantile it does not exceed.
    cell = np.minimum(np.searchsorted(quantiles(), total.ravel() - 1e-12), NUM_CELLS - 1).reshape(total.shape)
    cell[-1] = NUM_CELLS - 1
    probability = np.zeros((NUM_CELLS, frames, users))
    strength = np.zeros((NUM_CELLS, frames, users))
    mass = np.diff(total, axis=0, prepend=0)
    for c in range(NUM_CELLS):
        inside = cell == c
        probability[c] = np.where(inside, mass, 0).sum(axis=0)
        # An empty cell is as strong as the one before, and has no probability.
        strength[c] = np.maximum(np.where(inside, grid, 0).max(axis=0), strength[c - 1] if c else 0)
    strength = np.where(strength > 0, strength, grid[0])
    work = np.broadcast_to(workload[:, None], (frames, NUM_CELLS, users))
    first, second = probability.transpose(1, 0, 2), strength.transpose(1, 0, 2)
    return Cells(first, second, work, work, work)


def cells_of_outcomes(
    work: Float[np.ndarray, "L K N"],
    log_weight: Float[np.ndarray, "L K N"],
    strength: Float[np.ndarray, "K N"],
) -> Cells:
    """Cells of the workload, from its outcomes in ascending order and their log probabilities."""
    shares = np.exp(log_weight - log_weight.max(axis=0))[::-1]
    mass = shares / shares.sum(axis=0)
    falling = work[::-1]
    total = np.cumsum(mass, axis=0)
    cell = np.minimum(np.searchsorted(quantiles(), total.ravel() - 1e-12), NUM_CELLS - 1).reshape(total.shape)
    possible = mass > 0
    parts = []
    for c in range(NUM_CELLS):
        inside = (cell == c) & possible
        chance = np.where(inside, mass, 0).sum(axis=0)
        light = np.where(inside, falling, np.inf).min(axis=0)
        heavy = np.where(inside, falling, 0).max(axis=0)
        mean = np.where(inside, mass * falling, 0).sum(axis=0) / np.where(chance > 0, chance, 1)
        parts.append((chance, light, heavy, mean))
    probability, lightest, heaviest, mean = (np.stack(part, axis=1) for part in zip(*parts, strict=True))
    # An empty cell is as light as the next heavier one.
    worst = np.where(possible, falling, 0).max(axis=0)[:, None]
    lightest = np.minimum.accumulate(np.minimum(lightest, worst), axis=1)
    shape = (len(strength), NUM_CELLS, strength.shape[1])
    return Cells(probability, np.broadcast_to(strength[:, None], shape), lightest, heaviest, mean)


def bound_rewards(
    parameters: Parameters,
    directions: Complex[np.ndarray, "K N M"],
    battery: Float[np.ndarray, "K N"],
    cells: Cells,
    *,
    repair: bool = True,
    progress: Callable[[int, int], None] | None = None,
) -> Float[np.ndarray, " K"]:
    """Upper bound in kbit/J on the expected reward (11) of each frame, for all beams and allocations.

    Args:
        parameters: the scenario's constants; the rectifier must be linear.
        directions: h / ||h||, which the AP is told.
        battery: mJ.
        cells: what it is not told.
        repair: whether users decide when they know the truth; else they follow a plan made without.
        progress: called after every round with the number of rounds done and the total.
    """
    search = _Search(parameters, directions, battery, cells, repair)
    for done in range(ROUNDS):
        if not search.halve():
            break
        if progress is not None:
            progress(done + 1, ROUNDS)
    return search.bounds


class _Search:
    """Boxes of thresholds (lo, hi) of each frame: cell numbers, `NUM_CELLS` for a user that is never able."""

    def __init__(
        self,
        parameters: Parameters,
        directions: Complex[np.ndarray, "K N M"],
        battery: Float[np.ndarray, "K N"],
        cells: Cells,
        repair: bool,
    ) -> None:
        self.parameters, self.directions, self.battery, self.cells = parameters, directions, battery, cells
        self.repair = repair
        frames, users = battery.shape
        quantile = np.cumsum(cells.probability, axis=1)
        edges = np.array([*GROUPS, 1.0])
        self.group = np.minimum(np.searchsorted(edges, quantile.ravel() - 1e-9), len(GROUPS)).reshape(
            quantile.shape
        )
        self.group[:, -1] = len(GROUPS)
        self.states = np.array(list(itertools.product(range(len(GROUPS) + 2), repeat=users)))
        """of the users: able and in a group, or, as the last number, unable"""
        self.needs = self._needs() if repair else None
        # A box either leaves a user out or has all thresholds for it.
        never = np.array(list(itertools.product((False, True), repeat=users)))
        first, last = np.where(never, NUM_CELLS, 0), np.where(never, NUM_CELLS, NUM_CELLS - 1)
        self.low, self.high = (np.broadcast_to(ends, (frames, *ends.shape)) for ends in (first, last))
        self.values = self._values(self.low, self.high)

    @property
    def bounds(self) -> Float[np.ndarray, " K"]:
        """Bound in kbit/J on the expected reward of each frame."""
        return self.values.max(axis=1)

    def halve(self) -> bool:
        """Halve the most promising boxes of every frame; false if none of them can be."""
        frames, _, users = self.low.shape
        single = (self.low == self.high).all(axis=2)
        # Only boxes above the best that is settled can matter.
        open_values = np.where(single, -np.inf, self.values)
        settled = np.where(single, self.values, 0).max(axis=1, keepdims=True)
        open_values = np.where(open_values > settled, open_values, -np.inf)
        if not np.isfinite(open_values).any():
            return False
        chosen = np.argsort(-open_values, axis=1)[:, :BOXES]
        rows = np.arange(frames)[:, None]
        useful = np.isfinite(open_values[rows, chosen])
        low, high = self.low[rows, chosen], self.high[rows, chosen]
        middle = (low + high) // 2
        halves = np.array(list(itertools.product((False, True), repeat=users)))
        upper = halves[None, None]
        low_new = np.where(upper, np.minimum(middle + 1, high)[:, :, None], low[:, :, None])
        high_new = np.where(upper, high[:, :, None], middle[:, :, None])
        # A side of one cell has no upper half.
        twin = (upper & (low == high)[:, :, None]).any(axis=3)
        low_new, high_new = (part.reshape(frames, -1, users) for part in (low_new, high_new))
        valid = (useful[:, :, None] & ~twin).reshape(frames, -1)
        values = np.where(valid, self._values(low_new, high_new, valid), -np.inf)
        kept = self.values.copy()
        kept[rows, chosen] = np.where(useful, -np.inf, kept[rows, chosen])
        self.low, self.high = (
            np.concatenate([old, new], axis=1) for old, new in ((self.low, low_new), (self.high, high_new))
        )
        self.values = np.concatenate([kept, values], axis=1)
        return True

    def _values(
        self,
        low: Int[np.ndarray, "K B N"],
        high: Int[np.ndarray, "K B N"],
        wanted: Bool[np.ndarray, "K B"] | None = None,
    ) -> Float[np.ndarray, "K B"]:
        """Upper bound on the expected reward of all thresholds in each box."""
        wanted = np.ones(low.shape[:2], bool) if wanted is None else wanted
        factor = FREE if self.repair else 1.0
        planned = np.full(wanted.shape, np.inf)
        rows = np.broadcast_to(np.arange(len(low))[:, None], wanted.shape)
        planned[wanted] = self._energies(factor, rows[wanted], high[wanted])
        value = self._worth(planned)
        chance, work = self._chances(low)
        return np.where(np.isfinite(planned), np.sum(chance * work * value, axis=2), 0)

    def _worth(self, planned: Float[np.ndarray, "K B"]) -> Float[np.ndarray, "K B X"]:
        """Upper bound in 1/J on the reward per kbit of the able users' work, in each state of the users."""
        unable = len(GROUPS) + 1
        able = self.states < unable
        share = able.mean(axis=1) ** float(self.parameters.reliability_weight)
        if self.needs is None:
            return share / planned[:, :, None]
        least = np.full((*planned.shape, len(self.states)), -np.inf)
        for m, need in zip(RECEIVING, self.needs, strict=True):
            kept = np.where(np.isfinite(planned), planned, 0) if m > 1 else np.zeros_like(planned)
            least = np.maximum(least, (1 - 1 / m) * kept[:, :, None] + need[:, None] / m)
        worth = share / least
        # Users may be left out although they are able.
        sides = (unable + 1,) * able.shape[1]
        best = worth.reshape(*planned.shape, *sides)
        light, heavy = self._work_in_groups()
        for user in range(len(sides)):
            left = np.take(best, [unable], axis=2 + user)
            best = np.maximum(best, left * self._kept_share(light, heavy, user, sides))
        return best.reshape(worth.shape)

    def _kept_share(
        self, light: np.ndarray, heavy: np.ndarray, user: int, sides: tuple[int, ...]
    ) -> Float[np.ndarray, "K 1 ..."]:
        """The most that is left of the able users' work without ``user``, as a part, in each state."""
        rows = np.arange(len(light))[:, None, None]
        users = np.arange(self.states.shape[1])
        others = users != user
        rest = np.sum(heavy[rows, self.states[None], users[None, None]] * others, axis=2)
        own = light[rows[:, :, 0], self.states[None, :, user], user]
        part = np.where(rest > 0, rest / np.where(rest + own > 0, rest + own, 1), 0)
        return part.reshape(len(light), 1, *sides)

    def _work_in_groups(self) -> tuple[Float[np.ndarray, "K G N"], Float[np.ndarray, "K G N"]]:
        """Least and most work in each group, and 0 for users that are unable."""
        light, heavy = [], []
        for group in range(len(GROUPS) + 1):
            inside = (self.group == group) & (self.cells.probability > 0)
            least = np.where(inside, self.cells.lightest, np.inf).min(axis=1)
            light.append(np.where(np.isfinite(least), least, 0))
            heavy.append(np.where(inside, self.cells.heaviest, 0).max(axis=1))
        nothing = np.zeros_like(light[0])
        return np.stack([*light, nothing], axis=1), np.stack([*heavy, nothing], axis=1)

    def _chances(
        self, low: Int[np.ndarray, "K B N"]
    ) -> tuple[Float[np.ndarray, "K B X"], Float[np.ndarray, "K B X"]]:
        """Probability of each state of the users, and the mean work in kbit of those able in it."""
        p = self.cells.probability
        chances: list[np.ndarray] = []
        works: list[np.ndarray] = []
        for group in range(len(GROUPS) + 1):
            inside = np.where(self.group == group, p, 0)
            for parts, amounts in ((inside, chances), (inside * self.cells.mean, works)):
                # From the threshold to the best cell.
                behind = np.cumsum(parts[:, ::-1], axis=1)[:, ::-1]
                behind = np.concatenate([behind, np.zeros_like(behind[:, :1])], axis=1)
                amounts.append(np.take_along_axis(behind, low, axis=1))
        unable = np.maximum(1 - sum(chances), 0)
        chance = np.stack([*chances, unable], axis=3)
        work = np.stack([*works, 0 * unable], axis=3)
        mean = work / np.where(chance > 0, chance, 1)
        users = np.arange(self.states.shape[1])
        picked = chance[:, :, users, self.states], mean[:, :, users, self.states]
        return np.prod(picked[0], axis=3), np.sum(picked[1], axis=3)

    def _needs(self) -> list[Float[np.ndarray, "K X"]]:
        """Q_m: least energy in J of serving the able users of each state, at the best point of its group."""
        last = [
            np.where(self.group == group, np.arange(NUM_CELLS)[:, None], -1).max(axis=1)
            for group in range(len(GROUPS) + 1)
        ]
        # A group without cells has no probability; the best cell stands in.
        last = [np.where(cell < 0, NUM_CELLS - 1, cell) for cell in last]
        best = np.stack([*last, np.full_like(last[0], NUM_CELLS)], axis=1)
        frames, users = self.battery.shape
        index = best[:, self.states, np.arange(users)]
        rows = np.repeat(np.arange(frames), len(self.states))
        flat = index.reshape(-1, users)
        return [self._energies(m, rows, flat).reshape(frames, -1) for m in RECEIVING]

    def _energies(
        self, receiving: float, rows: Int[np.ndarray, " Q"], index: Int[np.ndarray, "Q N"]
    ) -> Float[np.ndarray, " Q"]:
        """Certified lower bound in J on the energy of serving users in these cells, if receiving costs more.

        Infinite if that is impossible; `NUM_CELLS` leaves a user out.
        """
        served = index < NUM_CELLS
        inside = np.minimum(index, NUM_CELLS - 1)
        users = np.arange(index.shape[1])
        strength = self.cells.strength[rows[:, None], inside, users]
        frames = Frame(
            channels=self.directions[rows] * strength[:, :, None],
            workload=self.cells.lightest[rows[:, None], inside, users],
            battery=self.battery[rows],
        )
        costs = dataclasses.replace(
            self.parameters,
            active_receive_power=self.parameters.active_receive_power * receiving,
            mec_energy=self.parameters.mec_energy * receiving,
        )
        found = np.empty(len(rows))
        for start in range(0, len(rows), BLOCK):
            chosen = np.minimum(np.arange(start, start + BLOCK), len(rows) - 1)
            block = jax.tree.map(lambda leaf, i=chosen: leaf[i], frames)
            bounds = np.asarray(_lower_bounds(costs, block, served[chosen]))
            found[start : start + BLOCK] = bounds[: len(rows) - start]
        idle = float(idle_energy(self.parameters))
        found = np.where(np.isnan(found), idle, np.maximum(found, idle))
        return np.where(served.any(axis=1), found, idle)


@jax.jit
def _lower_bounds(parameters: Parameters, frames: Frame, served: Bool[Array, "Q N"]) -> Float[Array, " Q"]:
    def bound(frame: Frame, served: Bool[Array, " N"]) -> Array:
        return optimise_beams(parameters, frame, served=served).lower_bound

    return jax.vmap(bound)(jax.tree.map(jnp.asarray, frames), served)
