"""The learners: the paper's Algorithm 1 and the algorithms compared with it, one file each."""

from scattermec.learners import ap_ddpg, ddpg, h_maddpg, h_maddpg_opt
from scattermec.learners.common import Algorithm, Record, Task, new_task

ALGORITHMS: dict[str, Algorithm] = {
    "h-maddpg-opt": h_maddpg_opt,
    "h-maddpg": h_maddpg,
    "ap-ddpg": ap_ddpg,
    "ddpg": ddpg,
}
"""The learners by name; each is a module of pure functions."""

__all__ = ["ALGORITHMS", "Algorithm", "Record", "Task", "new_task"]
