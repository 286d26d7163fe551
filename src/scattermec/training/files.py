"""Which folders a training run may have, and what their main files are called. Without JAX."""

from pathlib import Path

from scattermec.errors import InputError
from scattermec.storage.atomic import is_scaffold

RUN, SCENARIO, CONFIG = "run.json", "scenario.yaml", "training.yaml"
"""What was asked for, in a run's folder; the first is written last, so that a folder with it is complete."""


def check_folder(path: Path, *, resume: bool) -> bool:
    """Whether there is a run to resume. Raises InputError where none can be put or resumed."""
    if path.exists() and not path.is_dir():
        raise InputError([f"{path}: is not a folder"])
    names = {entry.name for entry in path.iterdir()} if path.is_dir() else set()
    if RUN in names:
        if not resume:
            raise InputError([f"{path}: holds a training run; add --resume to go on, or name another folder"])
        return True
    # What is left by a process that was killed before it had begun does not count.
    if any(name not in (SCENARIO, CONFIG) and not is_scaffold(name) for name in names):
        raise InputError([f"{path}: has something in it and is no training run; name another folder"])
    return False
