"""The commands that compute single parts of a report again, for its pages to print."""

import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from scattermec.experiments import price_nets
from scattermec.experiments.learning import LearningCurves, run_folder, train_command
from scattermec.experiments.sweeps import SWEEPS
from scattermec.scenario import Scenario

AGAIN = "again"
"""The new folder that the commands write to: that of the report refuses other settings."""


def scenario_option(scenario: Scenario, folder: Path) -> list[str]:
    """``--scenario`` with the file in the report's folder, unless the scenario is the default."""
    return [] if scenario == Scenario() else ["--scenario", str(folder / "scenario.yaml")]


def figure_command(
    figures: Sequence[str], settings: Mapping[str, Any], scenario: Scenario, folder: Path
) -> str:
    """What computes figures of sweeps again, with the frames and seed of the report."""
    words = ["scattermec", "reproduce", "--out", AGAIN, "--figures", ",".join(figures)]
    words += ["--quick"] if is_quick(settings) else []
    words += ["--frames", str(settings["frames"]), "--seed", str(settings["seed"])]
    words += ["--beams", ",".join(settings["beams"])]
    return shlex.join([*words, *scenario_option(scenario, folder)])


def is_quick(settings: Mapping[str, Any]) -> bool:
    """Whether the settings are those of ``--quick``, with fewer points."""
    return all(list(sweep.values(True)) == settings["points"][sweep.name] for sweep in SWEEPS.values())


def training_commands(curves: Sequence[LearningCurves], scenario: Scenario, folder: Path) -> list[str]:
    """What trains each run of Fig. 2 again, and what evaluates those in the folder."""
    commands = []
    learners = [run for run in curves if run.learner not in price_nets.CONFIGS]
    for run in learners:
        seeds, frames = run.values["reward"].shape[0], int(run.frames[-1])
        words = shlex.split(train_command(run.learner, run.preset, seeds, frames))
        words += ["--out", f"{AGAIN}/{run.learner}-{run.preset}", *scenario_option(scenario, folder)]
        commands.append(shlex.join(words))
    for run in learners:
        commands.append(
            shlex.join(["scattermec", "evaluate", str(run_folder(folder, run.learner, run.preset))])
        )
    for run in curves:
        if run not in learners:
            words = price_nets.train_command(run.learner, int(run.frames[-1]))
            words += ["--out", f"{AGAIN}/{run.learner}", *scenario_option(scenario, folder)]
            commands.append(shlex.join(words))
    return commands
