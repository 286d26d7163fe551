"""The physical world of the online programs, played by the package's own frame. Imports JAX.

Frames are drawn as the simulator draws one episode
(`scattermec.experiments.evaluate.foresight.play_episodes`), so that with the same seed and the same decisions
both play the same numbers, to the last digit.
"""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from jaxtyping import Complex, Float, Int

from scattermec.environment import as_seen
from scattermec.experiments.measure.rollouts import play_frames, reset_frames
from scattermec.online.protocol import PARTS, Known, Played, Sight
from scattermec.optimisation import optimise_all_or_best
from scattermec.optimisation.repair import measured
from scattermec.physics import Allocation, Frame, Parameters, links, parameters_of, run_frames
from scattermec.physics.channel import Key
from scattermec.scenario import Scenario

MOST = 1e12
"""The largest number in a message; a reward is infinite if no energy is spent."""


class SimulatedWorld:
    """One episode, frame by frame; a `scattermec.online.protocol.World`."""

    def __init__(self, scenario: Scenario, seed: int, *, compare: bool, independent: bool = False) -> None:
        """Args:
        scenario: the constants.
        seed: seed of everything drawn.
        compare: whether to find the optimum of each frame, too; it needs a linear rectifier.
        independent: whether each frame is the first one of an episode, with a new battery and no backlog.
        """
        self.parameters, self.compare, self.independent = parameters_of(scenario), compare, independent
        key_reset, _, self._key_next = jax.random.split(jax.random.key(seed), 3)
        self._states = reset_frames(jax.random.split(key_reset, 1), self.parameters)
        self._time = 0

    def warm_up(self) -> None:
        """Compile all that a frame needs, so that the first one is as fast as the others."""
        states, users = self._states, self.parameters.num_users
        for _ in range(2):  # the first state and those that follow from it differ in what XLA knows of them
            self.observe()
            self.measure(np.zeros(states.beams.shape[1:], complex), np.zeros(users))
            self.play(None, np.zeros(users), np.zeros((users, len(PARTS))))
        self._states, self._time = states, 0
        if self.compare:  # where not everyone can be served, the optimum is computed in another way
            nothing = jnp.zeros_like(states.frame.battery)
            self._best_reward(
                dataclasses.replace(states.frame, channels=0 * states.frame.channels, battery=nothing)
            )

    def observe(self) -> Sight:
        """The frame as the devices see it."""
        frame = as_seen(self._states).frame
        seen = (np.asarray(part)[0] for part in (frame.channels, frame.workload, frame.battery))
        channels, workload, battery = seen
        gain = np.asarray(links.channel_gain(jnp.asarray(channels)))
        return Sight(channels, workload, battery, gain)

    def measure(self, beams: np.ndarray, t_passive: np.ndarray) -> Known:
        """What users know in their slots if these beams are on for these times: their part of the truth."""
        frame = jax.tree.map(lambda leaf: leaf[0], self._states.frame)
        found = _measured(self.parameters, frame, jnp.asarray(beams), jnp.asarray(t_passive))
        return Known(*map(np.asarray, (frame.workload, links.channel_gain(frame.channels), *found)))

    def play(self, beams: np.ndarray | None, t_passive: np.ndarray, answers: np.ndarray) -> Played:
        """Play the frame, and begin the next one.

        The AP's beams are on for ``t_passive``, whatever a user expected: it sends in the rest of its slot.
        While the AP is silent, users only compute.
        """
        slot = np.asarray(self.parameters.slot_duration)
        allocation = dict(zip(PARTS, answers.T, strict=True))
        allocation["t_passive"] = np.clip(t_passive, 0, slot)
        # In the simulator, too, a user whose own times are longer than its slot is in outage.
        left = slot - np.where(t_passive > answers[:, PARTS.index("t_passive")], allocation["t_passive"], 0)
        allocation["t_active"] = np.minimum(allocation["t_active"], left)
        if beams is None:
            allocation |= dict.fromkeys(("t_active", "l_active", "l_passive"), np.zeros(len(slot)))
            beams = np.zeros(self._states.beams.shape[1:], complex)
        best = self._best_reward(self._states.frame) if self.compare else None
        keys = _keys_of(self._key_next, self._time)
        self._time += 1
        chosen, decided = jax.device_put(
            (beams[None], {name: part[None] for name, part in allocation.items()})
        )
        self._states, record = play_frames(keys, self._states, chosen, Allocation(**decided), self.parameters)
        battery = np.asarray(self._states.frame.battery)[0].tolist()
        if self.independent:
            self._states = reset_frames(keys, self.parameters)
        played = {name: np.asarray(record[name])[0].tolist() for name in RECORDED}
        return Played(
            reward=min(played["reward"], MOST),
            optimum=best,
            ap_energy=played["ap_energy"],
            served=played["success"],
            harvested=played["harvested"],
            spent=played["spent"],
            battery=battery,
        )

    def _best_reward(self, frames: Frame) -> float:
        best, _ = optimise_all_or_best(self.parameters, frames)
        found = _run_frames(self.parameters, frames, best.beams, best.solution.allocation)
        return min(float(found.ap_reward[0]), MOST)


_run_frames = jax.jit(run_frames)


@jax.jit
def _keys_of(key: Key, time: Int[Array, ""]) -> Array:
    return jax.random.split(jax.random.fold_in(key, time), 1)


@jax.jit
def _measured(
    parameters: Parameters, frame: Frame, beams: Complex[Array, "N M"], t_passive: Float[Array, " N"]
) -> tuple[Array, ...]:
    known = measured(parameters, frame, beams, t_passive)
    return known.t_passive, known.passive_rate, known.harvest


RECORDED = ("reward", "ap_energy", "success", "harvested", "spent")
