"""A lower bound on the energy of an episode that holds even with perfect foresight.

Batteries couple frames: energy harvested in a good frame may be spent in a bad one. With channels and
arrivals known in advance, (10) over T frames with free beams is one convex problem if the beams may have any
rank (problem P2 of `scattermec.optimisation.beamforming`, T times), since batteries add linear inequalities:

    E[k+1] <= E[k] + harvested[k] - spent[k],    E[k+1] <= E_max - spent[k],    E[k+1] >= 0.

These are inequalities because energy may be spilled, which only makes the problem easier.

The optimum is found by a general-purpose solver (CVXPY with Clarabel, of the extra `bench`). The solver need
not be trusted: the bound is computed from its prices by weak duality, frame by frame as in
`scattermec.optimisation.bound`, and holds for any non-negative prices.
"""

import dataclasses
from dataclasses import dataclass
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from jaxtyping import Complex, Float

from scattermec._pytree import pytree
from scattermec.errors import InputError
from scattermec.optimisation import Prices, allocation_problem, best_beams, lower_bound
from scattermec.optimisation.conic import UsersPart, hermitian, solve
from scattermec.physics import Frame, Parameters, links, parameters_of
from scattermec.physics.energy import harvest_rate, idle_energy
from scattermec.physics.parameters import harvest_faults
from scattermec.scenario import Scenario

__all__ = ["Episode", "HorizonBound", "Plan", "bound_energy", "certified_energy", "check_scenario"]

TOLERANCE = 1e-9
"""Relative gap and infeasibility at which the solver stops."""

PURPOSE = "horizon"
"""What messages call it."""

LEAST_PRICE = 1e-12
"""Smallest price of energy, J per mJ: with free energy, the work that can be sent is unbounded."""


class Episode(NamedTuple):
    """Channels and arrivals of T frames, and the initial battery: independent of any decision."""

    channels: np.ndarray
    """(T, N, M) complex"""
    workload: np.ndarray
    """(T, N) arrivals in kbit"""
    battery: np.ndarray
    """(N,) mJ before the first frame"""


@pytree
class Plan:
    """The schedule of T frames."""

    t_active: Float[Array, "T N"]
    """s"""
    t_passive: Float[Array, "T N"]
    """s, total of all beams that share a slot"""
    l_active: Float[Array, "T N"]
    """kbit"""
    l_passive: Float[Array, "T N"]
    l_local: Float[Array, "T N"]
    shortfall: Float[Array, "T N"]
    """kbit of the workload left undone"""
    radiated: Float[Array, "T N"]
    """mJ, by active offloading"""
    harvested: Float[Array, "T N"]
    """mJ"""
    battery: Float[Array, "T N"]
    """mJ after the frame, after any spilling"""
    main_beam: Float[Array, "T N"]
    """share of the strongest beam in t_passive: 1 if there is only one"""


@dataclass(frozen=True)
class HorizonBound:
    """The clairvoyant optimum of an episode as found by the solver, and the bound that it proves."""

    bound: float
    """J: no policy needs less, see `bound_energy`; infinite if the solver finds the problem infeasible"""
    value: float
    """J: the solver's own optimum, with beams of any rank; infinite if infeasible"""
    plan: Plan | None
    """the solver's plan; None if infeasible"""

    @property
    def gap(self) -> float:
        """(value - bound) / value: the most by which the bound could be raised, relative to the value."""
        return (self.value - self.bound) / self.value if 0 < self.value < np.inf else 0.0


def check_scenario(scenario: Scenario) -> None:
    """Raise InputError if the problem over a horizon is not the convex one above."""
    faults = harvest_faults(scenario, "over a horizon")
    if faults:
        raise InputError(faults)


def bound_energy(
    scenario: Scenario, episode: Episode, *, elastic: bool = True, tolerance: float = TOLERANCE
) -> HorizonBound:
    """Lower bound on the cost of T frames under any policy, even with perfect foresight.

    Without ``elastic``, the cost is the total energy (7) of the AP in J, idle included, and the policy serves
    every user's fresh work in every frame.

    With ``elastic``, each kbit of unprocessed work adds ``shortfall_price``, and the policy drops unprocessed
    work (``backlog_cap`` 0); it may be credited for parts of a workload. Beams must keep within their slots,
    including those of users in outage. The bound does not allow for a frame's tolerance of 1e-6 per
    constraint.

    Raises InputError for a scenario that does not fit, an episode with impossible numbers, JAX in single
    precision, or if the solver is not installed.
    """
    check_scenario(scenario)
    channels, workload, battery = map(np.asarray, episode)
    episode = Episode(channels.astype(complex), workload.astype(float), battery.astype(float))
    _check_episode(scenario, episode)
    parameters = parameters_of(scenario)
    relaxation = _Relaxation(parameters, episode, elastic)
    if not relaxation.solve(tolerance):
        return HorizonBound(bound=np.inf, value=np.inf, plan=None)
    prices = relaxation.prices()
    if elastic:
        capped = jnp.minimum(prices.workload, parameters.shortfall_price)
        prices = dataclasses.replace(prices, workload=capped)
    bound = certified_energy(parameters, *map(jnp.asarray, episode), prices)
    return HorizonBound(bound=float(bound), value=relaxation.value, plan=relaxation.plan())


@jax.jit
def certified_energy(
    parameters: Parameters,
    channels: Complex[Array, "T N M"],
    workload: Float[Array, "T N"],
    battery: Float[Array, " N"],
    prices: Prices,
) -> Float[Array, ""]:
    """Lower bound in J on the energy of T frames, from ANY non-negative prices, (T, N) each (weak duality).

    The prices are those of (3), of the battery's balance, E[k+1] <= E[k] + harvested - spent, and of its
    capacity, E[k+1] <= E_max - spent. If no price of (3) exceeds the shortfall's price, the bound also holds
    for the energy plus the priced shortfall.

    Given the prices, frames are independent: each contributes at least its own bound with an empty battery.
    The rest of the Lagrangian is linear in the batteries, -budget[k] E[k] + (budget[k-1] + capacity[k-1])
    E[k], with E[0] given and 0 <= E[k] <= E_max.
    """
    p = parameters
    users = workload.shape[1]
    harvest = harvest_rate(p, jnp.ones((users, users), workload.dtype))

    def of_frame(
        channels: Complex[Array, "N M"], workload: Float[Array, " N"], prices: Prices
    ) -> Float[Array, ""]:
        # Bound with a full battery, so that no user counts as without energy; its value is added back.
        frame = Frame(channels=channels, workload=workload, battery=p.battery_capacity)
        problem = allocation_problem(p, frame, links.maximum_ratio_beams(channels))
        gain = links.channel_gain(channels)
        work_worth = jnp.maximum(prices.workload - p.mec_energy, 0) * p.bandwidth / jnp.log(2.0)
        worth = best_beams(
            channels,
            (harvest * prices.budget[:, None]).T,
            jnp.where(workload > 0, work_worth, 0),
            links.reflected_snr(p, gain, jnp.ones_like(gain)),
        )[1]
        return lower_bound(problem, prices, worth) + jnp.sum(prices.budget * p.battery_capacity)

    frames = jax.vmap(of_frame)(channels, workload, prices)
    first = jnp.sum(prices.budget[0] * jnp.minimum(battery, p.battery_capacity))
    kept = prices.budget[:-1] + prices.capacity[:-1] - prices.budget[1:]
    bound = jnp.sum(frames) - first + jnp.sum(jnp.minimum(kept, 0) * p.battery_capacity)
    return jnp.maximum(bound, len(workload) * idle_energy(p))


def _check_episode(scenario: Scenario, episode: Episode) -> None:
    channels, workload, battery = episode
    users, antennas = scenario.num_users, scenario.num_antennas
    faults = []
    if not jax.config.read("jax_enable_x64"):
        faults.append("jax_enable_x64: false is not allowed over a horizon; it must be true")
    if channels.ndim != 3 or channels.shape[1:] != (users, antennas) or not len(channels):
        faults.append(
            f"channels: the shape {channels.shape} is not allowed; it must be (T, {users}, {antennas})"
        )
    if workload.shape != channels.shape[:2]:
        faults.append(f"workload: the shape {workload.shape} is not allowed; it must be {channels.shape[:2]}")
    if battery.shape != (users,):
        faults.append(f"battery: the shape {battery.shape} is not allowed; it must be ({users},)")
    for name, values in (("channels", channels), ("workload", workload), ("battery", battery)):
        if not np.isfinite(values).all() or (name != "channels" and (values < 0).any()):
            faults.append(f"{name}: a value is not allowed; all must be finite and none negative")
    if faults:
        raise InputError(faults)


class _Relaxation:
    """The problem in CVXPY. Variables and constraints run over T N slots, frame by frame.

    Beams are of any rank, as in `scattermec.optimisation.conic`, in whose units all energies are.
    """

    def __init__(self, parameters: Parameters, episode: Episode, elastic: bool) -> None:
        p = self.parameters = jax.device_get(parameters)
        self.users = users_part = UsersPart(PURPOSE, p, episode.channels)
        cp = users_part.solver
        self.shape = frames, users = episode.workload.shape
        slots = frames * users
        t_b, received, harvested = self._beams(*episode.channels.shape)
        after = cp.Variable(slots, nonneg=True)
        self.variables = users_part.variables | {"t_passive": t_b, "harvested": harvested, "battery": after}
        begin = np.minimum(episode.battery, p.battery_capacity) / users_part.unit
        before = cp.hstack([begin, after[: slots - users]]) if frames > 1 else begin
        # The constraints whose prices are needed.
        self.priced = [
            users_part.done >= episode.workload.ravel(),
            after <= before + harvested - users_part.demand,
            after <= users_part.capacity - users_part.demand,
        ]
        short = self.variables["shortfall"]
        constraints = [*self.priced, *users_part.constraints(t_b, received)]
        if not elastic:
            constraints.append(short == 0)
        cost = (p.ap_power + p.passive_receive_power) * cp.sum(t_b) + users_part.receiving
        cost += p.shortfall_price * cp.sum(short)
        self.idle = frames * float(p.idle_power * p.slot_duration.sum())
        self.problem = cp.Problem(cp.Minimize(cost), constraints)

    def _beams(self, frames: int, users: int, antennas: int) -> tuple[Any, Any, Any]:
        """Time, relative reflected SNR and harvest of each slot, linear in its matrix."""
        part = self.users
        times, received, harvested = [], [], []
        self.matrices = []
        for k in range(frames):
            gathered = 0
            for i in range(users):
                matrix, vector, time = part.beam(antennas)
                self.matrices.append(matrix)
                others = (np.arange(users) != i) * part.harvest
                times.append(time)
                received.append((part.reflection[k, i] * part.matrices[k, i]) @ vector)
                gathered = gathered + (others[:, None] * part.matrices[k]) @ vector
            harvested.append(gathered)
        hstack = part.solver.hstack
        return hstack(times), hstack(received), hstack(harvested)

    def solve(self, tolerance: float) -> bool:
        """Whether there is a solution; an inaccurate one still gives a valid bound, whose gap shows it."""
        return solve(self.problem, PURPOSE, tolerance)

    @property
    def value(self) -> float:
        """J, idle included."""
        return float(self.problem.value) + self.idle

    def prices(self) -> Prices:
        """Prices in J per kbit and J per mJ, (T, N) each."""
        work, budget, capacity = (np.maximum(part.dual_value, 0).reshape(self.shape) for part in self.priced)
        budget, capacity = (np.maximum(part / self.users.unit, LEAST_PRICE) for part in (budget, capacity))
        return Prices(workload=jnp.asarray(work), budget=jnp.asarray(budget), capacity=jnp.asarray(capacity))

    def plan(self) -> Plan:
        """Plan of the solution, in natural units."""
        values = {name: np.asarray(part.value).reshape(self.shape) for name, part in self.variables.items()}
        for name in ("radiated", "harvested", "battery"):
            values[name] = values[name] * self.users.unit
        values["main_beam"] = self._main_beams().reshape(self.shape)
        return Plan(**{field.name: jnp.maximum(values[field.name], 0) for field in dataclasses.fields(Plan)})

    def _main_beams(self) -> np.ndarray:
        beams = hermitian(np.stack([matrix.value for matrix in self.matrices]))
        sizes = np.linalg.eigvalsh(beams)
        total = sizes.sum(axis=-1)
        return np.where(total > 0, sizes[:, -1] / np.where(total > 0, total, 1), 1)
