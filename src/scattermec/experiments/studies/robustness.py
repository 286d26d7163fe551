"""Shipped policies when knowledge is late, noisy, rounded or lost: plans that are obeyed, and plans repaired.

In the default scenario, whose policies these are, whatever the scenario of the reproduction.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from scattermec.experiments.evaluate.robustness import (
    CONTROL,
    OBEY,
    REPAIR,
    Contender,
    measure_robustness,
)
from scattermec.experiments.measure.conditions import CONDITIONS
from scattermec.experiments.measure.statistics import Estimate
from scattermec.experiments.measure.table import Table
from scattermec.experiments.studies.base import FileStudy, Progress
from scattermec.experiments.studies.plan import Plan
from scattermec.learners.fixed import fixed_policy
from scattermec.physics import parameters_of
from scattermec.price_net import load
from scattermec.price_net.modes import plan_frames
from scattermec.scenario import Scenario

ROBUST = "price-net-robust"
QUICK_CONDITIONS = ("perfect", "channels to 20%")
FRAMES, QUICK_FRAMES = 2000, 128

COLUMNS = {
    ("optimum", OBEY): "the optimum, obeyed",
    ("optimum", REPAIR): "the optimum, repaired",
    (CONTROL, OBEY): "with the best flat margin, obeyed",
    (CONTROL, REPAIR): "with the best flat margin, repaired",
    (ROBUST, REPAIR): ROBUST,
}


@dataclass(frozen=True)
class Robustness(FileStudy[str]):
    """One item per condition of `CONDITIONS`."""

    name = "robustness"
    title = "policies with imperfect knowledge"

    frames: int = FRAMES
    quick: bool = False
    seed: int = 0

    @classmethod
    def of(cls, plan: Plan) -> "Robustness":
        """The default study, or its quick form."""
        return cls(QUICK_FRAMES if plan.quick else FRAMES, plan.quick, plan.seed)

    @property
    def items(self) -> tuple[str, ...]:
        """Names of conditions."""
        return QUICK_CONDITIONS if self.quick else tuple(CONDITIONS)

    def frames_of(self, item: str) -> int:
        """Frames of a condition."""
        return self.frames

    def settings(self) -> dict[str, Any]:
        """Everything that the numbers depend on."""
        return {
            "frames": self.frames,
            "seed": self.seed,
            "conditions": {name: CONDITIONS[name]._asdict() for name in self.items},
            "scenario": Scenario().record(),
        }

    def compute(self, item: str, folder: Path, progress: Progress) -> Any:
        """Measure all policies under a condition."""
        scenario, policy = Scenario(), load(ROBUST)
        parameters = parameters_of(scenario)
        contenders = [
            Contender("optimum", fixed_policy("optimum", parameters)),
            Contender(ROBUST, plans=partial(plan_frames, policy.network, parameters)),
        ]
        conditions = {item: CONDITIONS[item]}
        rows = measure_robustness(
            scenario, contenders, frames=self.frames, seed=self.seed, conditions=conditions
        )
        return [[row.policy, row.users, list(row.share), row.outage.mean] for row in rows]

    @classmethod
    def tabulate(cls, settings: Mapping[str, Any], found: Any) -> list[Table]:
        """Shares of the optimum, and outages, by condition and policy."""
        rows = []
        for condition in settings["conditions"]:
            cells = {(policy, users): _cell(*rest) for policy, users, *rest in found.get(condition, [])}
            rows.append((condition, *(cells.get(column, "-") for column in COLUMNS)))
        note = (
            "Share of the reward (11) of the optimum that knows everything, with its 95% interval; then the "
            f"part of users in outage. {settings['frames']:,} independent frames of the default scenario. "
            "Margins are chosen for each condition on other frames."
        )
        command = f"scattermec evaluate-robustness {ROBUST} --frames {settings['frames']}"
        columns = ("what is known", *COLUMNS.values())
        return [Table("Plans with slack, and users that repair", note, columns, tuple(rows), command)]


STUDY = Robustness


def _cell(share: list[float], outage: float) -> str:
    return f"{Estimate(*share):.1%}; outage {outage:.1%}"
