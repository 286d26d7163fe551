"""A stand-in for Slurm: `sbatch` starts the jobs of an array as processes, and is rough with them.

Job 0 is killed as soon as it has kept something, and begun again, as after the loss of a node. Job 1, if any,
is asked to leave, and begun again if the script puts it back into the queue, by `scontrol`.
"""

import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

script = Path(sys.argv[-1])
folder = script.parent
(last,) = re.findall(r"^#SBATCH --array=0-(\d+)$", script.read_text(), re.MULTILINE)
queue = Path(os.environ["FAKE_QUEUE"])


def start(index: int) -> subprocess.Popen:
    environment = {**os.environ, "SLURM_ARRAY_JOB_ID": "7", "SLURM_ARRAY_TASK_ID": str(index)}
    with (folder / "logs" / f"{index}.log").open("a") as log:
        return subprocess.Popen(
            ["bash", script], env=environment, stdout=log, stderr=log, start_new_session=True
        )


def wait_for(condition) -> None:
    begin = time.monotonic()
    while not condition():
        assert time.monotonic() - begin < 120
        time.sleep(0.02)


jobs = {index: start(index) for index in range(int(last) + 1)}
wait_for(lambda: any(folder.glob(os.environ["FAKE_KEPT"])))
os.killpg(jobs[0].pid, signal.SIGKILL)
jobs[0].wait()
if 1 in jobs:
    jobs[1].send_signal(signal.SIGUSR1)
    assert jobs[1].wait() == 0
    if queue.exists():  # unless it was fast enough to finish first
        assert queue.read_text().split() == ["requeue", "7_1"], queue.read_text()
        jobs[1] = start(1)
jobs[0] = start(0)
for job in jobs.values():
    assert job.wait() == 0
print("7;cluster")
