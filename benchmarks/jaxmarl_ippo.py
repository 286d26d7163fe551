"""JaxMARL's own IPPO, the script as it is in its repository, on our environment.

The script is not part of JaxMARL's package, nor of this one: its users download it. It takes its environment
from `jaxmarl.make`, in whose place it finds a function that makes ours. It logs to wandb, for which an empty
module stands in.
"""

import hashlib
import importlib.util
import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import jax

# The script uses this submodule without importing it.
import jax.experimental

from benchmarks.processes import Unavailable
from scattermec.environment.jaxmarl_env import JaxMarlOffloading
from scattermec.scenario import Scenario

URL = (
    "https://raw.githubusercontent.com/FLAIROx/JaxMARL/428e054c58e52d889e57bd059e08b544100f7c7a"
    "/baselines/IPPO/ippo_ff_mabrax.py"
)
"""where the script is"""

SHA256 = "dfd6f633d6cb1341bcfb11bd85d7e96b50bfbb904cddf8ca5306d55eaa5ea443"
"""of the script: no other version is run"""

STEPS = 64
"""frames that each copy of the environment plays between updates"""


def check(path: Path) -> None:
    """Raise Unavailable if the script is missing or is another version."""
    if not path.is_file():
        raise Unavailable(f"{path.name}, its script, is not there; download {URL}")
    found = hashlib.sha256(path.read_bytes()).hexdigest()
    if found != SHA256:
        raise Unavailable(f"{path.name} has SHA-256 {found}; it must be {SHA256}, of {URL}")


def script(path: Path) -> ModuleType:
    """The script as a module, with our environment for its. Needs jaxmarl. Raises Unavailable as `check`."""
    check(path)
    spec = importlib.util.spec_from_file_location("jaxmarl_ippo_script", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    before = sys.modules.get("wandb")
    sys.modules["wandb"] = SimpleNamespace(log=lambda *_, **__: None)  # type: ignore[assignment]
    try:
        spec.loader.exec_module(module)
    finally:
        del sys.modules["wandb"]
        if before is not None:
            sys.modules["wandb"] = before
    module.jaxmarl = SimpleNamespace(make=lambda name, **settings: JaxMarlOffloading(**settings))
    return module


def train(path: Path, settings: dict[str, Any], seed: int, frames: int, environments: int) -> Any:
    """Train, and return the greedy policy: a function of dictionaries of agents.

    Frames are those of all environments together. Everyone is paid the AP's reward.
    """
    ours = {"team": True, "symmetric": True, **settings}
    config = {
        "ENV_NAME": JaxMarlOffloading(**ours).name,
        "ENV_KWARGS": ours,
        "TOTAL_TIMESTEPS": frames,
        "NUM_ENVS": environments,
        "NUM_STEPS": min(STEPS, max(frames // environments, 1)),
        "UPDATE_EPOCHS": 8,
        "NUM_MINIBATCHES": 16,
        "LR": 1e-3,
        "ANNEAL_LR": False,
        "GAMMA": Scenario().discount,
        "GAE_LAMBDA": 0.95,
        "CLIP_EPS": 0.2,
        "ENT_COEF": 0.0,
        "VF_COEF": 0.5,
        "MAX_GRAD_NORM": 0.5,
        "ACTIVATION": "tanh",
    }
    key, first = jax.random.split(jax.random.PRNGKey(seed))
    learn = script(path).make_train(config, first)
    learned = jax.jit(learn)(key)["runner_state"][0]
    made = JaxMarlOffloading(**ours)

    @jax.jit
    def act(seen: dict[str, Any]) -> dict[str, Any]:
        padded = made.padded(seen)
        chosen = {agent: learned.apply_fn(learned.params, row)[0].mode() for agent, row in padded.items()}
        return made.own_actions(chosen)

    return act
