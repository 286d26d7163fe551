"""The training configuration: every number of Table I and every choice that the paper leaves open."""

import dataclasses
import math
from collections.abc import Iterator
from typing import Any, ClassVar, Literal

import jax.numpy as jnp
import numpy as np
from jax import Array
from jaxtyping import Float

from scattermec._pytree import pytree, static
from scattermec._settings import FileSettings, constant
from scattermec._yaml import show
from scattermec.counts import MOST_BATCH, MOST_LAYERS, MOST_TRANSITIONS, MOST_WIDTH
from scattermec.environment.actions import ActionForm, ApActionForm
from scattermec.errors import InputError
from scattermec.scenario import Scenario

Activation = Literal["sigmoid", "relu", "tanh"]
Exploration = Literal["gaussian", "uniform"]
TeamReward = Literal["success", "efficiency", "energy"]


class TrainingConfig(FileSettings):
    """Hyperparameters of the learners; immutable, compared and hashed by value. Default: the preset `paper`.

    All faults are reported at once in an `InputError`, on construction too.
    """

    _also_allowed: ClassVar = {float | None: "null for the usual one"}
    _title: ClassVar = "a training configuration"
    _sections: ClassVar = {
        "actor_layers": "Table I",
        "exploration_decay": "What the paper leaves open",
        "action_form": "What the agents see, do and are paid",
    }

    actor_layers: tuple[int, ...] = constant(
        (128, 64), "", "", f">= 1 and <= {MOST_WIDTH}", "Hidden layers of an actor"
    )
    critic_width: int = constant(128, "", "", f">= 1 and <= {MOST_WIDTH}", "Hidden layer of a critic")
    hidden_activation: Activation = constant(
        "sigmoid", "", "", "sigmoid, relu or tanh", "What hidden layers of an actor apply:"
    )
    actor_learning_rate: float = constant(1e-3, "", "", "> 0", "Learning rate of actors")
    critic_learning_rate: float = constant(1e-3, "", "", "> 0", "Learning rate of critics")
    batch_size: int = constant(64, "", "", f">= 1 and <= {MOST_BATCH}", "Transitions that an update sees")
    buffer_size: int = constant(
        2000, "", "", f">= 1 and <= {MOST_TRANSITIONS}", "Transitions that an agent remembers"
    )
    discount: float | None = constant(
        None, "gamma", "", ">= 0 and < 1", "Reward discount; null: the scenario's"
    )
    smoothing: float = constant(0.1, "", "", "> 0 and <= 1", "Step of the target networks")
    exploration_probability: float = constant(0.5, "epsilon", "", ">= 0 and <= 1", "Probability of exploring")

    exploration_decay: float = constant(
        0.0, "", "frames", ">= 0", "Frames until epsilon has fallen; 0: it is constant"
    )
    exploration_floor: float = constant(0.0, "", "", ">= 0 and <= 1", "Epsilon after its decay")
    exploration: Exploration = constant("gaussian", "", "", "gaussian or uniform", "How agents explore:")
    exploration_noise: float = constant(0.2, "", "", ">= 0", "Standard deviation of gaussian exploration")

    action_form: ActionForm = constant(
        "paper", "", "", "paper, feasible or correction", "How users' numbers are read:"
    )
    ap_action: ApActionForm = constant(
        "beams", "", "", "beams, prices or log_prices", "How the AP's numbers are read:"
    )
    phase_reference: bool = constant(
        False, "", "", "true or false", "Channels seen turned, the first antenna's real:"
    )
    ap_discount: float | None = constant(
        None, "", "", ">= 0 and < 1", "Reward discount of the AP alone; null: like the users'"
    )
    reward_scale: float | None = constant(
        1.0, "", "J/kbit", "> 0", "Factor on the AP's reward before it is learned; null: from the scenario"
    )
    reward_limit: float | None = constant(
        None, "", "", "> 0", "Scaled rewards of the AP above this are learned as this; null: no limit"
    )
    team_weight: float | None = constant(
        None, "", "", ">= 0 and <= 1", "Team share in the users' reward; null: the scenario's"
    )
    team_reward: TeamReward = constant(
        "success",
        "",
        "",
        "success, efficiency or energy",
        "What the team is paid: users served, (11) scaled, or users served less scaled energy:",
    )

    @classmethod
    def preset(cls, name: str) -> "TrainingConfig":
        """The configuration of that name in `PRESETS`; raises InputError for an unknown name."""
        if name not in PRESETS:
            raise InputError([f"preset: {name!r} is not known; choose from {', '.join(PRESETS)}"])
        return PRESETS[name]

    def _cross_faults(self) -> Iterator[tuple[tuple[str, ...], str]]:
        if not 1 <= len(self.actor_layers) <= MOST_LAYERS:
            line = f"actor_layers: {show(self.actor_layers, 40)} is not allowed; it must be"
            yield ("actor_layers",), f"{line} a list of at least one size >= 1, and at most {MOST_LAYERS}"
        if self.batch_size > self.buffer_size:
            line = f"batch_size: {self.batch_size} is not allowed; it must be <= buffer_size"
            yield ("batch_size", "buffer_size"), f"{line}, {self.buffer_size}"
        if self.exploration_floor > self.exploration_probability:
            line = f"exploration_floor: {self.exploration_floor} is not allowed; it must be"
            yield (
                ("exploration_floor", "exploration_probability"),
                f"{line} <= exploration_probability, {self.exploration_probability}",
            )


PRESETS: dict[str, TrainingConfig] = {
    "paper": TrainingConfig(),
    "tuned": TrainingConfig(
        hidden_activation="relu",
        actor_learning_rate=3e-4,
        buffer_size=20000,
        exploration_decay=10000.0,
        exploration_floor=0.1,
        action_form="feasible",
        ap_action="prices",
        phase_reference=True,
        reward_scale=0.01,
        team_weight=1.0,
    ),
}
PRESETS["corrections"] = PRESETS["tuned"].replace(
    action_form="correction",
    ap_action="log_prices",
    discount=0.2,
    ap_discount=0.0,
    reward_scale=None,
    reward_limit=10.0,
    team_reward="energy",
)
"""Table I exactly as in the paper; tuned settings of the same algorithms and networks; and these, with users
that correct the AP's estimate."""


@pytree
class Learning:
    """A configuration as arrays that may be swept with vmap, and static settings."""

    # Numbers, in float32.
    actor_learning_rate: Float[Array, ""]
    critic_learning_rate: Float[Array, ""]
    discount: Float[Array, ""]
    ap_discount: Float[Array, ""]
    smoothing: Float[Array, ""]
    exploration_probability: Float[Array, ""]
    exploration_decay: Float[Array, ""]
    exploration_floor: Float[Array, ""]
    exploration_noise: Float[Array, ""]
    reward_scale: Float[Array, ""]
    reward_limit: Float[Array, ""]
    team_weight: Float[Array, ""]
    # Static: changing one recompiles.
    actor_layers: tuple[int, ...] = static()
    critic_width: int = static()
    hidden_activation: Activation = static()
    batch_size: int = static()
    buffer_size: int = static()
    exploration: Exploration = static()
    action_form: ActionForm = static()
    ap_action: ApActionForm = static()
    team_reward: TeamReward = static()
    phase_reference: bool = static()


def learning(config: TrainingConfig, scenario: Scenario, reward_scale: float = 1.0) -> Learning:
    """``config`` as arrays. Settings that are None are taken from the scenario, or from the users'.

    ``reward_scale`` is used where the configuration has none.
    """
    shared = scenario.discount if config.discount is None else config.discount
    others = {"discount": shared, "ap_discount": shared}
    others |= {"team_weight": scenario.team_weight}
    others |= {"reward_scale": reward_scale, "reward_limit": math.inf}

    def value(field: dataclasses.Field) -> Any:
        given = getattr(config, field.name)
        given = others[field.name] if given is None else given
        return given if field.metadata.get("static") else jnp.asarray(np.float32(given))

    return Learning(**{field.name: value(field) for field in dataclasses.fields(Learning)})
