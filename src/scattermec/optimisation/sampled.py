"""One decision for many possible truths: problem P2 where the frame is known in distribution only.

The access point (AP) chooses its beams and their times before the truth is known; S samples of what it may be
share this decision. What users do is decided when they know their battery, workload, channel and harvest, so
every sample has its own allocation:

    minimise    energy of the beams + mean over samples of [ energy of receiving + price of unserved work ]

Beams are of any rank, as in P2, so the problem is convex. With a high price all samples are served that can
be: the robust optimum. A lower price leaves out what costs too much. Users may be left out altogether: their
unserved work then has no price. Each price and set of users yields one plan, of the strongest beam in each
slot; which one is best is for the caller to find out on other samples, by the reward.
"""

from collections.abc import Iterator
from typing import NamedTuple

import jax
import numpy as np
from jaxtyping import Bool, Complex, Float

from scattermec.errors import ComputationError
from scattermec.optimisation.conic import UsersPart, hermitian, solve
from scattermec.physics import Frame, Parameters

__all__ = ["PRICES", "SampledOptimum", "SharedBeams", "shared_plans"]

PURPOSE = "sampled optimum"
"""What messages call it."""

PRICES = (0.03, 0.1, 0.3, 1.0)
"""Prices of unserved work in J per kbit. A frame of the default scenario needs some 0.005 J per kbit."""

TOLERANCE = 1e-5
"""Relative gap and infeasibility at which the solver stops: far less than samples differ."""

UNSERVED = 1e-2
"""kbit of unserved work from which a sample counts as not served."""

OFTEN = 0.1
"""Share of samples that are not served from which a user may be left out."""


class SharedBeams(NamedTuple):
    """The AP's decision, and what comes of it in the S samples."""

    beams: Complex[np.ndarray, "N M"]
    """unit beams"""
    t_passive: Float[np.ndarray, " N"]
    """s"""
    shortfall: Float[np.ndarray, "S N"]
    """kbit left undone with the beams of any rank"""
    energy: Float[np.ndarray, ""]
    """J, mean over samples, with the beams of any rank; idle energy is not included"""
    main_beam: Float[np.ndarray, " N"]
    """share of the strongest beam in its slot: 1 if there is only one"""


class SampledOptimum:
    """The problem in CVXPY, stated once for the samples and solved for several prices."""

    def __init__(self, parameters: Parameters, truths: Frame) -> None:
        """For S samples (leading axis) of N users, whose rectifier is linear."""
        p = jax.device_get(parameters)
        channels, workload, battery = (
            np.asarray(part) for part in (truths.channels, truths.workload, truths.battery)
        )
        self.shape = samples, users, antennas = channels.shape
        part = UsersPart(PURPOSE, p, channels)
        cp = part.solver
        slots = [part.beam(antennas) for _ in range(users)]
        self.matrices = [matrix for matrix, _, _ in slots]
        time = cp.hstack([time for _, _, time in slots])
        rows = part.matrices.reshape(samples * users, -1)
        harvested = received = 0
        for i, (_, vector, _) in enumerate(slots):
            own = np.arange(users) == i
            gained = part.each(~own * part.harvest)[:, None] * rows
            harvested = harvested + gained @ vector
            received = received + ((own * part.reflection).reshape(-1, 1) * rows) @ vector
        stored = np.minimum(battery, p.battery_capacity) / part.unit
        self.short = part.variables["shortfall"]
        self.price = cp.Parameter(samples * users, nonneg=True)
        self.energy = (p.ap_power + p.passive_receive_power) * cp.sum(time) + part.receiving / samples
        constraints = [
            part.done >= workload.ravel(),
            part.demand <= stored.ravel() + harvested,
            part.demand <= part.capacity,
            *part.constraints(np.tile(np.eye(users), (samples, 1)) @ time, received),
        ]
        cost = self.energy + self.price @ self.short / samples
        self.problem = cp.Problem(cp.Minimize(cost), constraints)

    def solve(
        self, price: float, served: Bool[np.ndarray, " N"] | None = None, tolerance: float = TOLERANCE
    ) -> SharedBeams:
        """The decision at a price of unserved work in J per kbit; users not ``served`` have none.

        Raises ComputationError if the solver fails.
        """
        samples, users, _ = self.shape
        served = np.ones(users, bool) if served is None else served
        self.price.value = np.tile(price * served, samples)
        # The problem is scaled already, and the solver's own scaling costs it digits.
        solve(self.problem, PURPOSE, tolerance, equilibrate_enable=False)
        matrices = hermitian(np.stack([matrix.value for matrix in self.matrices])) / 2
        sizes, vectors = np.linalg.eigh(matrices)
        times = np.maximum(sizes.sum(axis=-1), 0)
        return SharedBeams(
            beams=vectors[:, :, -1],
            t_passive=times,
            shortfall=np.maximum(self.short.value.reshape(samples, users), 0),
            energy=np.asarray(self.energy.value),
            main_beam=np.where(times > 0, sizes[:, -1] / np.where(times > 0, times, 1), 1),
        )


def shared_plans(parameters: Parameters, truths: Frame) -> Iterator[SharedBeams]:
    """Decisions for each of `PRICES`; then the same without the user that is served least often, and so on.

    A user is only left out if it is often not served at the lowest price. Where the solver fails, there is
    no decision.
    """
    problem = SampledOptimum(parameters, truths)
    served = np.ones(problem.shape[1], bool)
    while True:
        plans = []
        for price in PRICES:
            try:
                plans.append(problem.solve(price, served))
            except ComputationError:
                continue
        yield from plans
        if not plans or served.sum() <= 1:
            return
        failed = np.mean(plans[0].shortfall > UNSERVED, axis=0) * served
        if failed.max() < OFTEN:
            return
        served = served & (np.arange(len(served)) != failed.argmax())
