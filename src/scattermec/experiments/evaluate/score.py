"""Anyone's answers to frames, played by the equations and held against the certified optimum."""

from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from jaxtyping import Complex, Float

from scattermec._programs import kept_jit
from scattermec.optimisation import INFEASIBLE, optimise_beams_frames, optimise_service_frames
from scattermec.optimisation.allocation import relative_gap
from scattermec.optimisation.beamforming import CERTIFIED_GAP
from scattermec.physics import Allocation, Frame, Parameters, run_frame
from scattermec.physics.frame import CONSTRAINTS, constraint_excess

OPTIMAL_GAP = CERTIFIED_GAP["float64"]
"""An answer is optimal if its energy is above the bound by at most this much, relatively."""

REFERENCE = ("lower_bound", "best_reward", "reward_bound", "servable")
"""What is proved about a frame, whatever the answer; see `score_rows`."""

Rows = Mapping[str, np.ndarray]


def reference_rows(parameters: Parameters, frames: Frame) -> dict[str, np.ndarray]:
    """The arrays `REFERENCE` of K frames. The rectifier must be linear; not for use inside jit."""
    everyone = optimise_beams_frames(parameters, frames)
    service = optimise_service_frames(parameters, frames)
    rows = {
        "lower_bound": everyone.lower_bound,
        "best_reward": service.reward,
        "reward_bound": service.reward_bound,
        "servable": everyone.status != INFEASIBLE,
    }
    return {name: np.asarray(row) for name, row in rows.items()}


def score_rows(
    parameters: Parameters,
    frames: Frame,
    beams: Complex[Array, "K N M"],
    allocation: Allocation,
    reference: Rows,
) -> dict[str, np.ndarray]:
    """What an answer achieves in each of K frames.

    Args:
        parameters: the scenario's constants.
        frames: K frames.
        beams: a zero beam means maximum ratio transmission.
        allocation: of K frames, too.
        reference: of these frames, see `reference_rows`.

    Returns:
        Per frame, (K,): ``energy`` of the AP in J, ``reward`` (11) in kbit/J; ``lower_bound`` in J of
        serving everyone (infinite if nobody can), whether that is not proved impossible (``servable``), and
        ``gap``, by how much the energy is above it relative to the energy (infinite unless everyone is
        served); ``best_reward`` in kbit/J of any set of users, its upper bound ``reward_bound`` (infinite
        for more than 6 users) and ``reward_gap``, by how much the reward is below that, relative to it. A
        gap is 0 rather than negative. Per user, (K, N): ``success``, and ``excess_...``, by how much each
        of `CONSTRAINTS` is exceeded, in its unit (0 where it holds).
    """
    played = jax.device_get(
        _play(parameters, frames, beams, allocation, jnp.asarray(reference["lower_bound"]))
    )
    reward, bound = played["reward"], reference["reward_bound"]
    with np.errstate(invalid="ignore", divide="ignore"):
        below = np.where(reward >= bound, 0, 1 - reward / bound)
    return {**played, **{name: reference[name] for name in REFERENCE}, "reward_gap": below}


@kept_jit
def _play(
    parameters: Parameters,
    frames: Frame,
    beams: Complex[Array, "K N M"],
    allocation: Allocation,
    lower_bound: Float[Array, " K"],
) -> dict[str, Array]:
    def play(
        frame: Frame, beams: Complex[Array, "N M"], allocation: Allocation, bound: Float[Array, ""]
    ) -> dict[str, Array]:
        outcome = run_frame(parameters, frame, beams, allocation)
        excess = constraint_excess(parameters, frame, beams, allocation, outcome)
        gap = jnp.maximum(relative_gap(outcome.ap_energy, outcome.ap_energy, bound), 0)
        return {
            "energy": outcome.ap_energy,
            "reward": outcome.ap_reward,
            "gap": jnp.where(jnp.all(outcome.success), gap, jnp.inf),
            "success": outcome.success,
            **{f"excess_{name}": amount for name, amount in excess.items()},
        }

    return jax.vmap(play)(frames, beams, allocation, lower_bound)


def summary_of(rows: Rows) -> dict[str, Any]:
    """Numbers over all frames of `score_rows`, and of each constraint, where it fails and by how much.

    ``share`` is the ratio of the mean reward to the mean of the best reward; ``over_bound`` is the energy of
    the frames in which everyone is served over its bound, less 1. Either is None if there is none.
    """
    success, gaps = rows["success"], rows["gap"]
    complete = success.all(axis=1)
    best = float(rows["best_reward"].sum())
    bound = float(rows["lower_bound"][complete].sum())
    return {
        "frames": len(gaps),
        "users": success.shape[1],
        "outage": float(1 - success.mean()),
        "outage_per_user": [float(share) for share in 1 - success.mean(axis=0)],
        "servable": int(rows["servable"].sum()),
        "all_served": int(complete.sum()),
        "optimal": int((gaps <= OPTIMAL_GAP).sum()),
        "mean_energy": float(rows["energy"].mean()),
        "mean_reward": float(rows["reward"].mean()),
        "mean_best_reward": best / len(gaps),
        "share": float(rows["reward"].sum()) / best if 0 < best < np.inf else None,
        "over_bound": float(rows["energy"][complete].sum()) / bound - 1 if 0 < bound < np.inf else None,
        "largest_gap": float(gaps[complete].max()) if complete.any() else None,
        "constraints": {
            name: _failures(rows[f"excess_{name}"]) | {"unit": unit} for name, unit in CONSTRAINTS.items()
        },
    }


def _failures(excess: np.ndarray) -> dict[str, Any]:
    """How often a constraint fails, and the largest excess with its place."""
    number = int(np.count_nonzero(excess))
    if not number:
        return {"failures": 0, "largest": 0.0, "frame": None, "user": None}
    frame, user = (int(index) for index in np.unravel_index(int(excess.argmax()), excess.shape))
    return {"failures": number, "largest": float(excess[frame, user]), "frame": frame, "user": user}
