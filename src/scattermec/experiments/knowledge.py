"""What the estimate and learning are worth where the AP knows channels or workloads imperfectly.

The paper's motive for learning. For each error, Algorithm 1 is trained with it, and everyone acts on what is
seen while the frame itself uses the truth; shares are of the optimum that knows the truth.
"""

import dataclasses
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import jax

from scattermec.agents.settings import TrainingConfig
from scattermec.environment import EnvState
from scattermec.experiments import study
from scattermec.experiments.contenders import Contender, fixed_contenders, learned_contenders
from scattermec.experiments.evaluation import Row, evaluate
from scattermec.experiments.statistics import Estimate
from scattermec.experiments.tables import Table
from scattermec.learners.common import Decision, as_seen
from scattermec.optimisation import estimate_allocation
from scattermec.physics import Frame, Parameters, maximum_ratio_beams, parameters
from scattermec.physics.channel import Key
from scattermec.scenario import Scenario

FILE = "knowledge.json"
RUNS = "knowledge"
"""The folder of the training runs within that of a reproduction."""

LEARNER, PRESET = "h-maddpg-opt", "tuned"
ERRORS = ("csi_error", "workload_error")
"""Constants of the scenario, relative errors."""
LEVELS = (0.05, 0.1, 0.2, 0.3)
QUICK_LEVELS = (0.2,)

CONTROLS = ("mrt", "optimum")
"""Policies that do not learn; both take what they see for the truth."""

SEEDS, TRAINING_FRAMES, FRAMES = 4, 5000, 1000
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
    """An error of the AP's knowledge; ``constant`` is empty where there is none."""

    constant: str
    error: float

    @property
    def name(self) -> str:
        """Of its run's folder."""
        return f"{self.constant}-{self.error:g}" if self.constant else "exact"

    def of(self, scenario: Scenario) -> Scenario:
        """The scenario with this error."""
        values = scenario.model_dump() | dict.fromkeys(ERRORS, 0.0)
        return Scenario(**(values | ({self.constant: self.error} if self.constant else {})))


@dataclass(frozen=True)
class KnowledgePlan:
    """What is trained and compared."""

    scenario: Scenario
    seeds: int = SEEDS
    training_frames: int = TRAINING_FRAMES
    """of each seed"""
    frames: int = FRAMES
    """held-out independent frames, on which all are compared"""
    quick: bool = False
    seed: int = 0

    @property
    def cases(self) -> tuple[Case, ...]:
        """No error, then each level of each error."""
        levels = QUICK_LEVELS if self.quick else LEVELS
        return (Case("", 0.0), *(Case(constant, level) for constant in ERRORS for level in levels))

    @property
    def total(self) -> int:
        """Frames of all runs and seeds together."""
        return len(self.cases) * self.seeds * self.training_frames

    def settings(self) -> dict[str, Any]:
        """What the numbers depend on."""
        return {
            "learner": LEARNER,
            "preset": PRESET,
            "seeds": self.seeds,
            "training_frames": self.training_frames,
            "frames": self.frames,
            "seed": self.seed,
            "cases": [list(case) for case in self.cases],
            "scenario": self.scenario.model_dump(mode="json"),
        }


def plan(scenario: Scenario, seed: int, quick: bool) -> KnowledgePlan:
    """What is trained and compared in a scenario: by default, or for a quick look."""
    if not quick:
        return KnowledgePlan(scenario, seed=seed)
    return KnowledgePlan(
        scenario, training_frames=QUICK_TRAINING_FRAMES, frames=QUICK_FRAMES, quick=True, seed=seed
    )


def examine_knowledge(plan: KnowledgePlan, folder: Path, progress: Callable[[int], None]) -> None:
    """Train and compare under each error, into ``knowledge.json``; what is there is kept.

    Runs go on from their checkpoints. ``progress`` is told of the frames trained, all seeds together.
    Raises InputError where something in the folder was made with other settings.
    """
    # Imported late: a process trains only once its threads are settled.
    from scattermec.training import Plan, load_run, train

    found = _kept(plan, folder)
    each = plan.seeds * plan.training_frames
    for index, case in enumerate(plan.cases):
        if case.name in found:
            progress((index + 1) * each)
            continue
        scenario, path = case.of(plan.scenario), folder / RUNS / case.name
        path.parent.mkdir(parents=True, exist_ok=True)

        def report(now: Any, before: int = index * each) -> None:
            progress(before + now.done)

        train(
            Plan(
                algorithm=LEARNER,
                scenario=scenario,
                config=TrainingConfig.preset(PRESET),
                seeds=tuple(range(plan.seeds)),
                frames=plan.training_frames,
            ),
            path,
            resume=path.exists(),
            command=_command(case, plan.settings()),
            report=report,
        )
        contenders = fixed_contenders(scenario, CONTROLS) + learned_contenders(load_run(path), scenario)
        contenders.append(Contender(CAUTIOUS, partial(_cautious, parameters(scenario))))
        wanted = [one for one in contenders if _name(one) in LABELS]
        result = evaluate(scenario, wanted, frames=plan.frames, rollout_frames=0, seed=plan.seed)
        found[case.name] = {_name(row): _numbers(row) for row in result.rows}
        study.write(folder / FILE, plan.settings(), found)
        progress((index + 1) * each)


@jax.jit
def _cautious(constants: Parameters, key: Key, states: EnvState) -> Decision:
    """MRT beams and P1's allocation for channels weaker and workloads larger by one standard deviation."""

    def decide(frame: Frame) -> Decision:
        beams = maximum_ratio_beams(frame.channels)
        feared = dataclasses.replace(
            frame,
            channels=frame.channels * (1 - constants.csi_error),
            workload=frame.workload * (1 + constants.workload_error),
        )
        return Decision(beams=beams, allocation=estimate_allocation(constants, feared, beams).allocation)

    return jax.vmap(decide)(as_seen(states).frame)


def is_finished(plan: KnowledgePlan, folder: Path) -> bool:
    """Whether every case is in the folder."""
    return len(_kept(plan, folder)) == len(plan.cases)


def _name(policy: Contender | Row) -> str:
    """Of a row of the table."""
    if policy.mode is None:
        return policy.policy
    return policy.mode if policy.trained else f"{policy.mode} 0"


def _numbers(row: Row) -> dict[str, list[float]]:
    return {name: list(row.estimates[name]) for name in ("of_optimum", "outage", "energy_efficiency")}


def _command(case: Case, settings: dict[str, Any]) -> str:
    change = f" --set {case.constant}={case.error:g}" if case.constant else ""
    return (
        f"scattermec train {LEARNER} --preset {PRESET} --seeds {settings['seeds']} "
        f"--frames {settings['training_frames']}{change}"
    )


def _kept(plan: KnowledgePlan, folder: Path) -> dict[str, Any]:
    return study.kept(folder / FILE, plan.settings()) or {}


def tables(folder: Path) -> list[Table]:
    """Shares of the optimum and outages by policy and error; nothing where this was not examined."""
    if not (folder / FILE).exists():
        return []
    settings, found = study.read(folder / FILE)
    with study.damaged(folder / FILE):
        cases = [Case(constant, error) for constant, error in settings["cases"]]
        return [_table(constant, cases, found, settings) for constant in ERRORS]


WORDS = {"csi_error": "channels", "workload_error": "workloads"}


def _table(constant: str, cases: Sequence[Case], found: dict[str, Any], settings: dict[str, Any]) -> Table:
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
    return f"{share.mean:.1%} ({share.low:.1%} to {share.high:.1%}); outage {outage.mean:.1%}"
