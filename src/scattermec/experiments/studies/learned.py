"""Fig. 3 and 4 with learned beams: the AP's agent is trained anew at every point of a sweep.

The learner is `ap-ddpg`, tuned: the AP's agent of Algorithm 1 with line 4's allocation. On the sweep's frames
it acts greedily; the allocation for its beams is exact in every scheme, as for the other kinds of beams. So
the distance between its curve and the optimum's is due to learning alone.
"""

import dataclasses
from pathlib import Path

import jax
from jax import Array
from jaxtyping import Complex

from scattermec.agents.settings import TrainingConfig, learning
from scattermec.environment import reset
from scattermec.experiments.measure.sweeps import (
    SWEEPS,
    Measurement,
    Sweep,
    draw_frames,
    measure_chosen,
    parameters_at,
)
from scattermec.experiments.studies.base import Progress
from scattermec.experiments.studies.plan import Training
from scattermec.experiments.studies.results import Results, lines_of
from scattermec.experiments.studies.sweeps import SweepPoint, SweepStudy
from scattermec.learners import ALGORITHMS, Task
from scattermec.physics import Frame, maximum_ratio_beams, parameters_of
from scattermec.scenario import Scenario
from scattermec.training.program import Program

LEARNER, PRESET = "ap-ddpg", "tuned"
KIND = LEARNER
"""Name of these beams in measurements."""

CHUNK = 250
"""Frames between two reports of progress."""


class Learned(SweepStudy):
    """Training and measurement at every point of every sweep."""

    name = "learned"
    title = "learned beams, sweep"

    @property
    def items(self) -> tuple[SweepPoint, ...]:
        """The points of all sweeps."""
        return tuple(
            (sweep, value)
            for sweep in SWEEPS.values()
            for value in sweep.values(self.plan.scenario, self.plan.quick)
        )

    def frames_of(self, item: SweepPoint) -> int:
        """Frames trained, of all seeds together."""
        return self.plan.learned.total

    def has(self, kept: Results, item: SweepPoint) -> bool:
        """Whether the folder has a point."""
        sweep, value = item
        return (sweep.name, value, KIND) in kept.points

    def compute(self, item: SweepPoint, folder: Path, progress: Progress) -> str:
        """Train at a point, and measure the learned beams."""
        plan = self.plan
        measured = measure_learned(
            plan.scenario,
            *item,
            plan.learned,
            frames=plan.frames,
            seed=plan.seed,
            progress=progress,
        )
        return lines_of(measured)


STUDY = Learned


def measure_learned(
    scenario: Scenario,
    sweep: Sweep,
    value: float,
    training: Training,
    *,
    frames: int,
    seed: int,
    progress: Progress,
) -> list[Measurement]:
    """Train at one point of a sweep and measure on the same frames as `measure_point`.

    ``progress`` is called with the frames played, all seeds together. Intervals are over seeds.
    """
    parameters = parameters_at(parameters_of(scenario), sweep.name, value)
    task = Task(parameters=parameters, learning=learning(TrainingConfig.preset(PRESET), scenario))
    program = Program(ALGORITHMS[LEARNER], task, CHUNK)
    state, done = program.initial(range(training.seeds)), 0
    while done < training.frames:
        begin, done = done, min(done + CHUNK, training.frames)
        state, _ = program.advance(state, begin, done)
        progress(training.seeds * done)
    drawn = draw_frames(parameters, frames=frames, seed=seed)
    chosen = _greedy_beams(task, state, drawn)
    return measure_chosen(parameters, sweep, value, frames=drawn, kind=KIND, seed=seed, beams=chosen)


@jax.jit
def _greedy_beams(task: Task, states: object, frames: Frame) -> Complex[Array, "S K N M"]:
    """Beams of S learners for each of K frames, which the AP sees without error."""
    act = ALGORITHMS[LEARNER].MODES["estimate"]
    blank, key = reset(jax.random.key(0), task.parameters), jax.random.key(0)

    def beams(state: object, frame: Frame) -> Array:
        environment = dataclasses.replace(
            blank,
            frame=frame,
            observed_channels=frame.channels,
            observed_workload=frame.workload,
            beams=maximum_ratio_beams(frame.channels),
        )
        return act(task, state, environment, key).beams

    return jax.vmap(jax.vmap(beams, in_axes=(None, 0)), in_axes=(0, None))(states, frames)
