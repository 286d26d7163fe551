"""Diagnosis of frames that cannot be served: units that are off by a thousand are named."""

import numpy as np

from scattermec.experiments import diagnosis, figures
from scattermec.scenario import Scenario

RNG = np.random.default_rng(0)
CHANNELS = 0.02 * (RNG.normal(size=(9, 3, 3)) + 1j * RNG.normal(size=(9, 3, 3)))
WORK, BATTERY = np.full((9, 3), 40.0), np.full((9, 3), 0.05)


def test_plausible_frames_have_no_warning():
    assert diagnosis.warnings_of(Scenario(), CHANNELS, WORK, BATTERY) == []


def test_bits_for_kbit_are_named():
    (line,) = diagnosis.warnings_of(Scenario(), CHANNELS, 1000 * WORK, BATTERY)
    assert line.startswith("workload: up to 4e+04 kbit")
    lines = diagnosis.infeasible_lines(Scenario(), CHANNELS, 1000 * WORK, BATTERY)
    assert len(lines) == 3
    for user, line in enumerate(lines):
        assert line.startswith(f"user {user}: 4e+04 kbit to do, 200 mJ to compute it; 0.05 mJ stored")
        assert "is it in kbit" in line


def test_impossible_receivers_are_named():
    (snr,) = diagnosis.warnings_of(Scenario(), 100 * CHANNELS, WORK, BATTERY)
    assert snr.startswith("noise_power: 1e-09 W")


def test_capacity_is_the_physics_of_one_user():
    h, e = np.array([[[0.1 + 0j]]]), np.array([[0.3]])
    can = diagnosis.capacity(Scenario(user_positions=[[3, 3]], ap_power=2), h, e)
    np.testing.assert_allclose(can["harvestable"], 0.6 * 2 * 0.01 * 1000)
    np.testing.assert_allclose(can["snr"], (0.3 + 12) * 1e-3 * 0.01 / 1e-9)
    np.testing.assert_allclose(can["link"], 8 * np.log2(1 + can["snr"]))


def test_policies_outside_their_training_are_named():
    assert list(diagnosis.outside_training("price-net", Scenario())) == []
    far = Scenario(user_positions=[[3, 3]] * 5, ap_power=3, mean_workload=500)
    assert [line.split(":")[0] for line in diagnosis.outside_training("price-net-varied", far)] == [
        "mean_workload"
    ]
    assert len(list(diagnosis.outside_training("price-net", far))) == 3


def test_frames_of_a_point_are_said_by_kind_of_beams():
    class Row:
        def __init__(self, beams, frames):
            self.beams, self.frames = beams, frames

    assert figures.frames_text([Row("mrt", 256), Row("optimal", 256)]) == "256 independent frames per point"
    assert figures.frames_text([Row("mrt", 256), Row("ap-ddpg", 1024)]) == (
        "independent frames per point: 256 with MRT beams, 1,024 with learned beams (ap-ddpg)"
    )
