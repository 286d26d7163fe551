"""Algorithm 1 on devices: a trained user, and what the AP's networks say, by onnxruntime and without JAX.

A user's answer is its report of line 14. The AP compares the value y of all reports with the value y* of its
own estimate (lines 15 to 19), each the scaled reward of the frame plus the discounted value of what follows.
The reward and the next observation come from the model, and the estimate from problem (10): these are in JAX,
`scattermec.learners.h_maddpg_opt`.
"""

import math
from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from scattermec.errors import InputError

Array = np.ndarray

ENTRIES = {"paper": 6, "feasible": 4}
"""Numbers of a user's action, and of its entry of the estimate, by the form of the action."""

Actor = Callable[[Array], Array]
"""From one observation, in single precision, to numbers."""


class Constants(NamedTuple):
    """What a user knows of the scenario."""

    slot_duration: float
    local_rate: float
    battery_capacity: float
    mean_workload: float
    path_gain: float
    """square root of the mean gain of one antenna: what its channel is divided by"""
    entries: int
    """numbers of its action, see `ENTRIES`"""
    antennas: int
    phase_reference: int
    """1 if it sees its channel rotated, so that the first entry is real; else 0"""


class Allocation(NamedTuple):
    """A user's allocation in s and kbit."""

    t_active: float
    t_passive: float
    t_local: float
    l_active: float
    l_passive: float
    l_local: float


class ActorUser:
    """A user with its trained actor."""

    def __init__(self, constants: Constants, actor: Actor) -> None:
        self.constants, self._actor = constants, actor

    def report(
        self,
        workload: float,
        battery: float,
        channel: ArrayLike,
        share: float,
        entry: ArrayLike,
    ) -> Allocation:
        """The user's own allocation: line 14, without exploration.

        Args:
            workload: kbit.
            battery: mJ.
            channel: (M,), as the user knows it.
            share: gain of its beam as a share of the largest possible, from the AP, as the next.
            entry: its entry of the estimate, as numbers in [0, 1].

        Raises InputError for other shapes, numbers that are not finite, and negative work or energy.
        """
        c = self.constants
        h, told = np.asarray(channel, complex), np.asarray(entry, float)
        if h.shape != (c.antennas,) or told.shape != (c.entries,):
            raise InputError(
                [
                    f"channel, entry: have the shapes {h.shape} and {told.shape}; they must be "
                    f"({c.antennas},) and ({c.entries},)"
                ]
            )
        if c.phase_reference and abs(h[0]) > 0:
            h = h * h[0].conj() / abs(h[0])
        own = [_over(workload, c.mean_workload), _over(battery, c.battery_capacity)]
        seen = np.concatenate([own, h.real / c.path_gain, h.imag / c.path_gain, [share], told])
        if not np.isfinite(seen).all() or workload < 0 or battery < 0:
            raise InputError(["observation: all numbers must be finite; workload and battery must be >= 0"])
        return self._allocation(self._actor(seen.astype(np.float32)).astype(float).tolist(), workload)

    def _allocation(self, u: Sequence[float], workload: float) -> Allocation:
        c = self.constants
        slot = c.slot_duration
        if len(u) == ENTRIES["paper"]:
            return Allocation(*(slot * number for number in u[:3]), *(workload * number for number in u[3:]))
        time = u[0] * slot
        l_local = (1 - u[2]) * min(workload, c.local_rate * slot)
        left = workload - l_local
        return Allocation(
            t_active=u[1] * time,
            t_passive=time - u[1] * time,
            t_local=l_local / c.local_rate if c.local_rate > 0 else 0.0,
            l_active=u[3] * left,
            l_passive=left - u[3] * left,
            l_local=l_local,
        )


class ApActor:
    """The AP's networks: its action, and the value of what follows a frame."""

    def __init__(self, actor: Actor, value: Actor, discount: float, reward_scale: float) -> None:
        self.actor = actor
        """from the AP's observation to the numbers of its beams: line 3"""
        self._value, self._discount, self._scale = value, discount, reward_scale

    def target(self, reward: float, following: Array) -> float:
        """y of lines 4 and 15.

        Args:
            reward: (11) in kbit/J of the frame with an allocation.
            following: the AP's observation of the frame that the model expects after it.
        """
        return self._scale * reward + self._discount * float(
            self._value(np.asarray(following, np.float32))[0]
        )


def prefers_reports(y: float, y_star: float) -> bool:
    """Lines 16 to 19: whether the AP executes the users' reports, of value y, and not its estimate, of y*.

    Reports whose value is unknown, as NaN or where one is missing, are never preferred.
    """
    return not math.isnan(y) and y > y_star


def _over(value: float, scale: float) -> float:
    return value / scale if scale > 0 else value
