"""Commands that recompute single parts of a report, for printing on its pages."""

import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from scattermec.experiments.claims.learning import LearningCurves
from scattermec.experiments.measure.sweeps import SWEEPS
from scattermec.experiments.studies import price_nets
from scattermec.experiments.studies.figure_2 import run_folder, train_command
from scattermec.experiments.studies.results import scenario_option
from scattermec.scenario import Scenario

AGAIN = "again"
"""New folder for the output of the commands, since the report's own refuses other settings."""


def figure_command(
    figures: Sequence[str], settings: Mapping[str, Any], scenario: Scenario, folder: Path
) -> str:
    """The command that recomputes figures of sweeps, with the frames and seed of the report."""
    words = ["scattermec", "reproduce", "--out", AGAIN, "--figures", ",".join(figures)]
    words += ["--quick"] if is_quick(settings) else []
    words += ["--frames", str(settings["frames"]), "--seed", str(settings["seed"])]
    words += ["--beams", ",".join(settings["beams"])]
    return shlex.join([*words, *scenario_option(scenario, folder)])


def is_quick(settings: Mapping[str, Any]) -> bool:
    """Whether the settings are those of ``--quick``, with fewer points."""
    return all(len(settings["points"][sweep.name]) == sweep.count(quick=True) for sweep in SWEEPS.values())


def training_commands(curves: Sequence[LearningCurves], scenario: Scenario, folder: Path) -> list[str]:
    """The commands that repeat each training run of Fig. 2, and evaluate those in the folder."""
    commands, evaluations, price_nets_commands = [], [], []
    for run in curves:
        frames = int(run.frames[-1])
        if run.preset is None:
            words = price_nets.train_command(run.learner, frames)
            words += ["--out", f"{AGAIN}/{run.learner}", *scenario_option(scenario, folder)]
            price_nets_commands.append(shlex.join(words))
            continue
        words = shlex.split(train_command(run.learner, run.preset, len(run.values["reward"]), frames))
        words += ["--out", f"{AGAIN}/{run.learner}-{run.preset}", *scenario_option(scenario, folder)]
        commands.append(shlex.join(words))
        path = run_folder(folder, run.learner, run.preset)
        evaluations.append(shlex.join(["scattermec", "evaluate", str(path)]))
    return commands + evaluations + price_nets_commands
