"""Constants from those of the literature, against published sets worked out by hand, and path loss."""

import dataclasses
import json
import math
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from command_line import refused, run
from scattermec.errors import InputError, ScenarioError
from scattermec.experiments.measure import diagnosis
from scattermec.experiments.measure.sweeps import parameters_at
from scattermec.literature import Literature, local_energy, local_rate, noise_power, path_loss_db
from scattermec.physics import channel, parameters_of
from scattermec.pictures._facts import _positions
from scattermec.price_net import variety
from scattermec.scenario import Scenario
from scattermec.training.folder import digest

OF_MAO_2017 = {
    "kappa": 1e-27,
    "cpu_frequency": 1e9,
    "cycles_per_bit": 737.5,
    "noise_density": -174.0,
}
"""Mao et al., Stochastic joint radio and computational resource management for multi-user mobile-edge
computing systems, IEEE Trans. Wireless Commun. 16(9), 2017; with a bandwidth of 10 MHz."""

# Each by hand: J/bit is mJ/kbit times 1e-6, and bit/s is kbit/s times 1e3.
PUBLISHED = [
    # 1e-27 * 1e18 = 1e-9 J per cycle; 737.5 of them 7.375e-7 J; 1e9 / 737.5 = 1,355,932.2 bit/s; -104 dBm.
    (OF_MAO_2017, 10_000.0, 0.7375, 1355.9322, 3.981072e-14),
    # doi 10.1038/s41598-025-96272-4, Table 1, which gives 1e-10 J per cycle itself, and -104 dBm (here by the
    # usual density, with the noise figure that this takes at its 5 MHz): 1e-7 J/bit, 1 Mbit/s.
    (
        {
            "kappa": 1e-28,
            "cpu_frequency": 1e9,
            "cycles_per_bit": 1e3,
            "noise_density": -174.0,
            "noise_figure": 3.0103,
        },
        5_000.0,
        0.1,
        1000.0,
        3.981072e-14,
    ),
    # Mao, Zhang and Letaief, IEEE J. Sel. Areas Commun. 34(12), 2016: 1e-28, at most 1.5 GHz, 737.5 cycles
    # per byte (92.1875 per bit): 2.25e-10 J per cycle, 2.07422e-8 J/bit, 16.27119 Mbit/s; 1e-13 W in 1 MHz.
    (
        {
            "kappa": 1e-28,
            "cpu_frequency": "1.5 GHz",
            "cycles_per_bit": "737.5 cycle/byte",
            "noise_density": "1e-19 W/Hz",
        },
        1_000.0,
        0.02074219,
        16271.186,
        1e-13,
    ),
]


@pytest.mark.parametrize(("given", "bandwidth", "energy", "rate", "noise"), PUBLISHED)
def test_published_sets(given, bandwidth, energy, rate, noise):
    found = Literature(**given).constants(bandwidth)
    assert found == pytest.approx(
        {"local_energy": energy, "local_rate": rate, "noise_power": noise}, rel=1e-6
    )


def test_thermal_noise_is_that_of_its_temperature():
    watts_per_hertz = 1.380649e-23 * 290
    density = 10 * math.log10(watts_per_hertz / 1e-3)
    assert density == pytest.approx(-174, abs=0.05)
    assert noise_power(density, 180.0) == pytest.approx(watts_per_hertz * 180e3, rel=1e-12)
    assert noise_power(density, 180.0, 10 * math.log10(2)) == pytest.approx(
        2 * watts_per_hertz * 180e3, rel=1e-12
    )


def test_a_slot_of_full_speed_costs_the_power_of_the_processor():
    kappa, frequency, cycles = 1e-28, np.array([5e8, 1e9]), 800.0
    milliwatts = 1e3 * kappa * frequency**3
    np.testing.assert_allclose(
        local_energy(kappa, frequency, cycles) * local_rate(frequency, cycles), milliwatts
    )


def test_what_is_missing_is_named():
    assert Literature().constants(1.0) == {}
    assert set(Literature(cpu_frequency=1e9, cycles_per_bit=10.0).constants(1.0)) == {"local_rate"}
    with pytest.raises(InputError) as caught:
        Literature(kappa=1e-28, cpu_frequency="5 W", noise_figure=3)
    assert caught.value.faults == (
        'cpu_frequency: "5 W" is not allowed; it must be a finite number > 0 and <= 1e15 (Hz), '
        'also with a unit as in "0.5 GHz"; W does not convert to Hz',
        "noise_figure: has no effect without noise_density",
    )
    with pytest.raises(InputError, match=r"^kappa: has no effect without cpu_frequency and cycles_per_bit$"):
        Literature(kappa=1e-28)


def test_command(tmp_path):
    named = [word for name, value in OF_MAO_2017.items() for word in ("--from-literature", f"{name}={value}")]
    printed = run("scenario", "--set", "bandwidth=10 MHz", *named, "--set", "local_rate=7", "--json").stdout
    changes = {"bandwidth": 1e4, "local_energy": 0.7375, "local_rate": 7, "noise_power": 3.98107170553e-14}
    assert Scenario(**json.loads(printed)) == Scenario(**changes)
    assert refused("scenario", "--from-literature", "kapa=1") == ["kapa: unknown; did you mean kappa?"]


# ---- Path loss


def test_the_default_path_loss_is_the_papers_to_the_last_bit():
    distance = np.random.default_rng(0).uniform(0.2, 1e3, 1000)
    np.testing.assert_array_equal(path_loss_db(distance, 2.0, 20.0, 0.0), 20 + 20 * np.log10(distance))
    x, y = np.array(Scenario().user_positions).T
    gain = 10 ** (-(20 + 20 * np.log10(np.hypot(x, y))) / 20)
    np.testing.assert_array_equal(parameters_of(Scenario()).path_gain, gain)


def test_path_loss_of_a_published_channel_model():
    # Huang, Bi and Zhang, IEEE Trans. Mobile Comput. 19(11), 2020: power gain A_d (3e8 / (4 pi f d))^2.8.
    carrier, exponent, gain = 915e6, 2.8, 4.11
    scenario = Scenario(
        path_loss_exponent=exponent,
        reference_loss=10 * exponent * math.log10(4 * math.pi * carrier / 3e8),
        antenna_gain=10 * math.log10(gain),
    )
    distance = np.hypot(*np.array(scenario.user_positions).T)
    expected = gain * (3e8 / (4 * math.pi * carrier * distance)) ** exponent
    np.testing.assert_allclose(np.asarray(parameters_of(scenario).path_gain) ** 2, expected, rtol=1e-12)
    sample = diagnosis.sample_of(scenario)
    np.testing.assert_allclose(sample.gain[0], scenario.num_antennas * expected, rtol=1e-12)


def test_the_loss_is_limited_whatever_it_follows_from():
    def fault(**constants):
        with pytest.raises(ScenarioError) as caught:
            Scenario(**constants)
        (line,) = caught.value.faults
        return line

    allowed = "it must be >= 0 and <= 140, by path_loss_exponent, reference_loss, antenna_gain"
    # User 0 at 7.07 m: 20 + 16.99 - 40 dB; user 1 at 10 m: 120 + 40 dB.
    assert fault(antenna_gain=40) == f"user_positions: user 0 has a mean path loss of -3.010 dB; {allowed}"
    far = {"user_positions": [[1, 0], [10, 0]], "reference_loss": 120.0, "path_loss_exponent": 4}
    assert fault(**far) == f"user_positions: user 1 has a mean path loss of 160.000 dB; {allowed}"
    assert Scenario(user_positions=[[1e6, 0], [0.1000001, 0]]).path_loss == pytest.approx([140, 0], abs=1e-4)


@pytest.mark.parametrize("exponent", [2.0, 3.5])
def test_distances_are_scaled_and_found_again_with_any_exponent(exponent):
    scenario = Scenario(
        path_loss_exponent=exponent,
        reference_loss=30,
        antenna_gain=2,
        user_positions=[[4, 3], [2, 6], [5, 1]],
    )
    farther = scenario.replace(user_positions=[[6, 4.5], [3, 9], [7.5, 1.5]])
    swept = parameters_at(parameters_of(scenario), "distance", 1.5)
    np.testing.assert_allclose(swept.path_gain, parameters_of(farther).path_gain, rtol=1e-14)
    places, _ = _positions(parameters_of(scenario))
    np.testing.assert_allclose(places, scenario.user_positions, rtol=1e-9)

    parameters = variety.base(scenario, 3)
    drawn, _ = variety.draw_scenario(jax.random.key(0), parameters)
    default, _ = variety.draw_scenario(jax.random.key(0), variety.base(Scenario(), 3))
    ratios = (np.asarray(default.path_gain) / 0.1) ** (exponent / 2)  # of the same distances
    np.testing.assert_allclose(
        np.asarray(drawn.path_gain) / np.asarray(parameters.path_gain), ratios, rtol=1e-12
    )


def test_another_path_loss_is_outside_what_was_trained():
    (line,) = diagnosis.outside_training("price-net", Scenario(reference_loss=30))
    assert line == "path_loss: 42.6 to 47 dB is outside what price-net was trained on, 32.6 to 37 dB"


def test_rician_factors_differ_by_user():
    scenario = Scenario(fading="rician", rician_factor=[0, 9, 1e9])
    parameters = parameters_of(scenario)
    scatter = channel.complex_normal(jax.random.key(0), (4000, 3, 3), jnp.dtype(float))
    drawn = jax.vmap(channel.channels_from_scatter, in_axes=(None, 0))(parameters, scatter)
    relative = np.asarray(drawn / (parameters.path_gain[:, None] * parameters.line_of_sight))
    # The mean is sqrt(K / (1 + K)), the variance 1 / (1 + K).
    np.testing.assert_allclose(relative.mean(axis=(0, 2)), [0, math.sqrt(0.9), 1], atol=0.03)
    np.testing.assert_allclose(relative.var(axis=(0, 2)), [1, 0.1, 0], atol=0.03)
    one = dataclasses.replace(parameters, rician_factor=jnp.asarray(9.0))
    same = channel.channels_from_scatter(one, scatter[0])
    np.testing.assert_array_equal(same[1], drawn[0, 1])
    with pytest.raises(ScenarioError, match=r"rician_factor: \[0.0, 1.0, 0.0\] has no effect with fading"):
        Scenario(rician_factor=[0, 1, 0])


# ---- What earlier versions kept


def test_what_was_kept_before_these_constants_is_still_equal(tmp_path):
    # Digests of run folders, by the version before them.
    assert digest(Scenario()) == "f354a126835228f3b699dbf1d8c077ac24c29c481cc54be5465c16e747ba7615"
    rician = Scenario(fading="rician", rician_factor=3)
    assert digest(rician) == "fa8f6671c9dd179bd60ff7fdacc561b7c99803370cd7b7ae4a7766e7d9d51e84"
    assert digest(Scenario(reference_loss=30)) != digest(Scenario())

    kept = Scenario().record()
    sweeps = {"partial_service", "ap_power_sweep", "mean_workload_sweep", "distance_sweep"}
    loss = {"path_loss_exponent", "reference_loss", "antenna_gain"}
    assert set(Scenario.model_fields) - set(kept) == loss | sweeps
    assert Scenario(**kept) == Scenario()
    changed = Scenario(antenna_gain=3)
    assert changed.record()["antenna_gain"] == 3
    assert Scenario(**json.loads(json.dumps(changed.record()))) == changed


def test_scenarios_are_kept_by_their_record_alone():
    sources = Path(diagnosis.__file__).parents[1]
    dumps = {
        path.name
        for folder in ("studies", "calibrate")
        for path in (sources / folder).glob("*.py")
        if 'cenario.model_dump(mode="json")' in path.read_text()
    }
    assert not dumps
