"""Algorithm 1 on devices: a trained user, and what the AP's networks say, by onnxruntime and without JAX.

A user's answer is its report of line 14. The AP compares the value y of all reports with the value y* of its
own estimate (lines 15 to 19), each the scaled reward of the frame plus the discounted value of what follows.
The reward and the next observation come from the model, and the estimate from problem (10): these are in JAX,
`scattermec.online.choice`.
"""

import math
from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from scattermec.errors import InputError
from scattermec.online import user

Array = np.ndarray

ENTRIES = {"paper": 6, "feasible": 4, "correction": 6}
"""Numbers of a user's entry of the estimate, by the form of its action."""

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
    """numbers of its entry of the estimate, see `ENTRIES`"""
    antennas: int
    phase_reference: int
    """1 if it sees its channel rotated, so that the first entry is real; else 0"""


class Correction(NamedTuple):
    """What a correction means, see `scattermec.environment.corrections`."""

    nothing: float
    """numbers up to this one change nothing"""
    longer: float
    """share of the slot by which a beam may be on longer"""
    kept: float
    """share of the energy that a user does not need which it may keep"""


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

    def __init__(
        self,
        constants: Constants,
        actor: Actor,
        correction: tuple[Correction, user.Constants] | None = None,
    ) -> None:
        """Args:
        constants: what it knows.
        actor: its network.
        correction: for a user that corrects what it is told, what that means and what it responds with.
        """
        self.constants, self._actor, self._correction = constants, actor, correction

    @property
    def corrects(self) -> bool:
        """Whether it corrects what it is told."""
        return self._correction is not None

    def report(
        self,
        workload: float,
        battery: float,
        channel: ArrayLike,
        share: float,
        entry: ArrayLike,
        told: Sequence[float] = (),
    ) -> Allocation:
        """The user's own allocation: line 14, without exploration.

        Args:
            workload: kbit.
            battery: mJ.
            channel: (M,), as the user knows it.
            share: gain of its beam as a share of the largest possible, from the AP, as the next.
            entry: its entry of the estimate, as numbers in [0, 1].
            told: the numbers of `scattermec.online.user.Message`, if it corrects them; else none.

        Raises InputError for other shapes, numbers that are not finite, and negative work or energy.
        """
        c = self.constants
        h, numbers = np.asarray(channel, complex), np.asarray(entry, float)
        shapes = (h.shape, numbers.shape, (len(told),))
        expected = ((c.antennas,), (c.entries,), (3 if self.corrects else 0,))
        if shapes != expected:
            raise InputError([f"channel, entry, told: have the shapes {shapes}; they must be {expected}"])
        gain = float(np.sum(h.real**2 + h.imag**2))
        if c.phase_reference and abs(h[0]) > 0:
            h = h * h[0].conj() / abs(h[0])
        own = [_over(workload, c.mean_workload), _over(battery, c.battery_capacity)]
        seen = np.concatenate([own, h.real / c.path_gain, h.imag / c.path_gain, [share], numbers])
        if not np.isfinite([*seen, *told]).all() or workload < 0 or battery < 0:
            raise InputError(["observation: all numbers must be finite; workload and battery must be >= 0"])
        u = self._actor(seen.astype(np.float32)).astype(float).tolist()
        if self._correction is not None:
            return _corrected(*self._correction, user.Message(*told), u, workload, battery, gain)
        return self._allocation(u, workload)

    def _allocation(self, u: Sequence[float], workload: float) -> Allocation:
        c = self.constants
        slot = c.slot_duration
        if c.entries == ENTRIES["paper"]:
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


def _corrected(
    c: Correction,
    own: user.Constants,
    told: user.Message,
    u: Sequence[float],
    workload: float,
    battery: float,
    gain: float,
) -> Allocation:
    """The best response to what it was told, corrected: its beam longer, and some energy kept."""
    longer, kept = (max(number - c.nothing, 0.0) / (1 - c.nothing) for number in u)
    told = told._replace(t_passive=told.t_passive + longer * c.longer * own.slot_duration)
    link = user.link_of(own, gain)
    task = user.task_of(own, link, workload, battery, told)
    spare = max(-user.lacking_of(own, task), 0.0)
    allowance = task.budget - kept * c.kept * spare
    task = user.task_of(own, link, workload, battery, told, allowance)
    return Allocation(*user.answer_of(own, task)[: len(Allocation._fields)])


class ApActor:
    """The AP's networks: its action, and the value of what follows a frame."""

    def __init__(self, actor: Actor, value: Actor, discount: float, reward_scale: float) -> None:
        self.actor = actor
        """from the AP's observation to the numbers of its beams: line 3"""
        self._value, self._discount, self.reward_scale = value, discount, reward_scale

    def target(self, reward: float, following: Array) -> float:
        """y of lines 4 and 15.

        Args:
            reward: (11) in kbit/J of the frame with an allocation.
            following: the AP's observation of the frame that the model expects after it.
        """
        return self.reward_scale * reward + self._discount * float(
            self._value(np.asarray(following, np.float32))[0]
        )


def prefers_reports(y: float, y_star: float) -> bool:
    """Lines 16 to 19: whether the AP executes the users' reports, of value y, and not its estimate, of y*.

    Reports whose value is unknown, NaN, are never preferred.
    """
    return not math.isnan(y) and y > y_star


def _over(value: float, scale: float) -> float:
    return value / scale if scale > 0 else value
