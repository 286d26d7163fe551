"""Channels of ray tracers: Sionna's and DeepMIMO's axes, against sums written out, and Friis's formula."""

from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from reference_beams import reference_beams
from scattermec.channels import STREET_CANYON, from_deepmimo, from_sionna
from scattermec.errors import InputError
from scattermec.optimisation import optimise_beams_frames
from scattermec.physics import Frame, parameters_of
from scattermec.scenario import Scenario

RANDOM = np.random.default_rng(0)


def drawn(*shape):
    return RANDOM.normal(size=shape) + 1j * RANDOM.normal(size=shape)


class Paths:
    """As of Sionna's path solver."""

    def __init__(self, coefficients):
        self.coefficients = coefficients

    def cir(self, *, out_type):
        assert out_type == "numpy"
        return self.coefficients, np.zeros((2, 1, 5))


def test_sionna_sums_paths_and_receives_the_same():
    coefficients = drawn(2, 1, 1, 3, 5, 4)  # rx, rx_ant, tx, tx_ant, paths, time
    channels = from_sionna(coefficients)
    assert channels.shape == (4, 2, 3)
    beam = drawn(3)
    for frame in range(4):
        for user in range(2):
            # What a receiver of Sionna gets if the transmitter's antennas send the beam.
            received = sum(
                coefficients[user, 0, 0, antenna, path, frame] * beam[antenna]
                for antenna in range(3)
                for path in range(5)
            )
            np.testing.assert_allclose(channels[frame, user].conj() @ beam, received, rtol=1e-12)


def test_sionna_in_all_the_forms_in_which_it_comes():
    coefficients = drawn(2, 1, 1, 3, 5, 4)
    channels = from_sionna(coefficients)
    np.testing.assert_array_equal(from_sionna(Paths(coefficients)), channels)
    np.testing.assert_array_equal(from_sionna((coefficients, np.zeros(1))), channels)
    batch = np.stack([coefficients, 2 * coefficients])
    np.testing.assert_allclose(from_sionna(batch), np.concatenate([channels, 2 * channels]))
    # Users that send: their channels are those of the way back.
    upwards = coefficients.transpose(2, 3, 0, 1, 4, 5)
    np.testing.assert_array_equal(from_sionna(upwards, ap="rx"), channels)


@pytest.mark.parametrize(
    ("shape", "fault"),
    [
        ((2, 1, 3, 5, 4), "must be an array of axes (rx, rx_ant, tx, tx_ant, paths, time)"),
        ((2, 1, 2, 3, 5, 4), "have 2 devices as the AP (tx); there must be 1"),
        ((2, 2, 1, 3, 5, 4), "users have 2 antennas; they must have 1"),
        ((2, 1, 1, 3, 5, 0), "must be an array of axes"),
    ],
)
def test_other_axes_of_sionna_are_refused(shape, fault):
    with pytest.raises(InputError) as error:
        from_sionna(drawn(*shape))
    assert fault in str(error.value)
    with pytest.raises(InputError, match="ap: 'bs' is not allowed; it must be 'tx' or 'rx'"):
        from_sionna(drawn(2, 1, 1, 3, 5, 4), ap="bs")
    with pytest.raises(InputError, match="must be an array of axes"):
        from_sionna(((np.zeros(3), np.zeros(3)), np.zeros(3)))  # parts apart, as of out_type="drjit"


def test_street_canyon_is_close_to_free_space():
    with np.load(STREET_CANYON) as file:
        channels, positions = file["channels"], file["positions"]
    assert (channels.shape, positions.shape) == ((200, 3, 4), (200, 3, 2))
    assert STREET_CANYON.stat().st_size < 50_000
    distance = np.hypot(np.hypot(*np.moveaxis(positions, 2, 0)), 4.0 - 1.5)
    friis = (299_792_458 / 915e6 / (4 * np.pi * distance)) ** 2
    gains = (np.abs(channels) ** 2).mean(axis=2)
    # Walls and ground add to the direct path, and interfere with it.
    assert 1 < (gains / friis).mean() < 2
    assert np.corrcoef(np.log(gains).ravel(), np.log(friis).ravel())[0, 1] > 0.5


def test_optimum_in_the_street_is_that_of_a_general_solver():
    with np.load(STREET_CANYON) as file:
        channels = file["channels"][50].astype(complex)
    street = Scenario(num_antennas=4, ap_power=4.0, noise_power=2e-11)
    frame = Frame(channels=channels, workload=np.full(3, 20.0), battery=np.zeros(3))
    frames = jax.tree.map(lambda array: jnp.asarray(array)[None], frame)
    found = optimise_beams_frames(parameters_of(street, num_users=3, num_antennas=4), frames)
    _, energy = reference_beams(3, 4).solve(street, channels, frame.workload, frame.battery)
    np.testing.assert_allclose(found.energy[0], energy, rtol=1e-5)
    np.testing.assert_allclose(found.lower_bound[0], energy, rtol=1e-5)


@pytest.fixture(scope="module")
def deepmimo():
    """Channels by DeepMIMO's own code, and the paths that they are of (see cases/foreign/make.py)."""
    with np.load(Path(__file__).parent / "cases" / "foreign" / "deepmimo.npz") as file:
        return dict(file)


def test_deepmimo_has_the_amplitudes_of_its_paths(deepmimo):
    amplitudes = np.sqrt(np.nan_to_num(deepmimo["power"])) * np.exp(1j * np.deg2rad(deepmimo["phase"]))
    received = np.einsum("ump,up->um", deepmimo["steering"], amplitudes)
    for channels in (
        from_deepmimo(deepmimo["subcarriers"], num_subcarriers=64),
        from_deepmimo(deepmimo["paths"], num_subcarriers=None),
    ):
        assert channels.shape == (1, 3, 2)
        np.testing.assert_allclose(channels[0], received.conj(), rtol=1e-5, atol=1e-12)
    assert not channels[0, 2].any()  # without a path


def test_deepmimo_users_walk_and_time_passes(deepmimo):
    array = deepmimo["subcarriers"]
    still = from_deepmimo(array, num_subcarriers=64, subcarrier=1)[0]
    walk = from_deepmimo(array, num_subcarriers=64, subcarrier=1, users=[[0, 1], [1, 1], [2, 0]])
    np.testing.assert_array_equal(walk, still[np.array([[0, 1], [1, 1], [2, 0]])])
    np.testing.assert_array_equal(
        from_deepmimo(array, num_subcarriers=64, subcarrier=1, users=[2, 1])[0], still[[2, 1]]
    )
    moving = np.stack([array, 2 * array, 3 * array], axis=4)
    of_time = from_deepmimo(moving, num_subcarriers=64, subcarrier=1, users=[[0, 1], [1, 2]])
    assert of_time.shape == (6, 2, 2)
    np.testing.assert_allclose(of_time[4], 2 * still[[1, 2]])


@pytest.mark.parametrize(
    ("changes", "fault"),
    [
        (
            {"channels": np.zeros((3, 1, 2, 3))},
            "channels: must be an array of axes (user, rx_ant, tx_ant, sub",
        ),
        ({"channels": drawn(3, 2, 2, 3)}, "channels: users have 2 antennas; they must have 1"),
        ({"channels": np.full((3, 1, 2, 3), np.nan + 0j)}, "channels: have numbers that are not finite"),
        ({"num_subcarriers": 2}, "num_subcarriers: 2 is less than the 3 in channels"),
        ({"subcarrier": 3}, "subcarrier: 3 is not there; channels has 3"),
        ({"users": [3]}, "users: must be whole numbers (N) or (K, N), from 0 to 2"),
        ({"users": [0.5]}, "users: must be whole numbers"),
    ],
)
def test_faults_of_deepmimo(changes, fault, deepmimo):
    arguments = {"channels": deepmimo["subcarriers"], "num_subcarriers": 64, **changes}
    with pytest.raises(InputError) as error:
        from_deepmimo(arguments.pop("channels"), **arguments)
    assert str(error.value).startswith(fault)
