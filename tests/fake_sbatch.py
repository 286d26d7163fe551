"""A stand-in for Slurm: `sbatch` starts the jobs of an array as processes, and is rough with them.

Job 0 is killed as soon as it has kept something, and begun again, as after the loss of a node. Job 1 is asked
to leave, and begun again if the script puts it back into the queue, by `scontrol`.
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
results = folder / "results" / "part=0000"
wait_for(lambda: (results / "group-00000000.parquet").exists())
os.killpg(jobs[0].pid, signal.SIGKILL)
jobs[0].wait()
jobs[1].send_signal(signal.SIGUSR1)
assert jobs[1].wait() == 0
left_early = queue.exists()  # unless it was fast enough to finish first
if left_early:
    assert queue.read_text().split() == ["requeue", "7_1"], queue.read_text()
for index in (0, 1) if left_early else (0,):
    jobs[index] = start(index)
for job in jobs.values():
    assert job.wait() == 0
print("7;cluster")
