"""P1, i.e. problem (10) with fixed beams, as plain data for the solver."""

from typing import Literal, get_args

import jax
import jax.numpy as jnp
from jax import Array
from jaxtyping import Bool, Complex, Float

from scattermec._jit import one_program
from scattermec._pytree import pytree, static
from scattermec.optimisation.battery_value import BatteryValue
from scattermec.physics import energy, links
from scattermec.physics.frame import Frame
from scattermec.physics.parameters import Parameters

Scheme = Literal["hybrid", "active", "passive", "local"]
SCHEMES: tuple[Scheme, ...] = get_args(Scheme)
"""Schemes, by the links that they allow; all of them beam for energy, and all of them compute locally.

``hybrid`` allows both links, ``active`` (Active-enabled) only the active one, ``passive`` only backscatter,
``local`` (MEC-disabled) neither.
"""


@pytree
class AllocationProblem:
    """P1 in natural units. A slot offers K beams to choose from, usually one.

        Minimise   sum_i passive_power t_b + active_receive_power t_a + mec_energy (l_a + l_b)
        subject to t_a + t_b <= slot_duration                                                              (2)
                   l_a + l_b + l_c >= workload,  l_a <= active_bandwidth t_a log2(1 + active_snr e / t_a),
                   l_b <= passive_rate t_b,  l_c <= local_limit                                            (3)
                   e + circuit_power t_a + local_energy l_c <= min(battery + harvest_rate t_b, capacity)   (9)

    over non-negative times (s), work (kbit) and radiated energies e (mJ). As l_b may be less than
    ``passive_rate t_b``, a beam can run for its energy alone.

    If energy left in the battery has a value, part s of the battery is filled by m_s <= ``part_size`` mJ,
    with value ``battery_value`` per mJ in the objective; the sum of all m_s is on the left side of (9).
    """

    parameters: Parameters
    """the constants that the frame does not change"""
    workload: Float[Array, " N"]
    """kbit"""
    served: Bool[Array, " N"]
    """whether the workload must be processed; the AP may still beam in the slots of the other users"""
    battery: Float[Array, " N"]
    """mJ"""
    channel_gain: Float[Array, " N"]
    """||h||^2"""
    passive_rate: Float[Array, "N K"]
    """kbit/s; 0 if the scheme has no backscatter"""
    active_bandwidth: Float[Array, " N"]
    """kHz; 0 if the scheme has no active link"""
    harvest_rate: Float[Array, "N N K"]
    """usable mW of user j (first) during beam k of slot i"""
    most_harvest: Float[Array, "N N"]
    """largest usable mW of user j in slot i, over all beams"""
    battery_value: BatteryValue | None = None
    """value of the energy left in the battery; None if it has none"""
    free_beams: bool = static(default=False)
    """whether other beams may be used as well (P2)"""

    @property
    def active_snr(self) -> Array:
        """Signal-to-noise ratio of the active link per mW of transmit power."""
        return links.active_snr(self.parameters, self.channel_gain)

    @property
    def passive_power(self) -> Array:
        """Power of the AP while beaming, p + p_br, in W."""
        return self.parameters.ap_power + self.parameters.passive_receive_power

    @property
    def local_limit(self) -> Array:
        """Work in kbit that a user can compute within its slot, f_c T."""
        return self.parameters.local_rate * self.parameters.slot_duration


@one_program("scheme", "free_beams")
def allocation_problem(
    parameters: Parameters,
    frame: Frame,
    beams: Complex[Array, "N M"] | Complex[Array, "N K M"],
    *,
    scheme: Scheme = "hybrid",
    served: Bool[Array, " N"] | None = None,
    battery_value: BatteryValue | None = None,
    free_beams: bool = False,
) -> AllocationProblem:
    """State P1 for a frame and its beams, one or K per slot, under a scheme.

    ``served`` (default: everyone) are the users whose workload must be processed, ``battery_value`` is the
    value of energy left in the batteries (default: none); with ``free_beams``, other beams may be used as
    well (P2). Raises ValueError for an unknown scheme.
    """
    if scheme not in SCHEMES:
        raise ValueError(f"scheme: {scheme!r} is not known; choose from {', '.join(SCHEMES)}")
    p = parameters
    gain = links.channel_gain(frame.channels)

    def rates(beam: Complex[Array, "N M"]) -> tuple[Float[Array, " N"], Float[Array, "N N"]]:
        gains = links.beam_gains(frame.channels, links.unit_beams(beam, frame.channels))
        passive = links.passive_rate(p, gain, jnp.diagonal(gains))
        return passive, energy.usable_harvest_rate(p, energy.harvest_rate(p, gains))

    offered = beams if beams.ndim == 3 else beams[:, None]
    passive_rate, harvest_rate = jax.vmap(rates, in_axes=1, out_axes=-1)(offered)
    most_harvest = jnp.max(harvest_rate, axis=-1)
    if free_beams:
        best_gains = jnp.broadcast_to(gain[:, None], most_harvest.shape)
        most_harvest = energy.usable_harvest_rate(p, energy.harvest_rate(p, best_gains))
    return AllocationProblem(
        parameters=p,
        workload=frame.workload,
        served=jnp.ones(frame.workload.shape, bool) if served is None else served,
        battery=jnp.minimum(frame.battery, p.battery_capacity),
        channel_gain=gain,
        passive_rate=passive_rate if scheme in ("hybrid", "passive") else 0 * passive_rate,
        active_bandwidth=jnp.ones_like(gain) * (p.bandwidth if scheme in ("hybrid", "active") else 0),
        harvest_rate=harvest_rate,
        most_harvest=most_harvest,
        battery_value=battery_value,
        free_beams=free_beams,
    )
