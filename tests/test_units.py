"""Numbers with units: converted as by hand, and refused with a line that says what is allowed."""

import subprocess
import sys
from fractions import Fraction

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from command_line import refused
from scattermec._settings import notes_of
from scattermec._units import UnitError, converted, example
from scattermec.errors import InputError, ScenarioError
from scattermec.literature import Literature
from scattermec.scenario import Rectifier, Scenario

PREFIXES = {"f": -15, "p": -12, "n": -9, "u": -6, "µ": -6, "μ": -6, "m": -3, "": 0, "k": 3, "M": 6, "G": 9}


@pytest.mark.parametrize(
    ("text", "unit", "number"),
    [
        ("-90 dBm", "W", 1e-12),
        ("30dBm", "W", 1),
        ("0 dBW", "W", 1),
        ("36 dBm", "W", 10**0.6),
        ("-10 dBm", "mW", 0.1),
        ("2 MHz", "kHz", 2000),
        ("0.5 GHz", "Hz", 5e8),
        ("1 kbit/s", "kbit/s", 1),
        ("3 Mbps", "kbit/s", 3000),
        ("2 kB/s", "kbit/s", 16),
        ("5 kilobytes", "kbit", 40),
        ("7 Mb", "kbit", 7000),
        ("2 J/kB", "mJ/kbit", 250),
        ("1e-9 J/bit", "mJ/kbit", 1e-3),
        ("1 mWh", "mJ", 3600),
        ("3 W s", "mJ", 3000),
        ("3 W*min", "mJ", 180_000),
        ("10 ms", "s", 0.01),
        ("2 h", "s", 7200),
        ("120 cm", "m", 1.2),
        ("-20 dB", "", 0.01),
        ("51 %", "", 0.51),
        ("6 dBi", "dB", 6),
        ("6 dB", "dBi", 6),
        ("5 1/W", "1/mW", 0.005),
        ("5 uW^-1", "1/mW", 5000),
        ("-174 dBm/Hz", "dBm/Hz", -174),
        ("1e-21 W/Hz", "dBm/Hz", -180),
        ("8000 cycles/byte", "cycle/bit", 1000),
        ("1e-28 J s^2", "J s^2", 1e-28),
    ],
)
def test_conversion(text, unit, number):
    assert converted(text, unit) == pytest.approx(number, rel=1e-11, abs=0)


@settings(max_examples=50)
@given(st.decimals(0, 1000, allow_nan=False, places=3), st.sampled_from(sorted(PREFIXES)))
def test_prefixes_are_powers_of_ten_and_decimals_stay_decimals(number, prefix):
    exact = Fraction(number) * Fraction(10) ** PREFIXES[prefix]
    assert converted(f"{number} {prefix}J", "J") == float(exact)


@pytest.mark.parametrize(
    ("text", "unit", "why"),
    [
        ("3 elephants", "W", "the unit elephants is not known"),
        ("2 KHZ", "kHz", "the unit KHZ is not known"),
        ("3 MHz", "W", "MHz does not convert to W"),
        ("50 kHz", "kbit/s", "kHz does not convert to kbit/s"),
        ("5 mJ", "mW", "mJ does not convert to mW"),
        ("5 dBm", "mJ", "dBm does not convert to mJ"),
        ("5 dBm/Hz", "W", "dBm/Hz does not convert to W"),
        ("3 dB", "W", "dB does not convert to W"),
        ("3 W", "", "W does not convert to a ratio"),
        ("1 kdBm", "W", "kdBm does not convert to W"),
        ("1 W^9", "W", "W^9 does not convert to W"),
    ],
)
def test_what_does_not_convert(text, unit, why):
    with pytest.raises(UnitError) as caught:
        converted(text, unit)
    assert str(caught.value) == why


@pytest.mark.parametrize(
    "text",
    [
        "",
        "W",
        "1",
        "1e5",
        "'1'",
        "1:30",
        "0x1F",
        "1_000",
        "2020-01-01",
        "1/2 W",
        "nan W",
        "1 W^99",
        "1 W/",
        "1 (W)",
        "1 " + "a  " * 20 + "!",  # no search that takes forever
        "1 " + "W " * 50_000,
    ],
)
def test_what_is_no_number_with_a_unit(text):
    assert converted(text, "W") is None


@pytest.mark.parametrize("model", [Scenario, Rectifier, Literature])
def test_every_constant_takes_its_unit_and_has_an_example(model):
    for name, field in model.model_fields.items():
        unit = notes_of(field)["unit"]
        if name == "rectifier":
            continue
        assert converted(example(unit), unit) is not None
        assert converted(f"2 {unit}", unit) == (2 if unit else None)


def test_scenario_with_units():
    scenario = Scenario(
        user_positions=[["500 cm", 5], [3, "3 m"], [-2, 4]],
        bandwidth="2 MHz",
        noise_power="-90 dBm",
        local_rate=["1 Mbit/s", 3, "20 bit/s"],
        rician_factor="10 dB",
        fading="rician",
        initial_battery=[0, "0.05 mJ"],
        rectifier={"saturation": "-3 dBm"},
    )
    assert (scenario.bandwidth, scenario.noise_power, scenario.rician_factor) == (2000, 1e-12, 10)
    assert scenario.user_positions == Scenario().user_positions
    assert scenario.local_rate == (1000, 3, 0.02)
    assert scenario.initial_battery == (0, 0.05)
    assert scenario.rectifier.saturation == pytest.approx(10**-0.3)
    assert Scenario.from_yaml(scenario.to_yaml()) == scenario
    assert Scenario.from_yaml("noise_power: -90 dBm") == Scenario(noise_power=1e-12)


def test_faults_name_field_value_and_what_is_allowed():
    allowed = "it must be a finite number >= 0, or a list of one per user (kbit/s)"
    example = 'also with a unit as in "1 Mbit/s"'
    with pytest.raises(ScenarioError) as caught:
        Scenario(
            local_rate=["20 kHz", 1, 1],
            noise_power="0 W",
            ap_power="1e400 W",
            num_antennas="3 m",
            trace="3 W",
        )
    assert caught.value.faults[:4] == (
        'num_antennas: "3 m" is not allowed; it must be an integer >= 1 and <= 1024',
        'ap_power: "1e400 W" is not allowed; it must be a finite number > 0 (W)',
        'noise_power: "0 W" is not allowed; it must be > 0 (W)',
        f'local_rate: ["20 kHz", 1, 1] is not allowed; {allowed}, {example}; kHz does not convert to kbit/s',
    )
    assert refused("scenario", "--set", "ap_power=3 elephants") == [
        'ap_power: "3 elephants" is not allowed; it must be a finite number > 0 (W), '
        'also with a unit as in "30 dBm"; the unit elephants is not known'
    ]
    with pytest.raises(InputError, match=r"rectifier.steepness: .* as in \"1 1/mW\"; W does not convert"):
        Scenario(rectifier={"steepness": "4 W"})


def test_units_are_loaded_only_where_they_are_used():
    check = (
        "import sys; from scattermec import Scenario; Scenario(); loaded = 'pint' in sys.modules; "
        "Scenario(ap_power='1 W'); sys.exit(loaded or 'pint' not in sys.modules)"
    )
    subprocess.run([sys.executable, "-c", check], check=True)
