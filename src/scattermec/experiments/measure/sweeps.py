"""Sweeps of one constant over independent frames: results of the exact allocation at each of its values.

Every value and every scheme meets the same seeded fading and batteries (common random numbers), so that
differences between them are not due to chance. Work arrives at the rate that the value asks for.
"""

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from jaxtyping import Complex, Float, Int

from scattermec.experiments.measure import limits
from scattermec.experiments.measure.beams import Beams, SolvedFrames, allocate_for, solve_frames
from scattermec.experiments.measure.statistics import Estimate, mean_interval, ratio_interval
from scattermec.optimisation import INFEASIBLE, OPTIMAL, SCHEMES, Scheme, Solution, is_feasible
from scattermec.physics import Frame, Parameters, channel, parameters_of, run_frame
from scattermec.physics.channel import Key
from scattermec.physics.parameters import weaker_by
from scattermec.physics.rewards import energy_efficiency
from scattermec.scenario import Scenario

Swept = Literal["ap_power", "mean_workload", "distance"]


def regime(scenario: Scenario) -> str:
    """The frames that a sweep averages over, in words."""
    otherwise = (
        "the set of users that maximises the AP's reward"
        if scenario.partial_service
        else "nobody, as problem (10) has no solution there"
    )
    return (
        "independent frames: each starts from a battery drawn anew from the scenario's initial_battery and "
        f"from fresh work without backlog; everyone is served where that is possible, else {otherwise}"
    )


@dataclass(frozen=True)
class Sweep:
    """One constant that varies, over the range that a scenario gives for it (`ap_power_sweep` and others)."""

    name: Swept
    label: str
    unit: str
    logarithmic: bool
    points: int
    quick_points: int
    schemes: tuple[Scheme, ...]
    figures: tuple[str, ...]
    """the figures that it supplies: the paper's, and the comparison of beams"""

    def count(self, quick: bool = False) -> int:
        """Number of values."""
        return self.quick_points if quick else self.points

    def values(self, scenario: Scenario, quick: bool = False) -> tuple[float, ...]:
        """The constant's values, rounded to four digits so that tables stay readable."""
        low, high = getattr(scenario, f"{self.name}_sweep")
        space = np.geomspace if self.logarithmic else np.linspace
        points = space(low, high, self.count(quick))
        return tuple(float(f"{value:.4g}") for value in points)


# In the default scenario, the first and the last sweep contain its own value.
SWEEPS: dict[Swept, Sweep] = {
    "ap_power": Sweep(
        name="ap_power",
        label="AP transmit power",
        unit="W",
        logarithmic=True,
        points=13,
        quick_points=7,
        schemes=("hybrid",),
        figures=("3a",),
    ),
    "mean_workload": Sweep(
        name="mean_workload",
        label="Mean workload of a user and frame",
        unit="kbit",
        logarithmic=False,
        points=12,
        quick_points=6,
        schemes=("hybrid",),
        figures=("3b",),
    ),
    "distance": Sweep(
        name="distance",
        label="Distance of all users, relative to the scenario",
        unit="",
        logarithmic=True,
        points=13,
        quick_points=7,
        schemes=SCHEMES,
        figures=("4a", "4b", "beams"),
    ),
}

FIGURES = tuple(figure for sweep in SWEEPS.values() for figure in sweep.figures)
"""The figures that can be drawn: the paper's, and "beams", which is ours."""

COMPARED_BEAMS: tuple[Beams, ...] = ("mrt", "random", "optimal")
"""The beams in the figure "beams"."""


Values = dict[Scheme, dict[str, np.ndarray]]
"""Contribution of each frame to each scheme's numbers, (K,) each."""


def sweep_of(figure: str) -> Sweep:
    """The sweep that supplies a figure; raises ValueError for an unknown one."""
    for sweep in SWEEPS.values():
        if figure in sweep.figures:
            return sweep
    raise ValueError(f"figure: {figure!r} is not known; choose from {', '.join(FIGURES)}")


@dataclass(frozen=True)
class Metric:
    """A number reported for a scheme at one value of the swept constant."""

    unit: str
    meaning: str


METRICS: dict[str, Metric] = {
    "active_share": Metric("", "part of the processed work that is offloaded actively"),
    "passive_share": Metric("", "part of the processed work that is offloaded passively"),
    "local_share": Metric("", "part of the processed work that is computed locally"),
    "t_active": Metric("s", "active offloading per user and frame"),
    "t_passive": Metric("s", "beaming (passive offloading or energy alone) per user and frame"),
    "t_local": Metric("s", "local computing per user and frame"),
    "energy_efficiency": Metric("kbit/J", "all processed work over all energy of AP and server"),
    "frame_efficiency": Metric(
        "kbit/J", "processed work over energy of each frame, the second term of (11); its mean over frames"
    ),
    "reward": Metric("kbit/J", "the AP's reward (11)"),
    "outage": Metric("", "part of the users whose work is not processed"),
    "processed": Metric("kbit", "processed work per frame"),
    "ap_energy": Metric("J", "energy of AP and server per frame (7), idle energy included"),
    "user_energy": Metric("mJ", "energy spent per user and frame"),
    "harvested": Metric("mJ", "energy harvested per user and frame"),
    "battery_used": Metric("mJ", "stored energy at the start less that at the end, per user and frame"),
    "gap": Metric(
        "",
        "energy above its certified lower bound, relative to the energy: the bound of all allocations, and "
        "with optimal beams of all beams, that serve the same users",
    ),
    "not_converged": Metric("", "part of the frames that the solver could not settle"),
}

RELATIVE_METRICS: dict[str, Metric] = {
    "relative_energy": Metric(
        "", "AP energy over that of MEC-disabled, on the frames where every scheme serves everyone"
    ),
}
"""Reported if MEC-disabled is among the schemes. For the same work on the same frames this is also the
inverse ratio of the energy efficiencies."""

LIMIT_METRICS: dict[str, Metric] = {
    "efficiency_limit": Metric(
        "kbit/J",
        "energy efficiency that no beams, allocation and choice of users can exceed on these frames if they "
        "serve as many users (certified)",
    ),
    "energy_over_bound": Metric(
        "",
        "AP energy over what it takes at least with any beams (certified), on the frames where these beams "
        "serve everyone",
    ),
}
"""Reported for the hybrid scheme where beams are compared. NaN if the rectifier is not linear, and for more
than 6 users."""

ALL_METRICS = METRICS | RELATIVE_METRICS | LIMIT_METRICS


def metrics_of(sweep: Sweep, scheme: Scheme) -> tuple[str, ...]:
    """Names of the metrics reported for a scheme of a sweep."""
    names = tuple(METRICS)
    if "local" in sweep.schemes:
        names += tuple(RELATIVE_METRICS)
    if "beams" in sweep.figures and scheme == "hybrid":
        names += tuple(LIMIT_METRICS)
    return names


@dataclass(frozen=True)
class Measurement:
    """One number of one scheme at one value of the swept constant, with its 95% interval."""

    swept: str
    value: float
    scheme: str
    beams: str
    metric: str
    unit: str
    mean: float
    low: float
    high: float
    frames: int
    """number of frames it was measured on"""
    seed: int


def measure_point(
    scenario: Scenario,
    sweep: Sweep,
    value: float,
    *,
    frames: int,
    seed: int,
    beams: Sequence[Beams] = ("mrt",),
    on_scheme: Callable[[Scheme], None] = lambda scheme: None,
) -> list[Measurement]:
    """Solve one point of a sweep for each kind of beams and each of its schemes, on the same frames.

    Calls ``on_scheme`` after each scheme of each kind of beams.
    """
    parameters = parameters_at(parameters_of(scenario), sweep.name, value)
    drawn = draw_frames(parameters, frames=frames, seed=seed)
    bounds = _bounds(parameters, drawn, sweep)
    measured: list[Measurement] = []
    for kind in beams:
        values: Values = {}
        for scheme in sweep.schemes:
            solved = solve_frames(parameters, drawn, kind, scheme=scheme, key=beams_key(seed))
            values[scheme] = _values(parameters, drawn, solved)
            on_scheme(scheme)
        measured += _measurements(sweep, value, kind, seed, values, np.asarray(drawn.workload), bounds)
    return measured


def measure_frames(
    parameters: Parameters, *, frames: int, seed: int, beams: Beams, scheme: Scheme
) -> dict[str, Estimate]:
    """Each of `METRICS` over the frames of `draw_frames`, for one kind of beams and one scheme."""
    drawn = draw_frames(parameters, frames=frames, seed=seed)
    solved = solve_frames(parameters, drawn, beams, scheme=scheme, key=beams_key(seed))
    return estimates(_values(parameters, drawn, solved))


def measure_chosen(
    parameters: Parameters,
    sweep: Sweep,
    value: float,
    *,
    frames: Frame,
    kind: str,
    seed: int,
    beams: Complex[Array, "S K N M"],
) -> list[Measurement]:
    """Measure one point of a sweep for the beams of S policies in its K frames, under the name ``kind``.

    Each policy gets the numbers of `measure_point`; the results are means and intervals over policies.
    """
    bounds = _bounds(parameters, frames, sweep)
    each = []
    for own in beams:
        values: Values = {
            scheme: _values(parameters, frames, allocate_for(parameters, frames, own, scheme=scheme))
            for scheme in sweep.schemes
        }
        each.append(_measurements(sweep, value, kind, seed, values, np.asarray(frames.workload), bounds))
    return [_over_policies(rows) for rows in zip(*each, strict=True)]


def _over_policies(rows: Sequence[Measurement]) -> Measurement:
    means = np.array([row.mean for row in rows])
    numbers = np.isfinite(means)
    estimate = mean_interval(means[numbers]) if numbers.any() else Estimate(np.nan, np.nan, np.nan)
    return dataclasses.replace(rows[0], frames=sum(row.frames for row in rows), **estimate._asdict())


def _values(parameters: Parameters, frames: Frame, solved: SolvedFrames) -> dict[str, np.ndarray]:
    beams, solution, bound, status = solved
    values = _play(parameters, frames, beams, solution, bound, jnp.asarray(status))
    return {name: np.asarray(value) for name, value in values.items()}


def _bounds(parameters: Parameters, frames: Frame, sweep: Sweep) -> np.ndarray | None:
    """Least energies (K, S) of the hybrid scheme if the sweep needs them; NaN if there is no bound."""
    if not any(set(LIMIT_METRICS) & set(metrics_of(sweep, scheme)) for scheme in sweep.schemes):
        return None
    if limits.can_be_limited(parameters):
        return limits.energy_bounds(parameters, frames, "hybrid")
    return np.full((len(frames.workload), 1), np.nan)


def _measurements(
    sweep: Sweep,
    value: float,
    beams: str,
    seed: int,
    values: Values,
    workload: np.ndarray,
    bounds: np.ndarray | None,
) -> list[Measurement]:
    """All metrics of all schemes for one kind of beams."""

    def measurement(scheme: Scheme, metric: str, estimate: Estimate, count: int) -> Measurement:
        unit = ALL_METRICS[metric].unit
        return Measurement(sweep.name, value, scheme, beams, metric, unit, *estimate, count, seed)

    measured: list[Measurement] = []
    frames = len(workload)
    shared = np.all([numbers["everyone_served"] > 0 for numbers in values.values()], axis=0)
    for scheme, numbers in values.items():
        measured += [measurement(scheme, name, it, frames) for name, it in estimates(numbers).items()]
        if "local" in values:
            relative = _relative_energy(numbers, values["local"], shared)
            measured.append(measurement(scheme, "relative_energy", relative, int(shared.sum())))
        if bounds is not None and scheme == "hybrid":
            limit, above, everyone = _limits(numbers, workload, bounds)
            measured.append(measurement(scheme, "efficiency_limit", limit, frames))
            measured.append(measurement(scheme, "energy_over_bound", above, everyone))
    return measured


def _limits(
    numbers: Mapping[str, np.ndarray], workload: np.ndarray, bounds: np.ndarray
) -> tuple[Estimate, Estimate, int]:
    """Both of `LIMIT_METRICS`, and the number of frames of the second."""
    everyone = numbers["everyone_served"] > 0
    if np.isnan(bounds).any():
        nothing = Estimate(np.nan, np.nan, np.nan)
        return nothing, nothing, int(everyone.sum())
    limit = limits.efficiency_limit(workload, bounds, numbers["served"])
    above = limits.energy_over_bound(numbers["ap_energy"], bounds, everyone)
    return limit, above, int(everyone.sum())


def parameters_at(parameters: Parameters, swept: Swept, value: float) -> Parameters:
    """The constants with one of them changed; shapes and types stay, so nothing is recompiled.

    Users' mean workloads keep their proportions, as do their distances; a trace is scaled in the same way.
    """
    number = jnp.asarray(np.asarray(value, dtype=float))
    if swept == "ap_power":
        return dataclasses.replace(parameters, ap_power=number)
    if swept == "mean_workload":
        trace = parameters.trace_workload
        return dataclasses.replace(
            parameters,
            mean_workload=_with_mean(parameters.mean_workload, number),
            trace_workload=None if trace is None else _with_mean(trace, number),
        )
    weaker = weaker_by(parameters, number)
    channels = parameters.trace_channels
    return dataclasses.replace(
        parameters,
        path_gain=parameters.path_gain / weaker,
        trace_channels=None if channels is None else channels / weaker,
    )


def _with_mean(workload: Array, mean: Array) -> Array:
    current = jnp.mean(workload)
    return jnp.where(current > 0, workload * (mean / jnp.where(current > 0, current, 1)), mean)


def draw_frames(parameters: Parameters, *, frames: int, seed: int) -> Frame:
    """Independent frames. Frame k depends only on the seed and k, not on the number of frames."""
    return frames_of_key(parameters, jax.random.key(seed), jnp.arange(frames))


def beams_key(seed: Array | int) -> Key:
    """Key of the beams: a stream beyond the frames' own, whose indices are small."""
    return jax.random.fold_in(jax.random.key(seed), 2**32 - 1)


@jax.jit
def frames_of_key(parameters: Parameters, key: Key, indices: Int[Array, " K"]) -> Frame:
    """Independent frames with these numbers of a key; see `draw_frame`."""
    return jax.vmap(draw_frame, in_axes=(None, None, 0))(parameters, key, indices)


def draw_frame(parameters: Parameters, key: Key, index: Int[Array, ""]) -> Frame:
    """Independent frame number ``index`` of a key."""
    fading, work, battery = jax.random.split(jax.random.fold_in(key, index), 3)
    return Frame(
        channels=channel.channels_at(parameters, channel.initial_scatter(fading, parameters), index),
        workload=channel.arrivals_at(work, parameters, index),
        battery=channel.initial_battery(battery, parameters),
    )


@jax.jit
def _play(
    parameters: Parameters,
    frames: Frame,
    beams: Complex[Array, "K N M"],
    solution: Solution,
    lower_bound: Float[Array, " K"],
    status: Int[Array, " K"],
) -> dict[str, Array]:
    return jax.vmap(frame_values, in_axes=(None, 0, 0, 0, 0, 0))(
        parameters, frames, beams, solution, lower_bound, status
    )


def frame_values(
    parameters: Parameters,
    frame: Frame,
    beams: Complex[Array, "N M"],
    solution: Solution,
    lower_bound: Float[Array, ""],
    status: Int[Array, ""],
) -> dict[str, Array]:
    """What a frame contributes to the metrics, each a number; success is judged by playing the frame.

    ``status`` is that of serving everyone; other arguments as in `SolvedFrames`. Where not everyone can be
    served, the allocation counts only with ``partial_service``.
    """
    played = is_feasible(status) | (parameters.partial_service > 0)
    allocation = jax.tree.map(lambda own: jnp.where(played, own, 0.0), solution.allocation)
    outcome = run_frame(parameters, frame, beams, allocation)
    success = outcome.success
    bounded = jnp.isfinite(solution.energy) & jnp.isfinite(lower_bound)
    excess = solution.energy - jnp.where(bounded, lower_bound, 0)
    return {
        "active": jnp.sum(allocation.l_active * success),
        "passive": jnp.sum(allocation.l_passive * success),
        "local": jnp.sum(allocation.l_local * success),
        "t_active": jnp.mean(allocation.t_active),
        "t_passive": jnp.mean(allocation.t_passive),
        "t_local": jnp.mean(allocation.t_local),
        "processed": jnp.sum(frame.workload * success),
        "ap_energy": outcome.ap_energy,
        "frame_efficiency": energy_efficiency(frame.workload, success, outcome.ap_energy),
        "reward": outcome.ap_reward,
        "outage": jnp.mean(1.0 - success),
        "user_energy": jnp.mean(outcome.spent),
        "harvested": jnp.mean(outcome.harvested),
        "battery_used": jnp.mean(frame.battery - outcome.battery),
        "served": jnp.sum(success) * 1.0,
        "everyone_served": is_feasible(status) * 1.0,
        "bounded_energy": jnp.where(bounded, solution.energy, 0),
        "excess_energy": jnp.where(bounded, excess, 0),
        "not_converged": ((status != OPTIMAL) & (status != INFEASIBLE)) * 1.0,
    }


def parts_of(values: Mapping[str, np.ndarray], metric: str) -> tuple[np.ndarray, np.ndarray | None]:
    """A metric per frame: numerators and denominators of a ratio of sums; for a mean only the values."""
    if metric.endswith("_share"):
        done = values["active"] + values["passive"] + values["local"]
        return values[metric.removesuffix("_share")], done
    if metric == "energy_efficiency":
        return values["processed"], values["ap_energy"]
    if metric == "gap":
        return values["excess_energy"], values["bounded_energy"]
    return values[metric], None


def estimates(values: Mapping[str, np.ndarray]) -> dict[str, Estimate]:
    """Each of `METRICS`: ratios of sums for shares, efficiency and gap, else means over frames."""
    found = {}
    for name in METRICS:
        numerators, denominators = parts_of(values, name)
        found[name] = (
            mean_interval(numerators) if denominators is None else ratio_interval(numerators, denominators)
        )
    return found


def _relative_energy(
    values: Mapping[str, np.ndarray], reference: Mapping[str, np.ndarray], shared: np.ndarray
) -> Estimate:
    """Energy relative to the reference's, on the frames marked as shared."""
    if not shared.any():
        return Estimate(np.nan, np.nan, np.nan)
    return ratio_interval(values["ap_energy"][shared], reference["ap_energy"][shared])
