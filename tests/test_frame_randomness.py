"""What nature draws has the distribution that the scenario asks for."""

import dataclasses
from functools import partial
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from scattermec.physics import Parameters, channel, parameters_of
from scattermec.scenario import Scenario

COUNT = 20_000
KEYS = jax.random.split(jax.random.key(0), COUNT)
BASE = parameters_of(Scenario(fading="rician"))  # K = 0 is Rayleigh


def changed(**values: float) -> Parameters:
    return dataclasses.replace(BASE, **{name: jnp.asarray(value) for name, value in values.items()})


@jax.jit
def draw_channels(params: Parameters) -> jax.Array:
    def one(key: jax.Array) -> jax.Array:
        return channel.channels_from_scatter(params, channel.initial_scatter(key, params))

    return jax.vmap(one)(KEYS)


def test_rayleigh_power_is_the_path_gain_squared_and_exponential() -> None:
    power = np.abs(draw_channels(BASE)) ** 2 / np.asarray(BASE.path_gain)[:, None] ** 2
    np.testing.assert_allclose(power.mean(axis=0), 1, atol=0.04)
    np.testing.assert_allclose(power.std(axis=0), 1, atol=0.08)
    # 20 log10 of the distance and 20 dB at 1 m.
    np.testing.assert_allclose(BASE.path_gain, 0.1 / np.array([50, 18, 20]) ** 0.5, rtol=1e-12)


def test_rician_factor_splits_the_power() -> None:
    h = np.asarray(draw_channels(changed(rician_factor=3.0))) / np.asarray(BASE.path_gain)[:, None]
    np.testing.assert_allclose(np.abs(h.mean(axis=0)) ** 2, 0.75, atol=0.02)
    np.testing.assert_allclose(h.var(axis=0), 0.25, atol=0.02)
    np.testing.assert_allclose(np.abs(BASE.line_of_sight), 1, rtol=1e-12)
    np.testing.assert_allclose(h.mean(axis=0), np.sqrt(0.75) * BASE.line_of_sight, atol=0.02)


def test_channels_are_correlated_in_time_as_asked() -> None:
    @jax.jit
    def path(params: Parameters) -> jax.Array:
        def step(scatter: jax.Array, key: jax.Array) -> Any:
            drawn = channel.initial_scatter(key, params)
            return channel.next_scatter(params, scatter, drawn), scatter

        return jax.lax.scan(step, channel.initial_scatter(KEYS[0], params), KEYS)[1]

    for rho, off in ((0.0, 0.03), (0.7, 0.05)):
        g = np.asarray(path(changed(correlation=rho)))
        np.testing.assert_allclose((np.abs(g) ** 2).mean(axis=0), 1, atol=0.08)
        np.testing.assert_allclose((g[1:] * g[:-1].conj()).mean(axis=0), rho, atol=off)
        np.testing.assert_allclose((g[2:] * g[:-2].conj()).mean(axis=0), rho**2, atol=off)


def test_arrivals_are_poisson_or_constant() -> None:
    zero = jnp.asarray(0)
    work = jax.jit(jax.vmap(partial(channel.arrivals_at, parameters=BASE, frame=zero)))(KEYS)
    np.testing.assert_allclose(work.mean(axis=0), 40, rtol=0.01)
    np.testing.assert_allclose(work.var(axis=0), 40, rtol=0.05)
    np.testing.assert_array_equal(work, np.round(work))
    constant = dataclasses.replace(BASE, arrivals="constant")
    np.testing.assert_array_equal(channel.arrivals_at(KEYS[0], constant, zero), BASE.mean_workload)


def test_observation_errors_have_the_size_asked_for() -> None:
    params = changed(csi_error=0.2, workload_error=0.1)
    h = draw_channels(BASE)[0]
    seen = np.asarray(jax.vmap(lambda key: channel.observed_channels(key, params, h))(KEYS))
    error = (np.abs(seen - h) ** 2).sum(axis=2).mean(axis=0) / (np.abs(h) ** 2).sum(axis=1)
    np.testing.assert_allclose(np.sqrt(error), 0.2, rtol=0.02)

    work = jnp.array([0.0, 10.0, 50.0])
    seen = np.asarray(jax.vmap(lambda key: channel.observed_workload(key, params, work))(KEYS))
    np.testing.assert_allclose(np.sqrt(((seen - work) ** 2).mean(axis=0)), 0.1 * work, rtol=0.02)
    assert (seen >= 0).all()
    np.testing.assert_array_equal(channel.observed_channels(KEYS[0], BASE, h), h)
    np.testing.assert_array_equal(channel.observed_workload(KEYS[0], BASE, work), work)


def test_initial_battery_is_uniform_between_its_bounds() -> None:
    battery = np.asarray(jax.vmap(lambda key: channel.initial_battery(key, BASE))(KEYS))
    np.testing.assert_allclose([battery.min(), battery.max()], [0, 0.1], atol=1e-4)
    np.testing.assert_allclose(battery.mean(axis=0), 0.05, rtol=0.02)


def test_a_trace_is_entered_anywhere_and_repeats(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    channels = rng.standard_normal((4, 3, 3)) + 1j * rng.standard_normal((4, 3, 3))
    workload = rng.uniform(0, 80, (4, 3))
    np.savez(tmp_path / "trace.npz", channels=channels, workload=workload)
    params = parameters_of(Scenario(fading="file", arrivals="file", trace=str(tmp_path / "trace.npz")))
    scatter = channel.initial_scatter(KEYS[0], params)
    for frame in (0, 3, 4, 9):
        at = jnp.asarray(frame)
        np.testing.assert_array_equal(channel.channels_at(params, scatter, at), channels[frame % 4])
        np.testing.assert_array_equal(channel.arrivals_at(KEYS[0], params, at), workload[frame % 4])
    starts = jax.vmap(lambda key: channel.trace_start(key, params))(KEYS[:100])
    assert set(np.asarray(starts).tolist()) == {0, 1, 2, 3}
    assert channel.trace_start(KEYS[0], BASE) == 0
