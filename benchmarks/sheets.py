"""Tables of named numbers, for results that do not compare solvers on frames."""

from dataclasses import asdict, dataclass, field
from typing import Any

LEARNING = """\
Everyone does one pass in turn, again and again, each in a single-threaded process of its own on the same
core; the best pass of each counts. scattermec: a jitted scan over frames, four seeds side by side, in the
preset `paper` and the default scenario; a frame is one step of the environment (with P1 solved in it for
`h-maddpg-opt`) and an update of the networks of the access point and the three users, drawing the batches
included. Two cores: two such processes at once, added up. BenchMARL: its own training loop with MADDPG on
VMAS `simple_spread`, three agents, networks, batch and buffer as ours; counted is an update of all three
agents (drawing the batch, losses, both optimisers' steps, targets), without the collection of frames, which
its second line includes, one frame of ten environments at once for each update. It trains three networks a
kind, as scattermec does, or, by its default, one shared by all. Stable-Baselines3: `learn` with an update
after every step. "A second of core time": where other processes take turns on the core, what would be done
in a second without them. To hold an agent's parameters, targets and moments in one vector each was tried; it
is no faster, since the products of small matrices take most of an update's time."""

PENDULUM = """\
Both have the same networks (relu), batch, buffer, discount 0.98, smoothing 0.005, learning
rate 0.001 and Gaussian noise (0.1 of the range of actions), one update a step from the first full batch on,
and act at random until then; they are evaluated greedily from the same twenty starts."""

STARTUP = """\
Each command in a process of its own on one core, first with an empty cache of compiled programs, then again
with what the first has left there; processor time is that of the process, user and system, from its start to
its end. `solve` is given 64 frames of the default scenario. `reproduce --quick` runs once, on two cores where
there are two, with an empty cache."""

SWEEPS = """\
Scenarios: `simulate --frames 500` in a process for each, with programs compiled before; or scenarios drawn
from ranges of three constants, all by one `sweep run --processes 1`, with start and compilation. Processor
time on one core; the number of frames is the same. "10,000 scenarios": at that rate, with the
start counted once. A sweep of trainings, simulated: the plan, the grouping, the engine `local` in one
process, the files and the merge are the real ones, and only the training is replaced by numbers drawn at
random. 20 seeds a group. Memory: of the process, Python with JAX and the package included; "most": the peak
until the end of the stage."""

TRAINERS = """\
`SyncVectorEnv` is Gymnasium's loop over single environments; `OffloadingVectorEnv` is what
`gymnasium.make_vec` makes, one compiled step for all. The learners all have the default scenario, the same
number of frames, its discount of 0.5, and the same 500 independent frames to be judged on, greedily. The
intervals are over seeds: mind how few there are. "The AP": problem (10) answers, as in
`scattermec/AccessPoint-v0`. "The AP, and for the users": one controller also corrects the estimate for
every user. BenchMARL's MAPPO plays TorchRL's batched environment, where a user knows the gain of its
last beam but not of the next; all its agents are paid the AP's reward. JaxMARL's IPPO, by its own script,
has the same knowledge and pay, and one network for all agents. Ours are trained and evaluated by
`scattermec train` and `scattermec evaluate`; their seconds include start and compilation. Seconds are by
the clock, and other processes may have had their share of the core. Ours have presets that were tuned for
this scenario; others' settings were not searched for (those that are not their own are in
`benchmarks/trainers_worker.py`, `benchmarks/benchmarl_mappo.py` and `benchmarks/jaxmarl_ippo.py`), and may
well do better. In the AP's environment equal prices, without any learning, reach
[most of the optimum](how-to/trainers.md) already."""

REWARDS = """\
What the setting `reward` does, for [a trainer of others](how-to/trainers.md): `efficiency` is (11), which is
0 if nobody is served; `partial` counts users as far as they come. All else is as in the section above, and
the share is that of (11) under both. One controller decides for everyone. "State the allocation": the users'
numbers are their allocations (`action_form="feasible"`); "correct the estimate": they correct that of problem
(10) (`action_form="correction"`)."""

DEVICES = """\
The shipped price-net in the default scenario, exported by `scattermec export`. AP: `decide` of `load_ap`,
with the networks run by onnxruntime and the rest in NumPy, beside the policy's mode `decentralised` in JAX,
on the same frames. "Share" is of the certified optimum's mean reward. Differences are the largest over all
frames, relative where numbers exceed 1; beams are compared up to their phases. User: user 0's answers to
the messages of the same frames, beside those of JAX in double precision; C computes in single precision.
x86: gcc -O2, called from Python, which takes part of the time. Cortex-M4: arm-none-eabi-gcc -Os with
hardware floating point, run by qemu-system-arm, whose clock advances by one nanosecond per instruction
(`-icount shift=0`); a loop of two million instructions, which is timed first, must be counted right. Code
is that of user.c alone, then with what it needs of newlib's mathematics."""

GPU = """\
The default scenario (N = 3, M = 3) in float64; P1 with beams for maximum ratio transmission. GPU:
`jax.jit(jax.vmap(allocate))`, or `optimise_beams` for P2, over the frames of a call, which lie on the GPU
already and whose solutions stay there: the portable solver, since the compiled kernel is for CPUs. That is
what a program on a GPU would do; `allocate_frames` and `optimise_beams_frames` cut frames into blocks that
suit a CPU's cache, too small for a GPU, and take them through the CPU's memory (the rows with "in blocks").
A batch that does not fit the GPU's memory is solved in several calls. CPU: `allocate_frames` or
`optimise_beams_frames` on one core in the same run, from frames to solutions. Compilation is not counted;
each number is from the best of several passes. "Difference", "verdicts" and "undecided" as above, for the
frames that the CPU has solved, too. JAX's wheels for GPUs are not in the lock file:
`pip install "jax[cuda12]"`, in the version of the lock file, adds them."""

SEEDS = """\
Our learners in the default scenario, preset `paper`, seeds side by side in one program, past the first batch;
frames of all seeds together, the best of three passes. h-maddpg-opt solves problem (10) for each seed's
frame: by the compiled kernel on the core, by the portable solver on the GPU."""


@dataclass
class Sheet:
    """One table: rows of numbers by name, with headings and formats of the columns."""

    title: str
    columns: dict[str, tuple[str, str]]
    """heading and format by the name of the number; rows may hold more numbers, for the file only"""
    rows: list[dict[str, Any]] = field(default_factory=list)
    remarks: list[str] = field(default_factory=list)

    def table(self) -> tuple[list[str], list[list[str]]]:
        """Head and rows for readers."""
        lines = []
        for row in self.rows:
            found = ((row.get(name), how) for name, (_, how) in self.columns.items())
            lines.append(["" if value is None else format(value, how) for value, how in found])
        return [heading for heading, _ in self.columns.values()], lines

    def as_json(self) -> dict[str, Any]:
        """All data."""
        return asdict(self)
