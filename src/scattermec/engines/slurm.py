"""A Slurm cluster: an array of jobs, each of which computes its share of the tasks, one after the other."""

import math
import shlex
import subprocess
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from shutil import which

from scattermec._processes import asked_to_leave
from scattermec.engines import Report, Work
from scattermec.errors import ComputationError, UnfinishedError
from scattermec.storage.atomic import replace_text

SCRIPT = "array.sbatch"
LOGS = "logs"

NOTICE = 90
"""Seconds before its end at which Slurm tells a job to leave."""


@dataclass(frozen=True)
class Settings:
    """What the jobs of an array ask for."""

    jobs: int = 1000
    """at most so many jobs; Slurm's own default allows 1000 in an array"""
    time: str = "01:00:00"
    """most time of a job, as `sbatch --time` takes it"""
    memory: str = "2G"
    """of a job, as `sbatch --mem` takes it"""
    prologue: str = ""
    """shell line before the command, such as one that activates a virtual environment"""
    launcher: str = ""
    """words before the command, such as those that run it in a container"""


def share(index: int, jobs: int, tasks: int) -> range:
    """The tasks of job number ``index`` of ``jobs``: as many for each, the last may have fewer."""
    each = math.ceil(tasks / jobs)
    return range(min(index * each, tasks), min((index + 1) * each, tasks))


def number_of_jobs(settings: Settings, tasks: int) -> int:
    """Jobs of an array for so many tasks; each has at least one."""
    if not tasks:
        return 0
    return math.ceil(tasks / math.ceil(tasks / settings.jobs))


def run(work: Work, numbers: Sequence[int], report: Report) -> None:
    """Compute and keep tasks, within a job. Raises UnfinishedError when a signal asks the job to leave."""
    for number in numbers:
        if asked_to_leave():
            raise UnfinishedError(f"task {number} and those after it are left")
        work.keep(number, work.compute(number))
        report(number)


def script(command: Sequence[str], folder: Path, settings: Settings, tasks: int) -> str:
    """The script of an array whose jobs run ``command`` with `--index` and `--jobs`.

    A signal is passed on to the command, which keeps its work and ends with the status of UnfinishedError
    (or of the signal itself, if it had hardly begun); the job is then put back into the queue.
    """
    jobs = number_of_jobs(settings, tasks)
    line = " ".join(filter(None, (settings.launcher, shlex.join(command))))
    return f"""#!/bin/bash
#SBATCH --job-name=scattermec
#SBATCH --array=0-{max(jobs - 1, 0)}
#SBATCH --ntasks=1
#SBATCH --cpus-per-task=1
#SBATCH --time={settings.time}
#SBATCH --mem={settings.memory}
#SBATCH --signal=B:USR1@{NOTICE}
#SBATCH --requeue
#SBATCH --open-mode=append
#SBATCH --output={folder.resolve() / LOGS}/%a.log

{settings.prologue or "# A prologue would be here."}

{line} --index "$SLURM_ARRAY_TASK_ID" --jobs {jobs} &
child=$!
trap 'kill -USR1 $child' USR1 TERM
wait $child
status=$?
while kill -0 $child 2> /dev/null; do  # a signal has ended the wait, not the command
    wait $child
    status=$?
done
if [ $status -eq {UnfinishedError.exit_status} ] || [ $status -eq $((128 + $(kill -l USR1))) ]; then
    scontrol requeue "${{SLURM_ARRAY_JOB_ID}}_$SLURM_ARRAY_TASK_ID"
    exit 0
fi
exit $status
"""


def not_submitted(path: Path) -> str:
    """What to do with a script where there is no `sbatch`."""
    return f"There is no sbatch here; submit it with: sbatch {path}"


class NotSubmittedError(UnfinishedError):
    """There is no `sbatch` on this machine: somebody has to submit the script."""

    def __init__(self, path: Path) -> None:
        self.path = path
        super().__init__(not_submitted(path))


def complete(
    command: Sequence[str], folder: Path, settings: Settings, tasks: int, left: Callable[[], int]
) -> None:
    """Submit an array for ``tasks`` tasks, and wait for its end; ``left`` counts those not done.

    Raises NotSubmittedError without `sbatch`, and ComputationError if tasks are left.
    """
    path, job = submit(command, folder, settings, tasks, wait=True)
    if job is None:
        raise NotSubmittedError(path)
    if left():
        raise ComputationError(
            f"{left()} of {tasks} tasks of job {job} are left: see {folder / LOGS}; the same command goes on"
        )


def submit(
    command: Sequence[str], folder: Path, settings: Settings, tasks: int, *, wait: bool = False
) -> tuple[Path, str | None]:
    """Write the script into the folder, submit it if there is `sbatch`, and perhaps wait for its end.

    Returns the script, and the job's number or None. Raises ComputationError if Slurm refuses it.
    """
    path = folder / SCRIPT
    (folder / LOGS).mkdir(parents=True, exist_ok=True)
    replace_text(path, script(command, folder, settings, tasks))
    program = which("sbatch")
    if program is None:
        return path, None
    words = [program, "--parsable", *(["--wait"] if wait else []), str(path)]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    job = done.stdout.strip().partition(";")[0]
    # With --wait the status is that of the jobs, whose tasks tell more.
    if done.returncode and not (wait and job):
        raise ComputationError(f"sbatch: {done.stderr.strip() or f'status {done.returncode}'}")
    return path, job
