"""Programs that are kept: the same answers without tracing, and none from a file that is not as it was."""

import os
import shutil
import subprocess
import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from scattermec import _compilation, _programs
from scattermec._programs import kept_jit

traced = []
"""Calls of `decompose` by which it was traced."""


def decompose(name, tree):
    """Calls LAPACK, as the search for the best beams does."""
    traced.append(name)
    values, vectors = jnp.linalg.eigh(tree["matrix"] + tree["matrix"].T)
    return {"values": values * tree["scale"], "vectors": jnp.abs(vectors), "name": None}


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.setattr(_compilation, "_programs", tmp_path / "programs")
    monkeypatch.setattr(_programs, "_on_one_cpu", lambda: True)
    traced.clear()
    return tmp_path / "programs"


def anew():
    """The function as a later process has it: nothing compiled yet."""
    jax.clear_caches()
    return kept_jit(decompose, static_argnums=(0,))


def tree(size=3, scale=2.0):
    matrix = np.random.default_rng(size).normal(size=(size, size))
    return {"matrix": jnp.asarray(matrix), "scale": jnp.asarray(scale)}


def files(folder):
    return [path for path in folder.rglob("*") if path.is_file()]


def test_second_process_neither_traces_nor_rounds_otherwise(folder):
    first = anew()("a", tree())
    assert (traced, len(files(folder))) == (["a"], 1)
    again = anew()("a", tree())
    assert traced == ["a"]
    jax.tree.map(np.testing.assert_array_equal, again, first)
    expected = np.linalg.eigvalsh(np.asarray(tree()["matrix"] + tree()["matrix"].T)) * 2
    np.testing.assert_allclose(again["values"], expected, rtol=1e-12)


def test_other_values_use_the_same_program_and_other_shapes_or_names_another(folder):
    call = anew()
    call("a", tree())
    assert float(call("a", tree(scale=4.0))["values"][0]) == 2 * float(call("a", tree())["values"][0])
    assert traced == ["a"]
    call("a", tree(size=2))
    call("b", tree())
    assert (traced, len(files(folder))) == (["a", "a", "b"], 3)


def test_other_code_makes_what_was_kept_useless_and_removes_it(folder, monkeypatch):
    anew()("a", tree())
    (before,) = files(folder)
    _programs._surroundings.cache_clear()
    monkeypatch.setattr(_programs, "code_digest", lambda: b"other code")
    try:
        anew()("a", tree())
        (after,) = files(folder)
        assert traced == ["a", "a"]
        assert after.name == before.name
        assert after.parent != before.parent
    finally:
        _programs._surroundings.cache_clear()


@pytest.mark.parametrize(
    "damage", [lambda content: content[:-1], lambda content: content[:-1] + b"x", bytes.lower]
)
def test_damaged_file_is_compiled_anew_and_replaced(folder, damage):
    first = anew()("a", tree())
    (path,) = files(folder)
    whole = path.read_bytes()
    path.write_bytes(damage(whole))
    again = anew()("a", tree())
    assert traced == ["a", "a"]
    jax.tree.map(np.testing.assert_array_equal, again, first)
    anew()("a", tree())
    assert traced == ["a", "a"]


def test_within_jit_and_without_a_folder_it_is_jit(folder, monkeypatch):
    call = anew()
    inside = jax.jit(lambda tree: call("a", tree))(tree())
    assert not files(folder)
    monkeypatch.setattr(_compilation, "_programs", None)
    jax.tree.map(np.testing.assert_array_equal, call("a", tree()), inside)
    assert not files(folder)


def test_function_of_an_address_is_not_kept(folder):
    call = kept_jit(lambda numbers: jax.pure_callback(np.sin, numbers, numbers))
    np.testing.assert_array_equal(call(jnp.ones(2)), np.sin(np.ones(2)))
    assert not files(folder)


def test_folder_that_cannot_be_written_costs_time_only(folder):
    folder.write_text("a file")
    np.testing.assert_array_equal(anew()("a", tree())["values"], anew()("a", tree())["values"])
    assert traced == ["a", "a"]


def test_command_says_the_same_from_kept_programs(tmp_path):
    """Three processes: only a new one has not looked up what programs call.

    Before the second one the kept programs are gone, as after an upgrade, and JAX still has them in its own
    cache; the third has nothing to compile, and writes none again.
    """
    line = [sys.executable, "-m", "scattermec", "simulate", "--beams", "optimal", "--frames", "4", "--json"]
    environment = {"SCATTERMEC_CACHE": "", "XDG_CACHE_HOME": str(tmp_path)}
    environment = os.environ | environment
    environment.pop("JAX_COMPILATION_CACHE_DIR", None)  # with which commands leave all to JAX
    programs = tmp_path / "scattermec" / "programs"
    said, written = [], []
    for process in range(3):
        if process == 1:
            shutil.rmtree(programs)
        done = subprocess.run(line, env=environment, check=True, capture_output=True, text=True)
        said.append(done.stdout)
        written.append({path.name: path.stat().st_mtime_ns for path in files(programs)})
    assert said[0] == said[1] == said[2]
    assert written[0]
    assert written[0].keys() == written[1].keys()
    assert written[1] == written[2]
