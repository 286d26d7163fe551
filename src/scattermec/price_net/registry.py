"""Trained policies: those shipped with the package, and those of training runs."""

import os
from functools import cache, partial
from pathlib import Path
from typing import NamedTuple

import jax

from scattermec.environment import Decision
from scattermec.errors import InputError
from scattermec.physics import Frame, Parameters, parameters_of
from scattermec.physics.parameters import harvest_faults, size_faults
from scattermec.price_net import ALGORITHM, SHIPPED, training, unknown_policy
from scattermec.price_net.modes import MODES, modes_of
from scattermec.price_net.policy import PriceNet
from scattermec.price_net.training import PriceNetConfig
from scattermec.scenario import Scenario
from scattermec.storage.texts import read_object
from scattermec.training import checkpoint
from scattermec.training.folder import CONFIG, RUN, SCENARIO

NETWORKS = "policy.npz"
"""File of the networks in the folder of a training run."""

TRAINED_WITH = {
    "price-net": PriceNetConfig(),
    "price-net-foresight": PriceNetConfig(discount=1.0),
    "price-net-varied": PriceNetConfig(scenarios="varied", rounds=3, batch_size=128),
    "price-net-robust": PriceNetConfig(knowledge="varied", start="price-net", learning_rate=2e-3),
}
"""Training of the policies in `SHIPPED`."""


class Policy(NamedTuple):
    """Trained networks, with their scenario and training configuration."""

    network: PriceNet
    scenario: Scenario
    config: PriceNetConfig
    seed: int
    steps: int

    @property
    def frames(self) -> int:
        """Number of frames trained on."""
        return self.steps * self.config.batch_size


def load(name: str | os.PathLike[str]) -> Policy:
    """Load the policy of that name in `SHIPPED`, or that of a training run's folder, finished or not.

    JAX must be in double precision. Raises InputError if there is no such policy.
    """
    if name in SHIPPED:
        return _shipped(str(name))
    path = Path(name)
    if not (path / RUN).exists() or read_object(path / RUN).get("algorithm") != ALGORITHM:
        raise unknown_policy(path)
    return _read(path / NETWORKS, Scenario.load(path / SCENARIO), PriceNetConfig.load(path / CONFIG))


def shipped_for(num_users: int, num_antennas: int) -> Policy:
    """The shipped policy for these numbers of users and antennas, else the one for any numbers."""
    default = Scenario()
    same = (num_users, num_antennas) == (default.num_users, default.num_antennas)
    return load("price-net" if same else "price-net-varied")


def check_fit(policy: Policy, scenario: Scenario | Parameters) -> None:
    """Raise InputError if the policy must not act in ``scenario``.

    Constants other than those of its training make it worse, not wrong. A rectifier that is not linear, and
    causal harvesting, are refused; so are other numbers of users or antennas, unless it was trained for any.
    """
    faults = harvest_faults(scenario, "with price-net")
    if policy.config.scenarios == "one":
        what, hint = "a price-net that was trained with", "; price-net-varied serves any number"
        faults = size_faults(scenario, policy.scenario, what, hint) + faults
    if faults:
        raise InputError(faults)


def decide(policy: Policy, parameters: Parameters, frame: Frame, mode: str | None = None) -> Decision:
    """Decision of the policy in one frame of N users as the AP sees it. Batch with vmap.

    Args:
        policy: from `load`.
        parameters: the scenario's constants.
        frame: channels (N, M), workload (N,) in kbit, battery (N,) in mJ.
        mode: "p1": the AP solves P1 for the network's beams; "announced": the AP solves P1, but
            every user responds to a broadcast; "decentralised": the same with nothing solved; "repaired":
            users act on what they have measured, the only mode of a policy trained for varied knowledge, and
            one of those with foresight. By default, the first of these it has.

    Returns:
        Unit beams (N, M) and an allocation, (N,) each in s and kbit.

    Raises InputError for a scenario that the policy must not act in, and for a mode that it does not have: a
    policy with foresight is never decentralised.
    """
    check_fit(policy, parameters)
    modes = modes_of(policy.network)
    mode = mode or next(iter(modes))
    if mode not in modes:
        raise InputError([f"mode: {mode!r} is not allowed; it must be {' or '.join(modes)}"])
    return _decide(mode, policy.network, parameters, frame)


@partial(jax.jit, static_argnums=0)
def _decide(mode: str, network: PriceNet, parameters: Parameters, frame: Frame) -> Decision:
    return MODES[mode](network, parameters, frame)


@cache  # called in every frame of a simulation
def _shipped(name: str) -> Policy:
    return _read(Path(__file__).with_name(f"{name}.npz"), Scenario(), TRAINED_WITH[name])


def _read(path: Path, scenario: Scenario, config: PriceNetConfig) -> Policy:
    example = jax.eval_shape(lambda: training.begin(config, 0, 1, parameters_of(scenario)).network)
    seeds = checkpoint.seeds_of(path)
    network, steps = checkpoint.load(path, example, seeds[:1])
    return Policy(network, scenario, config, seeds[0], steps)
