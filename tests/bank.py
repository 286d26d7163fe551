"""The bank of frames, scenarios and problems that the tests share, from easy to hard, and who solves them."""

import contextlib
import dataclasses
from collections.abc import Callable, Iterator, Mapping
from functools import cache, partial
from pathlib import Path
from typing import Any

import jax
import numpy as np
import pytest

from scattermec.optimisation import allocation_problem, compiled, optimise_beams
from scattermec.optimisation.allocation import solve_beam_times
from scattermec.physics import Frame, maximum_ratio_beams, parameters_of, run_frames
from scattermec.scenario import Scenario

POSITIONS = ((5, 5), (3, 3), (-2, 4), (4, -4), (-1, -3), (0, 6), (2, 1), (-5, 1), (1, -5), (-3, -3))

COUNT = 80
"""Frames that are usually solved together: the same everywhere, so that tests share compiled programs."""


def scenario(users: int = 3, **changes: Any) -> Scenario:
    return Scenario(user_positions=POSITIONS[:users], **changes)


def random_frames(
    s: Scenario,
    count: int = COUNT,
    seed: int = 0,
    battery: tuple[float, float] = (0.0, 0.1),
    load: float | None = None,
    work: float | None = None,
) -> Frame:
    """Frames drawn with NumPy, so that they do not depend on the package's own channels.

    Rayleigh channels, batteries uniform in a range, and Poisson work of mean ``load`` (the scenario's by
    default) kbit, or ``work`` kbit each.
    """
    rng = np.random.default_rng(seed)
    n, m = s.num_users, s.num_antennas
    gain = 0.1 / np.hypot(*np.array(s.user_positions).T)
    normal = rng.normal(size=(2, count, n, m)) / np.sqrt(2)
    workload = (
        np.full((count, n), work) if work is not None else rng.poisson(load or s.mean_workload, (count, n))
    )
    channels, left = gain[:, None] * (normal[0] + 1j * normal[1]), rng.uniform(*battery, (count, n))
    # `jnp.asarray` would compile a program for every shape.
    return jax.device_put(Frame(channels=channels, workload=workload.astype(float), battery=left))


def random_beams(frames: Frame, seed: int) -> jax.Array:
    rng = np.random.default_rng(seed)
    raw = rng.normal(size=(2, *frames.channels.shape))
    beams = raw[0] + 1j * raw[1]
    return jax.device_put(beams / np.linalg.norm(beams, axis=-1, keepdims=True))


@jax.jit
def mrt(frames: Frame) -> jax.Array:
    return jax.vmap(maximum_ratio_beams)(frames.channels)


play = jax.jit(run_frames)
"""Constants, frames, beams and allocations: their outcomes."""


def at(tree: Any, k: int) -> Any:
    """Number ``k`` of a batch, in NumPy."""
    return jax.tree.map(lambda leaf: np.asarray(leaf[k]), tree)


def single(tree: Any) -> Any:
    """The same in single precision."""
    kinds = {"f": np.float32, "c": np.complex64}
    return jax.tree.map(lambda leaf: leaf.astype(kinds.get(leaf.dtype.kind, leaf.dtype)), tree)


def kept_frames(name: str) -> Frame:
    """Frames of tests/cases, on which something once went wrong."""
    with np.load(Path(__file__).parent / "cases" / f"{name}.npz") as arrays:
        return jax.device_put(Frame(**{key: arrays[key] for key in ("channels", "workload", "battery")}))


# Problems


@dataclasses.dataclass(frozen=True)
class Problem:
    """Frames of one kind: a scenario, and what is drawn in it."""

    users: int = 3
    load: float | None = None
    """mean work in kbit"""
    work: float | None = None
    """kbit of every user, if it is not drawn"""
    battery: tuple[float, float] = (0.0, 0.1)
    along_channels: bool = True
    """whether the beams that are given are those of maximum ratio transmission, or random"""
    changes: Mapping[str, Any] = dataclasses.field(default_factory=dict)

    @property
    def scenario(self) -> Scenario:
        return scenario(self.users, **self.changes)

    def draw(self, count: int = COUNT, seed: int = 0) -> tuple[Frame, jax.Array]:
        """Frames and beams."""
        frames = random_frames(self.scenario, count, seed, self.battery, self.load, self.work)
        return frames, mrt(frames) if self.along_channels else random_beams(frames, seed)


PROBLEMS = {
    "one user": Problem(users=1, load=30),
    "one fast processor": Problem(users=1, battery=(0, 0.01), load=60, changes={"local_rate": 20.0}),
    "two costly circuits": Problem(
        users=2, battery=(0, 0.05), along_channels=False, changes={"circuit_power": 0.1}
    ),
    "two empty batteries": Problem(users=2, battery=(0, 0), load=40),
    "more antennas than users": Problem(users=2, load=50, changes={"num_antennas": 5}),
    "three users": Problem(),
    "little energy": Problem(battery=(0, 0.002), load=50),
    "much noise": Problem(load=50, along_channels=False, changes={"noise_power": 4e-9}),
    "causal harvest": Problem(load=15, battery=(0, 0.3), changes={"causal_harvest": True}),
    "much power": Problem(load=55, changes={"ap_power": 2.0}),
    "costly circuits": Problem(load=20, changes={"circuit_power": 0.15}),
    "one antenna": Problem(load=3, changes={"num_antennas": 1}),
    "six users": Problem(users=6, along_channels=False, changes={"num_antennas": 4}),
    "six users, two antennas": Problem(users=6, battery=(0, 0.01), load=55, changes={"num_antennas": 2}),
    "ten users": Problem(users=10, changes={"num_antennas": 4}),
    "ten users, little power": Problem(
        users=10,
        battery=(0, 0.001),
        load=60,
        along_channels=False,
        changes={"num_antennas": 4, "ap_power": 0.3},
    ),
}
"""Ordinary ones, some of whose frames are infeasible."""

_FREE = {"active_receive_power": 0.0, "passive_receive_power": 0.0, "mec_energy": 0.0, "idle_power": 0.0}

EDGES = {
    "no idle power, full batteries": Problem(battery=(0, 1), changes={"idle_power": 0.0}),
    "all free": Problem(changes=_FREE),
    "all free, full batteries": Problem(battery=(0, 1), changes=_FREE),
    "a kilowatt": Problem(changes={"ap_power": 1e3}),
    "a milliwatt of noise": Problem(changes={"noise_power": 1e-3}),
    "no noise to speak of": Problem(changes={"noise_power": 1e-14}),
    "huge batteries": Problem(changes={"battery_capacity": 1e9}),
    "huge batteries, filled": Problem(battery=(0, 1e9), changes={"battery_capacity": 1e9}),
    "empty batteries": Problem(battery=(0, 0)),
    "a bit of work": Problem(work=1e-3),
    "free circuits": Problem(changes={"circuit_power": 0.0}),
    "no processors": Problem(changes={"local_rate": 0.0}),
    "short slots": Problem(changes={"slot_duration": 0.01, "bandwidth": 1000.0}),
}
"""Hard ones: costs that vanish, units that are far apart."""


def odd_frames(frames: Frame) -> dict[str, Frame]:
    """The frames, and what they become without work, energy or channels."""
    change = partial(dataclasses.replace, frames)
    return {
        "ordinary": frames,
        "no work": change(workload=0 * frames.workload),
        "empty batteries": change(battery=0 * frames.battery),
        "too much work": change(workload=10 * frames.workload),
        "one blocked": change(channels=frames.channels.at[:, 0].set(0)),
        "all blocked": change(channels=0 * frames.channels),
    }


DEGENERATE = ("orthogonal", "rotated", "nearly orthogonal", "collinear", "equal", "one antenna")


def degenerate_frames(kind: str, count: int, seed: int) -> tuple[Scenario, Frame]:
    """Frames whose channels lie as the kind says, of one antenna or as many as users."""
    users = 3
    random = np.random.default_rng(3)
    antennas = 1 if kind == "one antenna" else users
    found = []
    for _ in range(count):
        h = random.normal(size=(users, antennas)) + 1j * random.normal(size=(users, antennas))
        norms = np.linalg.norm(h, axis=1, keepdims=True)
        rotation = np.linalg.qr(random.normal(size=(antennas, antennas)) + 0j)[0]
        found.append(
            {
                "orthogonal": norms * np.eye(users, antennas) + 0j,
                "rotated": norms * (np.eye(users, antennas) @ rotation),
                "nearly orthogonal": norms * np.eye(users, antennas) + 10 ** random.uniform(-9, -1) * h,
                "collinear": norms * h[:1] / norms[:1],
                "equal": np.repeat(h[:1], users, axis=0),
                "one antenna": h,
            }[kind]
        )
    s = Scenario(num_antennas=antennas)
    channels = np.array(found) / np.sqrt(2) * np.asarray(parameters_of(s).path_gain)[:, None]
    return s, dataclasses.replace(random_frames(s, count, seed), channels=jax.device_put(channels))


# Who solves them

KERNEL = compiled.available()

NEEDS_KERNEL = pytest.mark.skipif(not KERNEL, reason="the compiled kernel was not built")
SOLVERS = [pytest.param("kernel", marks=NEEDS_KERNEL), "portable"]
"""For ``pytest.mark.parametrize("solver", SOLVERS)``."""

USUAL = "kernel" if KERNEL else "portable"
"""The solver of whoever does not choose one."""


@contextlib.contextmanager
def solving_with(solver: str) -> Iterator[None]:
    """What is traced meanwhile is solved by that one of the two."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(compiled, "available", lambda: solver == "kernel")
        yield


def _by(solver: str, function: Callable[..., Any]) -> Callable[..., Any]:
    compiled_function = jax.jit(function)

    def call(*arguments: Any) -> Any:
        with solving_with(solver):
            return compiled_function(*arguments)

    return call


@cache
def _stated(scheme: str) -> Callable[..., Any]:
    one = partial(allocation_problem, scheme=scheme)
    return jax.jit(jax.vmap(one, in_axes=(None, 0, 0)))


@cache
def _solved(solver: str, elastic: bool) -> Callable[..., Any]:
    return _by(solver, jax.vmap(partial(solve_beam_times, elastic=elastic)))


@cache
def p1_shared(solver: str = USUAL, scheme: str = "hybrid", elastic: bool = False) -> Callable[..., Any]:
    """P1 for parameters, frames and their beams, one or several per slot: `Solution`, and time of each beam.

    As `allocate` does it, but in two programs: that of the solver, which takes long to compile, depends on
    the numbers of users and beams alone. The answers are NumPy's: JAX would compile a program for each thing
    that a test asks of them.
    """
    return lambda parameters, frames, beams: jax.device_get(
        _solved(solver, elastic)(_stated(scheme)(parameters, frames, beams))
    )


@cache
def p1(solver: str = USUAL, scheme: str = "hybrid", elastic: bool = False) -> Callable[..., Any]:
    """P1 for parameters, frames and one beam per slot: a `Solution`."""
    return lambda *data: p1_shared(solver, scheme, elastic)(*data)[0]


@cache
def p2(solver: str = USUAL, scheme: str = "hybrid") -> Callable[..., Any]:
    """P2 for parameters and frames: a `BeamSolution`."""
    return _by(solver, jax.vmap(partial(optimise_beams, scheme=scheme), in_axes=(None, 0)))


# What convexity says of their optimal values


def assert_slope(found: Any, before: Any, here: Any, after: Any, step: float, error: Any = 0.0) -> None:
    """``found`` is a slope, at ``here``, of a convex function with these values a ``step`` apart.

    The slope of a convex function lies between its secants on either side, whatever its kinks. ``error``
    is how far from the truth a value may be, at most.
    """
    slack = 2 * np.asarray(error) / step
    found, before, here, after = map(np.asarray, (found, before, here, after))
    assert np.all(found >= (here - before) / step - slack)
    assert np.all(found <= (after - here) / step + slack)
