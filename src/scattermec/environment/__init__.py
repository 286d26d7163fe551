"""The environment: a functional core in JAX, and adapters for Gymnasium and PettingZoo.

The core needs neither. The adapters are in `scattermec.environment.gymnasium_env` and
`scattermec.environment.pettingzoo_env` and need ``pip install 'scattermec[environments]'``.
``gymnasium.make("scattermec/Offloading-v0")`` makes the first, once `scattermec` is imported;
``gymnasium.make("scattermec:scattermec/Offloading-v0")`` imports it by itself. In
``scattermec/AccessPoint-v0`` only the access point acts, and problem (10) answers (`AP_ALONE`).
"""

from scattermec._gymnasium import AP_ALONE
from scattermec.environment.actions import (
    ACTION_FORMS,
    AP_ACTION_FORMS,
    NUMBERS_PER_USER,
    STATED_FORMS,
    ActionForm,
    ApActionForm,
    StatedForm,
    action_from_allocation,
    action_from_beams,
    allocation_from_action,
    ap_action_size,
    beams_from_action,
    beams_from_ap_action,
    beams_from_prices,
)
from scattermec.environment.core import (
    Draws,
    EnvState,
    StepResult,
    advance,
    ap_observation,
    draw_next,
    own_beam_share,
    phase_referenced,
    reset,
    reset_if_over,
    step,
    step_and_reset,
    user_observations,
    work_shares,
)
from scattermec.environment.decision import Decision, as_seen
from scattermec.environment.flat import FlatOffloading
from scattermec.environment.variant import Variant

__all__ = [
    "ACTION_FORMS",
    "AP_ACTION_FORMS",
    "AP_ALONE",
    "NUMBERS_PER_USER",
    "STATED_FORMS",
    "ActionForm",
    "ApActionForm",
    "Decision",
    "Draws",
    "EnvState",
    "FlatOffloading",
    "StatedForm",
    "StepResult",
    "Variant",
    "action_from_allocation",
    "action_from_beams",
    "advance",
    "allocation_from_action",
    "ap_action_size",
    "ap_observation",
    "as_seen",
    "beams_from_action",
    "beams_from_ap_action",
    "beams_from_prices",
    "draw_next",
    "own_beam_share",
    "phase_referenced",
    "reset",
    "reset_if_over",
    "step",
    "step_and_reset",
    "user_observations",
    "work_shares",
]
