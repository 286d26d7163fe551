"""The value of estimate and learning if the AP knows channels or workloads imperfectly.

This is the paper's motive for learning. Algorithm 1 is trained with each error, and everyone acts on what is
seen while the frame itself uses the truth; shares are of the optimum that knows the truth.
"""

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import jax

from scattermec.agents.settings import TrainingConfig
from scattermec.environment import Decision, EnvState, as_seen
from scattermec.experiments.evaluate.evaluation import Row, evaluate
from scattermec.experiments.evaluate.policies import Contender, fixed_contenders, learned_contenders
from scattermec.experiments.measure.statistics import Estimate
from scattermec.experiments.measure.table import Table
from scattermec.experiments.studies.base import FileStudy, Progress
from scattermec.experiments.studies.plan import Plan
from scattermec.optimisation import estimate_allocation
from scattermec.physics import Frame, Parameters, maximum_ratio_beams, parameters_of
from scattermec.physics.channel import Key
from scattermec.scenario import Scenario
from scattermec.training import Plan as TrainingPlan
from scattermec.training import load_run, train

LEARNER, PRESET = "h-maddpg-opt", "tuned"
ERRORS = ("csi_error", "workload_error")
"""Constants of the scenario: relative errors."""
LEVELS = (0.05, 0.1, 0.2, 0.3)
QUICK_LEVELS = (0.2,)

CONTROLS = ("mrt", "optimum")
"""Policies that do not learn; both take what they see for the truth."""

SEEDS, QUICK_SEEDS = 20, 4
TRAINING_FRAMES, FRAMES = 5000, 1000
QUICK_TRAINING_FRAMES, QUICK_FRAMES = 500, 128

CAUTIOUS = "cautious"

LABELS = {
    "mrt": "MRT beams + P1",
    CAUTIOUS: "The same, planning for weaker channels and more work by the error's size",
    "optimum": "Optimal for what is seen",
    "estimate 0": "Untrained AP + P1",
    "estimate": "Learned AP + P1 (line 4)",
    "choice": "Algorithm 1's choice (lines 14 to 19)",
    "decentralised": "Its users alone",
}


class Case(NamedTuple):
    """An error of the AP's knowledge; ``constant`` is empty for no error."""

    constant: str
    error: float

    @property
    def name(self) -> str:
        """Name of its run's folder."""
        return f"{self.constant}-{self.error:g}" if self.constant else "exact"

    def of(self, scenario: Scenario) -> Scenario:
        """The scenario with this error."""
        values = scenario.model_dump() | dict.fromkeys(ERRORS, 0.0)
        return Scenario(**(values | ({self.constant: self.error} if self.constant else {})))


@dataclass(frozen=True)
class Knowledge(FileStudy[Case]):
    """Training and comparison under errors."""

    name = "knowledge"
    title = "imperfect knowledge"
    trains = True

    scenario: Scenario
    seeds: int = SEEDS
    training_frames: int = TRAINING_FRAMES
    """per seed"""
    frames: int = FRAMES
    """held-out independent frames of the comparison"""
    quick: bool = False
    seed: int = 0

    @classmethod
    def of(cls, plan: Plan) -> "Knowledge":
        """The default study, or its quick form."""
        if not plan.quick:
            return cls(plan.scenario, seed=plan.seed)
        return cls(
            plan.scenario,
            seeds=QUICK_SEEDS,
            training_frames=QUICK_TRAINING_FRAMES,
            frames=QUICK_FRAMES,
            quick=True,
            seed=plan.seed,
        )

    @property
    def items(self) -> tuple[Case, ...]:
        """No error, then each level of each error."""
        levels = QUICK_LEVELS if self.quick else LEVELS
        return (Case("", 0.0), *(Case(constant, level) for constant in ERRORS for level in levels))

    def frames_of(self, item: Case) -> int:
        """Frames trained, all seeds together."""
        return self.seeds * self.training_frames

    def settings(self) -> dict[str, Any]:
        """Everything that the numbers depend on."""
        return {
            "learner": LEARNER,
            "preset": PRESET,
            "seeds": self.seeds,
            "training_frames": self.training_frames,
            "frames": self.frames,
            "seed": self.seed,
            "cases": [list(case) for case in self.items],
            "scenario": self.scenario.record(),
        }

    def key(self, item: Case) -> str:
        """The name of its run's folder."""
        return item.name

    def compute(self, item: Case, folder: Path, progress: Progress) -> Any:
        """Train and compare under an error; an existing run continues from its checkpoint."""
        scenario, path = item.of(self.scenario), folder / self.name / item.name
        path.parent.mkdir(parents=True, exist_ok=True)
        train(
            TrainingPlan(
                algorithm=LEARNER,
                scenario=scenario,
                config=TrainingConfig.preset(PRESET),
                seeds=tuple(range(self.seeds)),
                frames=self.training_frames,
            ),
            path,
            resume=path.exists(),
            processes=1,
            command=_command(item, self.settings()),
            report=lambda now: progress(now.done),
        )
        contenders = fixed_contenders(scenario, CONTROLS) + learned_contenders(load_run(path), scenario)
        contenders.append(Contender(CAUTIOUS, partial(_cautious, parameters_of(scenario))))
        wanted = [one for one in contenders if _name(one) in LABELS]
        result = evaluate(scenario, wanted, frames=self.frames, rollout_frames=0, seed=self.seed)
        return {_name(row): _numbers(row) for row in result.rows}

    @classmethod
    def tabulate(cls, settings: Mapping[str, Any], found: Any) -> list[Table]:
        """Shares of the optimum and outages by policy and error."""
        cases = [Case(constant, error) for constant, error in settings["cases"]]
        return [_table(constant, cases, found, settings) for constant in ERRORS]


STUDY = Knowledge


@jax.jit
def _cautious(parameters: Parameters, key: Key, states: EnvState) -> Decision:
    """MRT beams, and P1's allocation for channels weaker and workloads larger by one standard deviation."""

    def decide(frame: Frame) -> Decision:
        beams = maximum_ratio_beams(frame.channels)
        feared = dataclasses.replace(
            frame,
            channels=frame.channels * (1 - parameters.csi_error),
            workload=frame.workload * (1 + parameters.workload_error),
        )
        return Decision(beams=beams, allocation=estimate_allocation(parameters, feared, beams).allocation)

    return jax.vmap(decide)(as_seen(states).frame)


def _name(policy: Contender | Row) -> str:
    """Name of a row of the table."""
    if policy.mode is None:
        return policy.policy
    return policy.mode if policy.trained else f"{policy.mode} 0"


def _numbers(row: Row) -> dict[str, list[float]]:
    return {name: list(row.estimates[name]) for name in ("of_optimum", "outage", "energy_efficiency")}


def _command(case: Case, settings: Mapping[str, Any]) -> str:
    change = f" --set {case.constant}={case.error:g}" if case.constant else ""
    return (
        f"scattermec train {LEARNER} --config {PRESET} --seeds {settings['seeds']} "
        f"--frames {settings['training_frames']}{change}"
    )


WORDS = {"csi_error": "channels", "workload_error": "workloads"}


def _table(constant: str, cases: Sequence[Case], found: dict[str, Any], settings: Mapping[str, Any]) -> Table:
    shown = [case for case in cases if case.constant in ("", constant) and case.name in found]
    rows = []
    for name, label in LABELS.items():
        cells = [_cell(found[case.name].get(name)) for case in shown]
        rows.append((label, *cells))
    return Table(
        title=f"What is known imperfectly: {WORDS[constant]}",
        note="Share of the reward (11) of the optimum that knows the truth, with its 95% interval; then the "
        f"part of users in outage. {settings['frames']:,} independent frames; the learner is {LEARNER}, "
        f"preset {PRESET}, trained under the error itself: {settings['seeds']} seeds of "
        f"{settings['training_frames']:,} frames. All but the second take what is seen for the truth.",
        columns=("policy", *(f"{constant} {case.error:.0%}" for case in shown)),
        rows=tuple(rows),
        command=_command(Case(constant, 0.1), settings) + " && scattermec evaluate DIR",
    )


def _cell(numbers: dict[str, list[float]] | None) -> str:
    if numbers is None:
        return "-"
    share, outage = Estimate(*numbers["of_optimum"]), Estimate(*numbers["outage"])
    return f"{share:.1%}; outage {outage.mean:.1%}"
