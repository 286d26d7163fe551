"""Poisson arrivals against SciPy's distribution; the cache of compiled programs."""

import os
import stat

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

from scattermec import _compilation
from scattermec.physics.arrivals import LARGE_MEAN, poisson

DRAWS = 40_000


@jax.jit
def draw(key, mean):
    return poisson(key, jnp.full((DRAWS,), mean))


@pytest.mark.parametrize("mean", [0.3, 3.0, 15.99, 16.0, 16.5, 40.0, 999.9, LARGE_MEAN, 4e6])
def test_arrivals_have_the_distribution(mean):
    """Outcomes in classes of about 2%, by chi-square; a fault of 0.3% in one class would show."""
    found = np.asarray(draw(jax.random.key(7), mean))
    assert (found == np.floor(found)).all()
    edges = np.unique(stats.poisson.ppf(np.linspace(0.02, 0.98, 49), mean))
    expected = DRAWS * np.diff(np.concatenate([[0], stats.poisson.cdf(edges, mean), [1]]))
    counted = np.bincount(np.searchsorted(edges, found), minlength=len(edges) + 1)
    enough = expected > 5
    rest = (counted[~enough].sum(), expected[~enough].sum())
    counted, expected = np.append(counted[enough], rest[0]), np.append(expected[enough], rest[1])
    if expected[-1] == 0:
        counted, expected = counted[:-1], expected[:-1]
    assert stats.chisquare(counted, expected, sum_check=False).pvalue > 1e-3


@pytest.mark.parametrize("mean", [0.0, 1e-300, 1e9, 1e300])
def test_arrivals_of_any_mean_are_numbers_near_it(mean):
    found = np.asarray(draw(jax.random.key(1), mean))
    assert np.isfinite(found).all()
    assert (found >= 0).all()
    assert abs(found.mean() - mean) <= 5 * np.sqrt(mean / DRAWS) + 1e-12 * mean


def test_every_user_has_a_mean_of_its_own_under_vmap_and_in_single_precision():
    keys = jax.random.split(jax.random.key(3), 4000)
    mean = jnp.asarray([0, 3, 40, 3e6], jnp.float32)
    found = jax.jit(jax.vmap(poisson, in_axes=(0, None)))(keys, mean)
    assert found.dtype == jnp.float32
    np.testing.assert_allclose(found.mean(axis=0), mean, atol=0.4, rtol=1e-4)
    np.testing.assert_allclose(found.var(axis=0), mean, rtol=0.1)


def test_cache_has_one_place_and_a_switch(monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setenv(_compilation.SWITCH, "0")
    assert _compilation.cache_folder() is None
    monkeypatch.delenv(_compilation.SWITCH)
    assert _compilation.cache_folder() == tmp_path / "scattermec" / "jax"
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert _compilation.cache_folder() == tmp_path / ".cache" / "scattermec" / "jax"


def test_cache_that_cannot_be_written_is_done_without(monkeypatch, tmp_path):
    monkeypatch.delenv(_compilation.SWITCH, raising=False)
    before = jax.config.jax_compilation_cache_dir
    (tmp_path / "file").touch()
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    _compilation.use_compilation_cache()
    assert jax.config.jax_compilation_cache_dir == before


@pytest.mark.skipif(not os.geteuid(), reason="root may write everywhere")
def test_cache_in_a_folder_that_is_not_ours_is_done_without(monkeypatch, tmp_path):
    monkeypatch.delenv(_compilation.SWITCH, raising=False)
    before = jax.config.jax_compilation_cache_dir
    tmp_path.chmod(stat.S_IRUSR | stat.S_IXUSR)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    _compilation.use_compilation_cache()
    assert jax.config.jax_compilation_cache_dir == before


def test_flags_of_the_user_stay(monkeypatch):
    monkeypatch.setenv("XLA_FLAGS", "--xla_backend_optimization_level=2")
    monkeypatch.setenv(_compilation._LIGHT, "")
    _compilation.compile_lightly()
    # What runs for long is compiled with care, but as the user says.
    assert set(_compilation.careful_options()) == {
        "xla_llvm_disable_expensive_passes",
        "xla_cpu_use_fusion_emitters",
    }
    flags = os.environ["XLA_FLAGS"].split()
    assert flags[0] == "--xla_backend_optimization_level=2"
    assert len(flags) == len({flag.partition("=")[0] for flag in flags}) == 3
