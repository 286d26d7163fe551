"""Derivatives of the optimal value, which come from its prices, against finite differences of the solver."""

import dataclasses
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from bank import (
    assert_slope,
    at,
    mrt,
    odd_frames,
    p2,
    random_beams,
    random_frames,
    scenario,
)
from scattermec.optimisation import OPTIMAL, BatteryValue, allocate, optimise_beams
from scattermec.physics import Frame, maximum_ratio_beams, parameters_of

CONSTANTS = ("ap_power", "noise_power", "circuit_power", "local_energy", "mec_energy", "active_receive_power")
PER_USER = ("slot_duration", "local_rate", "battery_capacity", "reflection_gain")


SLOPES = jnp.asarray(-np.sort(-np.random.default_rng(9).uniform(0, 3, (3, 4)), axis=-1))
"""J/mJ: value of the energy left in each part of a battery."""


@partial(jax.jit, static_argnames="elastic")
def value(parameters, frame, beams, slopes, elastic):
    kept = None if slopes is None else BatteryValue(slopes=slopes)
    return allocate(parameters, frame, beams, elastic=elastic, battery_value=kept).value


def slope(function, x, step):
    """Symmetric difference, improved by Richardson's extrapolation."""
    coarse = (function(x + step) - function(x - step)) / (2 * step)
    fine = (function(x + step / 2) - function(x - step / 2)) / step
    return (4 * fine - coarse) / 3


def cases(elastic):
    """Frames that are optimal, and not so near the edge of feasibility that differences mean nothing."""
    for changes, load in (({}, 40), ({"circuit_power": 0.1}, 30), ({"ap_power": 3.0}, 60)):
        s = scenario(3, **changes)
        frames = random_frames(s, 5, seed=8, load=load)
        beams = random_beams(frames, 3) if load == 30 else mrt(frames)
        for k in range(5):
            frame, w = jax.tree.map(jnp.asarray, (at(frames, k), at(beams, k)))
            heavier = dataclasses.replace(frame, workload=frame.workload * 1.01)
            if elastic or np.isfinite(value(parameters_of(s), heavier, w, None, elastic=False)):
                yield parameters_of(s), frame, w


def test_a_jitted_value_differentiates_inside_vmap():
    parameters, frames = parameters_of(scenario(3)), random_frames(scenario(3), 3, seed=8, load=40)
    beams = mrt(frames)

    def total(beams):
        return jnp.sum(
            jax.vmap(partial(value, slopes=None, elastic=False), in_axes=(None, 0, 0))(
                parameters, frames, beams
            )
        )

    slopes = jax.jit(jax.grad(total))(beams)
    for k in range(3):
        alone = jax.jit(jax.grad(partial(value, slopes=None, elastic=False), argnums=2))(
            parameters, at(frames, k), at(beams, k)
        )
        np.testing.assert_allclose(slopes[k], alone, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("slopes", [None, SLOPES], ids=["plain", "valued"])
@pytest.mark.parametrize("elastic", [False, True])
def test_value_differentiates_through_its_prices(elastic, slopes):
    rng = np.random.default_rng(0)
    checked = 0
    # The value of what is kept can exceed the energy, and its rounding is seen by small steps.
    steps = (1e-4, 1e-3) if slopes is None else (1e-4, 1e-3, 1e-2)
    gradient = jax.jit(partial(jax.grad(value, argnums=(0, 1, 2, 3), allow_int=True), elastic=elastic))
    for parameters, frame, beams in cases(elastic):
        point = (parameters, frame, beams, slopes)
        parameters_slope, frame_slope, beams_slope, slopes_slope = gradient(*point)

        def along(change, argument, elastic=elastic, point=point):
            moved = list(point)
            return lambda x: float(
                value(*moved[:argument], change(moved[argument], x), *moved[argument + 1 :], elastic)
            )

        size = abs(float(value(*point, elastic)))

        def compare(found, function, scale, size=size):
            # A small step sees the solver's tolerance, a large one where another limit starts to bind.
            secants = np.array([slope(function, 0.0, step * scale) for step in steps])
            assert np.min(np.abs(secants - float(found))) <= 2e-5 * (abs(float(found)) + size / scale)

        for name in (*CONSTANTS, *PER_USER):
            number = np.asarray(getattr(parameters, name))

            def change(c, x, name=name):
                return dataclasses.replace(c, **{name: getattr(c, name) + x})

            compare(
                np.sum(getattr(parameters_slope, name)),
                along(change, 0),
                float(np.max(np.abs(number))) or 1.0,
            )
        for name in ("workload", "battery"):
            toward = rng.uniform(0.2, 1, 3) * np.asarray(getattr(frame, name))

            def change(f, x, name=name, toward=toward):
                return dataclasses.replace(f, **{name: getattr(f, name) + x * toward})

            compare(np.sum(getattr(frame_slope, name) * toward), along(change, 1), 1.0)
        for name, argument, found in (("channels", 1, frame_slope.channels), ("beams", 2, beams_slope)):
            base = np.asarray(frame.channels if name == "channels" else beams)
            toward = (rng.normal(size=(2, *base.shape)) * np.abs(base)).T.swapaxes(0, 1) @ np.array([1, 1j])

            def change(a, x, name=name, toward=toward):
                if name == "beams":
                    return a + x * toward
                return dataclasses.replace(a, channels=a.channels + x * toward)

            # JAX's derivative of a real function by a complex number is the conjugate of the usual one.
            compare(np.sum((np.asarray(found) * toward).real), along(change, argument), 1.0)
        if slopes is not None:
            toward = rng.uniform(0.2, 1, (3, 1)) * np.asarray(slopes)
            compare(np.sum(slopes_slope * toward), along(lambda a, x, toward=toward: a + x * toward, 3), 1.0)
        checked += 1
    assert checked >= 10


def test_efficiency_differentiates_by_the_beams_inside_jit_and_vmap():
    s = scenario(3)
    parameters = parameters_of(s)
    frames = random_frames(s, 64, seed=4, battery=(0, 0.05), load=50)

    def efficiency(beams, frame, elastic):
        return jnp.sum(frame.workload) / allocate(parameters, frame, beams, elastic=elastic).value

    for elastic in (False, True):
        gradient = jax.jit(jax.vmap(jax.grad(partial(efficiency, elastic=elastic))))
        found = np.asarray(gradient(mrt(frames), frames))
        assert np.all(np.isfinite(found))
        assert np.any(found != 0)
    # A step along the gradient is an improvement, frame by frame.
    better = mrt(frames) + 1e-4 * found.conj() / np.linalg.norm(found, axis=(1, 2), keepdims=True)
    each = jax.jit(jax.vmap(partial(efficiency, elastic=True)))
    gain = np.asarray(each(jnp.asarray(better), frames) - each(mrt(frames), frames))
    assert np.mean(gain > 0) > 0.95


@pytest.mark.parametrize("scheme", ["hybrid", "active", "passive", "local"])
def test_elastic_gradient_is_finite_everywhere(scheme):
    s = scenario(3)
    frames = random_frames(s, 8, seed=1)

    @jax.jit
    @partial(jax.grad, argnums=(0, 1, 2), allow_int=True)
    def gradient_of(parameters, frames, beams):
        solution = jax.vmap(partial(allocate, scheme=scheme, elastic=True), in_axes=(None, 0, 0))(
            parameters, frames, beams
        )
        return jnp.sum(solution.value)

    for kind, some in odd_frames(frames).items():
        for beams in (mrt(frames), 0 * mrt(frames)):
            leaves = jax.tree.leaves(gradient_of(parameters_of(s), some, beams))
            numbers = [leaf for leaf in leaves if leaf.dtype != jax.dtypes.float0]  # that of an integer
            assert len(numbers) > 30
            assert all(np.all(np.isfinite(leaf)) for leaf in numbers), kind


def test_value_with_optimal_beams_differentiates_too():
    """P2's value is convex in the batteries, and known to its gap: its secants enclose the derivative."""
    parameters, frames = parameters_of(scenario(3)), random_frames(scenario(3), 8, seed=5)
    step = 2e-3

    def energy(battery, frame):
        return optimise_beams(parameters, dataclasses.replace(frame, battery=battery)).energy

    slopes = np.asarray(jax.jit(jax.vmap(jax.grad(energy)))(frames.battery, frames))
    here = p2()(parameters, frames)
    optimal = np.asarray(here.status) == OPTIMAL
    assert optimal.sum() >= 6
    error = np.asarray(here.energy - here.lower_bound)[optimal]
    for user in range(3):
        levels = [frames.battery.at[:, user].add(way * step) for way in (-1, 1)]
        before, after = (
            np.asarray(p2()(parameters, dataclasses.replace(frames, battery=level)).energy)[optimal]
            for level in levels
        )
        assert_slope(slopes[optimal, user], before, np.asarray(here.energy)[optimal], after, step, error)
        width = (after - 2 * np.asarray(here.energy)[optimal] + before) / step
        assert np.median(width) < 1e-2 * np.median(np.abs(slopes[optimal, user]))


def test_only_values_have_derivatives():
    s = scenario(2)
    frame = Frame(
        channels=jnp.ones((2, 2)) * 0.02 + 0j, workload=jnp.full(2, 20.0), battery=jnp.full(2, 0.05)
    )

    def time(battery):
        solution = allocate(
            parameters_of(s, num_antennas=2),
            dataclasses.replace(frame, battery=battery),
            maximum_ratio_beams(frame.channels),
        )
        return jnp.sum(solution.allocation.t_passive)

    assert np.all(np.asarray(jax.jit(jax.grad(time))(frame.battery)) == 0)
