"""The compiled kernel against the portable method, and how it behaves inside JAX's transformations."""

import dataclasses
import os
import subprocess
import sys
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from bank import KERNEL, PROBLEMS, mrt, p1, p1_shared, random_beams, random_frames, scenario, single
from scattermec.errors import ComputationError
from scattermec.optimisation import OPTIMAL, allocate, allocation_problem, compiled, shared
from scattermec.optimisation.allocation import solve_beam_times
from scattermec.optimisation.homogeneous import Dual, Primal
from scattermec.optimisation.standard_form import Planes, StandardForm
from scattermec.physics import parameters_of

pytestmark = pytest.mark.skipif(not KERNEL, reason="the compiled kernel was not built")


@pytest.mark.parametrize(("elastic", "beams_per_slot"), [(False, 1), (True, 3)])
@pytest.mark.parametrize(
    "name", ["three users", "little energy", "much noise", "much power", "costly circuits"]
)
def test_kernel_agrees_with_the_portable_method(name, elastic, beams_per_slot):
    frames, first = PROBLEMS[name].draw(seed=30)
    beams = np.stack([first, random_beams(frames, 1), random_beams(frames, 2)][:beams_per_slot], axis=2)
    (fast, fast_times), (slow, slow_times) = (
        p1_shared(solver, elastic=elastic)(parameters_of(PROBLEMS[name].scenario), frames, beams)
        for solver in ("kernel", "portable")
    )
    assert np.all(np.asarray(fast.status) == np.asarray(slow.status))
    optimal = np.asarray(fast.status) == OPTIMAL
    assert optimal.any()
    np.testing.assert_allclose(fast.value[optimal], slow.value[optimal], rtol=1e-7)
    # Several beams may share a slot in many ways.
    assert fast_times.shape == slow_times.shape == (*frames.workload.shape, beams_per_slot)
    np.testing.assert_allclose(fast_times.sum(axis=2), slow_times.sum(axis=2), atol=1e-3)


def test_more_beams_a_slot_never_cost_more():
    s = scenario(3)
    frames = random_frames(s, seed=31)
    one = p1("kernel")(parameters_of(s), frames, mrt(frames))
    more = np.stack([mrt(frames), random_beams(frames, 1)], axis=2)
    two, _ = p1_shared("kernel")(parameters_of(s), frames, more)
    optimal = np.asarray(one.status) == OPTIMAL
    assert np.all(np.asarray(two.energy)[optimal] <= np.asarray(one.energy)[optimal] * (1 + 1e-7))


def test_one_frame_a_scan_and_a_batch_give_the_same():
    s = scenario(3)
    parameters, frames = parameters_of(s), random_frames(s, 1500, seed=32)
    beams = mrt(frames)
    solve = partial(allocate, parameters)
    batch = jax.jit(jax.vmap(solve))(frames, beams)
    nested = jax.jit(jax.vmap(jax.vmap(solve)))(
        *jax.tree.map(lambda leaf: leaf.reshape(30, 50, *leaf.shape[1:]), (frames, beams))
    )
    _, scanned = jax.jit(lambda x: jax.lax.scan(lambda carry, x: (carry, solve(*x)), 0, x))((frames, beams))
    for other in (nested.energy.reshape(-1), scanned.energy):
        np.testing.assert_array_equal(np.isfinite(batch.energy), np.isfinite(other))
        finite = np.isfinite(batch.energy)
        # Lanes share the length of a line search, so the last digits depend on the company.
        np.testing.assert_allclose(batch.energy[finite], other[finite], rtol=1e-7)


def test_skipped_frames_do_not_disturb_the_others():
    s = scenario(3)
    parameters, frames = parameters_of(s), random_frames(s, 101, seed=33)
    skip = jnp.arange(101) % 3 != 0

    def solve(frame, beams, skip):
        return solve_beam_times(allocation_problem(parameters, frame, beams), skip=skip)[0]

    every = jax.jit(jax.vmap(solve))(frames, mrt(frames), 0 * skip == 1)
    some = jax.jit(jax.vmap(solve))(frames, mrt(frames), skip)
    kept = ~np.asarray(skip)
    np.testing.assert_allclose(some.energy[kept], every.energy[kept], rtol=1e-7)
    assert not any(np.isnan(leaf).any() for leaf in jax.tree.leaves(some))


def test_single_precision_data_are_solved_in_double():
    s = scenario(3)
    parameters, frames = parameters_of(s), random_frames(s, 200, seed=34)
    found = p1("kernel")(single(parameters), single(frames), single(mrt(frames)))
    assert found.energy.dtype == jnp.float32
    exact = p1("kernel")(parameters, frames, mrt(frames))
    both = (np.asarray(found.status) == OPTIMAL) & (np.asarray(exact.status) == OPTIMAL)
    assert both.sum() > 150
    np.testing.assert_allclose(found.energy[both], exact.energy[both], rtol=6e-3)


def test_what_is_no_number_is_not_called_optimal_and_disturbs_no_other_frame():
    s = scenario(3)
    frames = random_frames(s, seed=35)
    broken = dataclasses.replace(
        frames, workload=frames.workload.at[4, 1].set(jnp.nan), battery=frames.battery.at[6, 2].set(jnp.nan)
    )
    found, whole = (p1("kernel")(parameters_of(s), some, mrt(frames)) for some in (broken, frames))
    assert OPTIMAL not in np.asarray(found.status)[[4, 6]]
    others = np.delete(np.arange(len(frames.workload)), [4, 6])
    np.testing.assert_allclose(found.energy[others], whole.energy[others], rtol=1e-7)


def test_every_set_of_instructions_gives_the_same_answers():
    s = scenario(3)
    frames = random_frames(s, seed=32, battery=(0, 0.05), load=50)
    widest = compiled.instruction_set()
    found = {}
    try:
        for name in ("baseline", "avx2", "avx512"):
            try:
                assert compiled.instruction_set(name) == name
            except ValueError:  # this processor does not have it
                continue
            found[name] = p1("kernel")(parameters_of(s), frames, mrt(frames))
    finally:
        compiled.instruction_set(widest)
    assert {"baseline", widest} <= set(found)
    for solution in found.values():
        np.testing.assert_array_equal(solution.status, found["baseline"].status)
        np.testing.assert_allclose(solution.energy, found["baseline"].energy, rtol=2e-8)


def test_an_unknown_set_of_instructions_is_refused():
    with pytest.raises(ValueError, match="no set of instructions named mmx"):
        compiled.instruction_set("mmx")


def test_it_can_be_done_without():
    code = "from scattermec.optimisation import compiled; print(compiled.available())"
    for value, expected in (("1", "False"), ("0", "True")):
        shown = subprocess.run(
            [sys.executable, "-c", code],
            env={**os.environ, "SCATTERMEC_PORTABLE": value},
            capture_output=True,
            text=True,
            check=True,
        )
        assert shown.stdout.strip() == expected


def test_the_tables_hold_all_that_the_solvers_have():
    given = {argument.name for argument in (*shared.FRAME, *shared.ALLOCATION)}
    planes = {f"plane_{name}" for name in Planes._fields if name != "constant"}
    form = {field.name for field in dataclasses.fields(StandardForm)}
    assert given == (form - {"planes"}) | planes | {"skip"}
    results = {result.name for result in shared.ALLOCATION_RESULTS}
    assert results == {*Primal._fields, *Dual._fields, "tau", "iterations"}
    assert {result.name for result in shared.SEARCH_RESULTS} == set(compiled.BeamSearch._fields)
    assert set(shared.GUESS) == {*Primal._fields, *Dual._fields, "tau"} - {"shortfall"}


def test_a_kernel_built_from_other_constants_is_refused(monkeypatch):
    compiled.available.cache_clear()
    monkeypatch.setattr(shared, "GAP", 1e-7)
    try:
        with pytest.raises(ComputationError, match="install the package again"):
            compiled.available()
    finally:
        monkeypatch.undo()
        assert compiled.available()
