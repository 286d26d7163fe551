"""The constants of a scenario as arrays: the pytree passed to every function of the model."""

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from jaxtyping import Complex, Float

from scattermec._pytree import pytree, static
from scattermec.scenario import Scenario


@pytree
class Parameters:
    """Constants of one scenario as arrays, so that any of them can be swept with vmap or differentiated.

    Units as in `Scenario`: s, kbit, kHz, W and J on the AP's side, mW and mJ on the users' side.
    """

    # The topology.
    path_gain: Float[Array, " N"]
    """amplitude gain 10^(-L_i/20)"""
    reference_gain: Float[Array, ""]
    """the same at 1 m"""
    path_loss_exponent: Float[Array, ""]
    line_of_sight: Complex[Array, "N M"]
    """unit-modulus response of a half-wavelength array to each user's direction"""
    # Per user.
    slot_duration: Float[Array, " N"]
    reflection_gain: Float[Array, " N"]
    circuit_power: Float[Array, " N"]
    local_energy: Float[Array, " N"]
    local_rate: Float[Array, " N"]
    battery_capacity: Float[Array, " N"]
    mean_workload: Float[Array, " N"]
    rician_factor: Float[Array, " N"]
    initial_battery_low: Float[Array, " N"]
    initial_battery_high: Float[Array, " N"]
    # The AP and the link.
    bandwidth: Float[Array, ""]
    ap_power: Float[Array, ""]
    noise_power: Float[Array, ""]
    residual_interference: Float[Array, ""]
    harvest_efficiency: Float[Array, ""]
    rectifier_saturation: Float[Array, ""]
    rectifier_steepness: Float[Array, ""]
    rectifier_turn_on: Float[Array, ""]
    active_receive_power: Float[Array, ""]
    passive_receive_power: Float[Array, ""]
    mec_energy: Float[Array, ""]
    idle_power: Float[Array, ""]
    # Rewards and bookkeeping.
    reliability_weight: Float[Array, ""]
    mec_price: Float[Array, ""]
    ap_price: Float[Array, ""]
    team_weight: Float[Array, ""]
    shortfall_price: Float[Array, ""]
    backlog_cap: Float[Array, ""]
    episode_length: Float[Array, ""]
    """frames until truncation"""
    partial_service: Float[Array, ""]
    """1 or 0: Fig. 3 and 4 serve the best set of users where not all can be served, or nobody"""
    # Randomness.
    correlation: Float[Array, ""]
    csi_error: Float[Array, ""]
    workload_error: Float[Array, ""]
    trace_channels: Complex[Array, "F N M"] | None
    """channels of the trace file, or None"""
    trace_workload: Float[Array, "F N"] | None
    """workload of the trace file, or None"""
    # Settings that change the program rather than its numbers.
    fading: str = static()
    arrivals: str = static()
    harvest_model: str = static()
    causal_harvest: bool = static()

    @property
    def num_users(self) -> int:
        """N, also on a batch of parameters."""
        return self.path_gain.shape[-1]

    @property
    def num_antennas(self) -> int:
        """M, also on a batch of parameters."""
        return self.line_of_sight.shape[-1]


_PER_USER = (
    "slot_duration",
    "reflection_gain",
    "circuit_power",
    "local_energy",
    "local_rate",
    "battery_capacity",
    "mean_workload",
    "rician_factor",
)
_SCALARS = (
    "bandwidth",
    "ap_power",
    "noise_power",
    "residual_interference",
    "harvest_efficiency",
    "active_receive_power",
    "passive_receive_power",
    "mec_energy",
    "idle_power",
    "reliability_weight",
    "mec_price",
    "ap_price",
    "team_weight",
    "shortfall_price",
    "backlog_cap",
    "path_loss_exponent",
    "correlation",
    "csi_error",
    "workload_error",
)
_STATIC = ("fading", "arrivals", "harvest_model", "causal_harvest")


def parameters_of(
    scenario: Scenario, *, num_users: int | None = None, num_antennas: int | None = None
) -> Parameters:
    """Turn a scenario into arrays of JAX's default precision (float64 where x64 is enabled).

    ``num_users`` and ``num_antennas`` override the scenario's for frames whose channels come from elsewhere;
    positions are then ignored (path gains are 1). Raises ValueError if a constant that the scenario gives per
    user does not have ``num_users`` entries.
    """
    own_topology = num_users is None and num_antennas is None
    users = scenario.num_users if num_users is None else num_users
    antennas = scenario.num_antennas if num_antennas is None else num_antennas

    # `jnp.asarray` would compile a program for every shape.
    held = jax.device_put

    def per_user(name: str) -> Array:
        value = np.asarray(getattr(scenario, name), dtype=float)
        if value.ndim == 1 and value.shape != (users,):
            raise ValueError(
                f"{name}: {value.size} values are given for {users} users; give one, or one each"
            )
        return held(np.broadcast_to(value, (users,)))

    def number(value: float) -> Array:
        # Via NumPy, so that the type is strong and replacing a constant does not recompile.
        return held(np.asarray(value, dtype=float))

    positions = np.asarray(scenario.user_positions, dtype=float) if own_topology else np.ones((users, 2))
    distance = np.hypot(positions[:, 0], positions[:, 1])
    gain = amplitude_gain(scenario.path_loss) if own_topology else np.ones(users)
    sine = positions[:, 1] / distance
    trace_channels, trace_workload = scenario.load_trace() if own_topology else (None, None)
    battery = np.broadcast_to(np.asarray(scenario.initial_battery, dtype=float), (2,))

    constants: dict[str, Any] = {name: per_user(name) for name in _PER_USER}
    constants |= {name: number(getattr(scenario, name)) for name in _SCALARS}
    constants |= {name: getattr(scenario, name) for name in _STATIC}
    return Parameters(
        path_gain=held(gain),
        reference_gain=number(amplitude_gain(scenario.reference_loss - scenario.antenna_gain)),
        line_of_sight=held(np.exp(1j * np.pi * np.outer(sine, np.arange(antennas)))),
        episode_length=number(float(scenario.episode_length)),
        partial_service=number(float(scenario.partial_service)),
        initial_battery_low=held(np.full(users, battery[0])),
        initial_battery_high=held(np.full(users, battery[1])),
        rectifier_saturation=number(scenario.rectifier.saturation),
        rectifier_steepness=number(scenario.rectifier.steepness),
        rectifier_turn_on=number(scenario.rectifier.turn_on),
        trace_channels=None if trace_channels is None else held(trace_channels),
        trace_workload=None if trace_workload is None else held(trace_workload),
        **constants,
    )


def amplitude_gain(loss: Any) -> Any:
    """Amplitude gain 10^(-L/20) of a loss in dB."""
    return 10 ** (-loss / 20)


def with_margin(parameters: Parameters, margin: Float[Array, ""] | float) -> Parameters:
    """The constants that a cautious planner counts on: harvest times 1 - margin, noise times 1 + margin.

    A plan for them has slack in the battery constraint (8) and in the rates (3) and (5) when the frame is
    played with the true constants. ``margin`` is in [0, 1); 0 changes nothing.
    """
    return dataclasses.replace(
        parameters,
        harvest_efficiency=parameters.harvest_efficiency * (1 - margin),
        rectifier_saturation=parameters.rectifier_saturation * (1 - margin),
        noise_power=parameters.noise_power * (1 + margin),
        residual_interference=parameters.residual_interference * (1 + margin),
    )


def weaker_by(parameters: Parameters, distance: Array) -> Array:
    """Factor d^(alpha/2) by which amplitudes fall if a distance is multiplied by ``distance``."""
    exponent = parameters.path_loss_exponent
    # In free space exactly d: a compiled power may differ in its last digit.
    return jnp.where(exponent == 2, distance, distance ** (exponent / 2))


def harvest_faults(scenario: Scenario | Parameters, where: str) -> list[str]:
    """Faults of the harvesting settings where only linear, non-causal harvesting is allowed."""
    faults = []
    if scenario.harvest_model != "linear":
        faults.append(
            f"harvest_model: {scenario.harvest_model!r} is not allowed {where}; it must be 'linear'"
        )
    if scenario.causal_harvest:
        faults.append(f"causal_harvest: true is not allowed {where}; it must be false")
    return faults


def size_faults(scenario: Scenario | Parameters, trained: Scenario, what: str, hint: str = "") -> list[str]:
    """Mismatches of size that keep a learner trained in one scenario from acting in another.

    ``what`` names the learner and ends with "trained with"; ``hint`` is appended.
    """
    sizes = (
        ("num_antennas: {} does not fit", scenario.num_antennas, trained.num_antennas),
        ("user_positions: {} users do not fit", scenario.num_users, trained.num_users),
    )
    return [f"{line.format(ours)} {what} {theirs}{hint}" for line, ours, theirs in sizes if ours != theirs]
