"""Diagnosis of frames that cannot be served: units that are off by a thousand are named."""

import jax
import numpy as np
import pytest
from typer.testing import CliRunner

from scattermec.cli.app import app
from scattermec.experiments.measure import diagnosis
from scattermec.experiments.report import captions
from scattermec.price_net import variety
from scattermec.scenario import Scenario

RNG = np.random.default_rng(0)
CHANNELS = 0.02 * (RNG.normal(size=(9, 3, 3)) + 1j * RNG.normal(size=(9, 3, 3)))
WORK, BATTERY = np.full((9, 3), 40.0), np.full((9, 3), 0.05)


def sample(scenario=None, channels=CHANNELS, work=WORK, battery=BATTERY):
    return diagnosis.Sample(scenario or Scenario(), channels, work, battery)


def test_plausible_frames_have_no_warning():
    assert diagnosis.warnings_of(sample()) == []
    assert diagnosis.warnings_of(diagnosis.sample_of(Scenario())) == []


def test_bits_for_kbit_are_named():
    (line,) = diagnosis.warnings_of(sample(work=1000 * WORK))
    assert line.startswith("workload: up to 4e+04 kbit")
    lines = diagnosis.infeasible_lines(sample(work=1000 * WORK))
    assert len(lines) == 3
    for user, line in enumerate(lines):
        assert line.startswith(f"user {user}: 4e+04 kbit to do, 200 mJ to compute it; 0.05 mJ stored")
        assert line.endswith("times what it can do: the workload looks like bits, not kbit")


def test_joules_for_millijoules_are_named():
    # Hardly anything can be harvested or sent, so that the battery has to pay.
    lines = diagnosis.infeasible_lines(sample(channels=1e-4 * CHANNELS, battery=np.full((9, 3), 3e-4)))
    for line in lines:
        assert line.endswith("times what it can do: the batteries look like J, not mJ")


def test_milliwatts_of_noise_are_named():
    slow = Scenario(local_rate=0, noise_power=0.1)
    for line in diagnosis.infeasible_lines(sample(slow, channels=2 * CHANNELS, work=WORK / 8)):
        assert line.endswith("times what it can do: noise_power looks like mW, not W")


def test_too_much_work_is_no_wrong_unit():
    for line in diagnosis.infeasible_lines(sample(work=20 * WORK)):
        assert line.endswith("times what it can do: less work, more power or longer slots")


def test_impossible_receivers_are_named():
    (snr,) = diagnosis.warnings_of(sample(Scenario(noise_power=1e-17)))
    assert snr.startswith("noise_power: 1e-17 W")
    strong, snr = diagnosis.warnings_of(sample(Scenario(ap_power=60), channels=60 * CHANNELS))
    assert strong == "channels: ||h||^2 >= 1 in 9 frames: more would arrive than is sent"
    assert snr.startswith("noise_power: 1e-09 W gives an SNR of up to 1")
    # 30 dBm are 1 W, 15 dB less than 30 W: told where that explains the SNR.
    (snr,) = diagnosis.warnings_of(sample(Scenario(ap_power=30, noise_power=2.5e-13)))
    assert snr.startswith("ap_power: 30 W (is it in dBm?)")


def test_capacity_is_the_physics_of_one_user():
    h, e = np.array([[[0.1 + 0j]]]), np.array([[0.3]])
    can = sample(Scenario(user_positions=[[3, 3]], ap_power=2), h, np.array([[40.0]]), e)
    np.testing.assert_allclose(can.harvestable, 0.6 * 2 * 0.01 * 1000)
    np.testing.assert_allclose(can.snr, (0.3 + 12) * 1e-3 * 0.01 / 1e-9)
    # 50 kbit by rate, and 8 kHz for a second.
    np.testing.assert_allclose(can.most, 50 + 8 * np.log2(1 + can.snr))


def test_sample_of_a_scenario_is_its_mean(tmp_path):
    one = diagnosis.sample_of(Scenario(user_positions=[[3, 4]], num_antennas=2))
    np.testing.assert_allclose(one.gain, [[2 * 10 ** (-(20 + 20 * np.log10(5)) / 10)]])
    near = diagnosis.sample_of(Scenario(user_positions=[[0.2, 0]], num_antennas=5))
    assert "||h||^2 >= 1 on average" in diagnosis.warnings_of(near)[0]
    trace = tmp_path / "trace.npz"
    np.savez(trace, channels=CHANNELS)
    of_trace = Scenario(fading="file", trace=str(trace), user_positions=[[3, 3]] * 3)
    np.testing.assert_array_equal(diagnosis.sample_of(of_trace).channels, CHANNELS)


def test_policies_outside_their_training_are_named():
    assert list(diagnosis.outside_training("price-net", Scenario())) == []
    far = Scenario(user_positions=[[3, 3]] * 5, ap_power=3, mean_workload=500)
    assert [line.split(":")[0] for line in diagnosis.outside_training("price-net-varied", far)] == [
        "mean_workload"
    ]
    lines = list(diagnosis.outside_training("price-net", far))
    assert [line.split(":")[0] for line in lines] == [
        "ap_power",
        "num_users",
        "mean_workload",
    ]
    assert lines[0] == "ap_power: 3 W is outside what price-net was trained on, 1 W"


def test_scenarios_that_the_varied_policy_learned_from_are_within():
    parameters = variety.base(Scenario(), 4)
    for key in jax.random.split(jax.random.key(0), 20):
        drawn, antennas = variety.draw_scenario(key, parameters)
        far = 0.1 / np.asarray(drawn.path_gain)
        chosen = Scenario(
            ap_power=float(drawn.ap_power),
            num_antennas=int(antennas.sum()),
            user_positions=[[float(d), 0.0] for d in far],
        )
        assert list(diagnosis.outside_training("price-net-varied", chosen)) == []


BITS = ("--set", "mean_workload=40000", "--set", "backlog_cap=80000")
SMALL = ("--frames", "20", "--json")


@pytest.mark.parametrize(
    ("command", "expected"),
    [
        (["simulate", *SMALL, *BITS], "workload: up to 4e+04 kbit"),
        (["simulate", *SMALL, "--set", "noise_power=1e-20"], "noise_power: 1e-20 W gives an SNR"),
        (
            ["simulate", *SMALL, "--set", "user_positions=[[0.11,0],[3,0],[3,3]]"],
            "channels: ||h||^2 >= 1 on average",
        ),
        (["evaluate", "mrt", *SMALL, "--rollout-frames", "0", *BITS], "workload: up to 4e+04 kbit"),
        (["scenario", *BITS], "workload: up to 4e+04 kbit"),
        (
            ["simulate-policy", "price-net-varied", *SMALL, "--set", "ap_power=8"],
            "ap_power: 8 W is outside what price-net-varied was trained on, 0.25 to 4 W",
        ),
    ],
)
def test_commands_warn(command, expected):
    done = CliRunner().invoke(app, command)
    assert done.exit_code == 0, done.stderr
    assert [line for line in done.stderr.splitlines() if line.startswith(f"warning: {expected}")]


def test_solve_warns_of_its_frames(tmp_path):
    file = tmp_path / "frames.npz"
    np.savez(file, channels=60 * CHANNELS, workload=1000 * WORK, battery=BATTERY)
    done = CliRunner().invoke(app, ["solve", str(file), "--out", str(tmp_path / "s.npz"), "--json"])
    assert done.exit_code == 0, done.stderr
    begins = [line[:30] for line in done.stderr.splitlines()]
    assert begins[0] == "warning: channels: ||h||^2 >= "
    assert begins[1].startswith("warning: noise_power: ")
    assert begins[2].startswith("warning: workload: up to ")
    assert begins[3].startswith("Every frame is infeasible.")
    assert [line[:7] for line in begins[4:]] == ["user 0:", "user 1:", "user 2:"]


def test_frames_of_a_point_are_said_by_kind_of_beams():
    class Row:
        def __init__(self, beams, frames):
            self.beams, self.frames = beams, frames

    assert captions.frames_text([Row("mrt", 256), Row("optimal", 256)]) == "256 independent frames per point"
    assert captions.frames_text([Row("mrt", 256), Row("ap-ddpg", 1024)]) == (
        "independent frames per point: 256 with MRT beams, 1,024 with learned beams (ap-ddpg)"
    )
