"""The measurements: our solvers and the peers on the same frames."""

import math
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from benchmarks import frames as workload
from benchmarks.conic import ConicProblem, allocation_problem, beams_problem
from benchmarks.peers import TOLERANCE, ClarabelDirect, Moreau, Unavailable
from benchmarks.results import OURS, Answers, Case, Section
from benchmarks.timing import time_passes
from reference_allocation import OPTIMAL, ReferenceSolver, data_of
from reference_beams import ReferenceBeams, beams_data_of
from scattermec.optimisation import (
    INFEASIBLE,
    BatteryValue,
    BeamSolution,
    Solution,
    allocate,
    allocate_frames,
    optimise_beams,
    optimise_beams_frames,
)
from scattermec.physics import Frame, Parameters, parameters_of

BATTERY_PARTS = 16
"""Number of battery levels, as in the shipped policy with foresight."""

FORESIGHT = "frames a second with battery values of 16 parts, relative to without"

MOREAU_BATCHES = (1, 64)

LONGEST_PASS = 60.0
"""s: a batch size is left out if a pass would take longer, judging by the rate of the previous size."""

Tell = Callable[[str], None]


def compare_allocation(
    section: Section, users: int, batches: Sequence[int], sample: int, seconds: float, tell: Tell
) -> None:
    """P1 with MRT beams: ``sample`` frames of N users, in calls of each size of ``batches``."""
    scenario = workload.scenario(users, 3)
    parameters = parameters_of(scenario)
    pool = max(_whole(sample, batch) for batch in batches)
    frames, beams = workload.draw(parameters, pool)
    case = Case("allocation", users, scenario.num_antennas, sample)
    section.tables.append(case)
    ours: Answers | None = None
    for batch in batches:
        tell(f"P1, N = {users}: {OURS}, {batch} a call")
        count = _whole(sample, batch)
        if _left_out(case, batch, count):
            continue
        calls = workload.slices((frames, beams), count, batch)
        jax.block_until_ready(allocate_frames(parameters, *calls[0]))  # compiles
        timing = time_passes(
            calls, lambda call: jax.block_until_ready(allocate_frames(parameters, *call)), seconds
        )
        answers = Answers.of_solutions(timing.results)
        ours = ours or answers
        case.infeasible_share = float(np.mean(ours.verdict[:sample] == INFEASIBLE))
        case.add(OURS, batch, count, timing, answers, None)
        section.save()
    if 1 in batches:
        for precision in ("float64", "float32"):
            tell(f"P1, N = {users}: {OURS}, scan, {precision}")
            _add_scan(case, parameters, workload.first((frames, beams), sample), precision, ours, seconds)
            section.save()

    def with_value(value: BatteryValue | None, frame: Frame, beams: Array) -> Solution:
        return allocate(parameters, frame, beams, battery_value=value)

    case.notes[FORESIGHT] = _foresight(
        with_value, parameters, workload.first((frames, beams), sample), seconds
    )
    section.save()

    data = [data_of(scenario, *numbers) for numbers in workload.to_numpy(frames, beams, sample)]
    reference = ReferenceSolver(users)
    solve = partial(reference.solve, tolerance=TOLERANCE)
    _add_peers(section, case, [allocation_problem(d) for d in data], data, solve, ours, seconds, tell)


def compare_beams(
    section: Section,
    users: int,
    antennas: int,
    batches: Sequence[int],
    sample: int,
    seconds: float,
    tell: Tell,
) -> None:
    """P2 on ``sample`` frames of N users and M antennas, in calls of each size of ``batches``."""
    scenario = workload.scenario(users, antennas)
    parameters = parameters_of(scenario)
    pool = max(_whole(sample, batch) for batch in batches)
    frames, beams = workload.draw(parameters, pool)
    case = Case("beams", users, antennas, sample)
    section.tables.append(case)
    ours: Answers | None = None
    for batch in batches:
        tell(f"P2, N = {users}, M = {antennas}: {OURS}, {batch} a call")
        count = _whole(sample, batch)
        if _left_out(case, batch, count):
            continue
        calls = workload.slices(frames, count, batch)
        jax.block_until_ready(optimise_beams_frames(parameters, calls[0]))  # compiles
        timing = time_passes(
            calls, lambda call: jax.block_until_ready(optimise_beams_frames(parameters, call)), seconds
        )
        answers = Answers.of_solutions(timing.results)
        case.add(OURS, batch, count, timing, answers, None)
        if ours is None:
            ours = answers
            gap = np.concatenate([np.asarray(result.gap) for result in timing.results])
            optimal = answers.verdict == OPTIMAL
            if optimal.any():
                case.notes["worst certified gap of scattermec"] = float(gap[optimal].max())
        section.save()

    def with_value(value: BatteryValue | None, frame: Frame) -> BeamSolution:
        return optimise_beams(parameters, frame, battery_value=value)

    case.notes[FORESIGHT] = _foresight(with_value, parameters, (workload.first(frames, sample),), seconds)
    section.save()

    arrays = workload.to_numpy(frames, beams, sample)
    problems = [beams_problem(beams_data_of(scenario, *numbers[:3])) for numbers in arrays]
    reference = ReferenceBeams(users, antennas)

    def solve(numbers: tuple[np.ndarray, ...]) -> tuple[int, float]:
        return reference.solve(scenario, *numbers[:3], tolerance=TOLERANCE)

    peer = _add_peers(section, case, problems, arrays, solve, ours, seconds, tell)
    tell(f"P2, N = {users}, M = {antennas}: energy with maximum ratio transmission")
    given = Answers.of_solutions([allocate_frames(parameters, *workload.first((frames, beams), sample))])
    both = (given.verdict == OPTIMAL) & (peer.verdict == OPTIMAL)
    case.infeasible_share = float(np.mean(peer.verdict == INFEASIBLE))
    case.notes["share of frames infeasible with maximum ratio beams"] = float(
        np.mean(given.verdict == INFEASIBLE)
    )
    if both.any():
        excess = peer.energy[both] / given.energy[both] - 1
        case.notes["mean energy with maximum ratio beams over the optimum"] = float(np.mean(1 / (1 + excess)))
        case.notes["most by which P2's value exceeds P1's, relative (must not be positive)"] = float(
            excess.max()
        )
    section.save()


def _foresight(
    solve: Callable[..., Any], parameters: Parameters, data: tuple[Any, ...], seconds: float
) -> float:
    """Frames per second if energy left in the batteries has a value, relative to those if it has none."""
    slopes = jnp.broadcast_to(jnp.linspace(3.0, 0.0, BATTERY_PARTS), (parameters.num_users, BATTERY_PARTS))
    rates = []
    for value in (BatteryValue(slopes=slopes), None):
        compiled = jax.jit(jax.vmap(partial(solve, value)))
        jax.block_until_ready(compiled(*data))
        timing = time_passes([data], lambda call, f=compiled: jax.block_until_ready(f(*call)), seconds)
        rates.append(1 / timing.best)
    return rates[0] / rates[1]


def _left_out(case: Case, batch: int, frames: int) -> bool:
    """Whether a batch size would take too long; if so, the case notes it."""
    if not case.rows:
        return False
    expected = frames / case.rows[-1]["frames_per_second"]
    if expected > LONGEST_PASS:
        case.skipped[f"{OURS}, {batch} a call"] = f"a pass would take about {expected:.0f} s"
    return expected > LONGEST_PASS


def _add_scan(
    case: Case,
    parameters: Parameters,
    frames_and_beams: tuple[Frame, Array],
    precision: str,
    ours: Answers | None,
    seconds: float,
) -> None:
    """One frame per step of a compiled scan: the cost in a simulation or for a learner."""

    @jax.jit
    def solve(parameters: Parameters, frames_and_beams: tuple[Frame, Array]) -> Solution:
        def step(carry: None, frame_and_beams: tuple[Frame, Array]) -> tuple[None, Solution]:
            return carry, allocate(parameters, *frame_and_beams)

        return jax.lax.scan(step, None, frames_and_beams)[1]

    call = _cast((parameters, frames_and_beams), precision)
    jax.block_until_ready(solve(*call))  # compiles
    timing = time_passes([call], lambda call: jax.block_until_ready(solve(*call)), seconds)
    answers = Answers.of_solutions(timing.results)
    count = len(answers.verdict)
    case.add(OURS, 1, count, timing, answers, ours, precision=precision, scan=True)


def _add_peers(
    section: Section,
    case: Case,
    problems: list[ConicProblem],
    data: Sequence[Any],
    modelled: Callable[[Any], tuple[int, float]],
    ours: Answers | None,
    seconds: float,
    tell: Tell,
) -> Answers:
    """Clarabel, CVXPY and moreau on the same frames; returns Clarabel's answers."""
    name = f"{'P1' if case.problem == 'allocation' else 'P2'}, N = {case.users}, M = {case.antennas}"
    count = len(problems)
    tell(f"{name}: Clarabel")
    direct = ClarabelDirect(problems[0])

    def load(problem: ConicProblem) -> float:
        direct.load(problem)
        return problem.constant

    timing = time_passes(problems, lambda constant: (direct.solve(), constant), seconds, load)
    clarabel = Answers.of([direct.verdict(*result) for result in timing.results])
    case.add("Clarabel", 1, count, timing, clarabel, ours)
    section.save()

    tell(f"{name}: CVXPY")
    modelled(data[0])  # canonicalises
    timing = time_passes(data, modelled, seconds)
    case.add("CVXPY", 1, count, timing, Answers.of(timing.results), ours or clarabel)
    section.save()

    for batch in MOREAU_BATCHES:
        if batch > count:
            continue
        tell(f"{name}: moreau, {batch} a call")
        try:
            batched = Moreau(problems[0], batch)
        except Unavailable as reason:
            case.skipped["moreau"] = str(reason)
            break
        whole = count // batch * batch
        calls = [problems[start : start + batch] for start in range(0, whole, batch)]

        def load_all(call: list[ConicProblem], solver: Moreau = batched) -> list[float]:
            solver.load(call)
            return [problem.constant for problem in call]

        def solve(constants: list[float], solver: Moreau = batched) -> tuple[Any, list[float]]:
            return solver.solve(), constants

        timing = time_passes(calls, solve, seconds, load_all)
        pairs = [pair for result in timing.results for pair in batched.verdicts(*result)]
        case.add("moreau", batch, whole, timing, Answers.of(pairs), ours or clarabel)
        section.save()
    return clarabel


def _whole(sample: int, batch: int) -> int:
    """The least multiple of ``batch`` that is at least ``sample``."""
    return math.ceil(sample / batch) * batch


def _cast(tree: Any, precision: str) -> Any:
    """The tree with real and complex leaves in the given precision."""
    real = jnp.dtype(precision)
    complex_ = jnp.result_type(real, jnp.complex64)

    def cast(leaf: Array) -> Array:
        if jnp.issubdtype(leaf.dtype, jnp.complexfloating):
            return leaf.astype(complex_)
        return leaf.astype(real) if jnp.issubdtype(leaf.dtype, jnp.floating) else leaf

    return jax.tree.map(cast, tree)
