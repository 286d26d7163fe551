"""The scenario: its defaults, its files, and the line that each fault gives."""

import json
import pickle
import re
from pathlib import Path

import numpy as np
import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from scattermec.errors import ScenarioError
from scattermec.scenario import Rectifier, Scenario

DEFAULTS = {
    "num_antennas": 3,
    "user_positions": ((5.0, 5.0), (3.0, 3.0), (-2.0, 4.0)),
    "slot_duration": 1.0,
    "bandwidth": 8.0,
    "ap_power": 1.0,
    "noise_power": 1e-9,
    "residual_interference": 0.0,
    "harvest_efficiency": 0.6,
    "harvest_model": "linear",
    "rectifier": {"saturation": 1.0, "steepness": 5.0, "turn_on": 0.2},
    "causal_harvest": False,
    "reflection_gain": 0.01,
    "circuit_power": 0.01,
    "local_energy": 0.005,
    "local_rate": 50.0,
    "battery_capacity": 1.0,
    "initial_battery": (0.0, 0.1),
    "active_receive_power": 0.04,
    "passive_receive_power": 0.01,
    "idle_power": 0.01,
    "mec_energy": 0.0005,
    "shortfall_price": 1.0,
    "mean_workload": 40.0,
    "arrivals": "poisson",
    "backlog_cap": 80.0,
    "path_loss_exponent": 2.0,
    "reference_loss": 20.0,
    "antenna_gain": 0.0,
    "fading": "rayleigh",
    "rician_factor": 0.0,
    "correlation": 0.0,
    "csi_error": 0.0,
    "workload_error": 0.0,
    "trace": None,
    "reliability_weight": 4.0,
    "mec_price": 0.2,
    "ap_price": 0.4,
    "discount": 0.5,
    "team_weight": 0.0,
    "episode_length": 100,
    "partial_service": True,
    "ap_power_sweep": (0.25, 4.0),
    "mean_workload_sweep": (5.0, 60.0),
    "distance_sweep": (0.5, 2.0),
}
PER_USER = (
    "slot_duration",
    "circuit_power",
    "local_energy",
    "local_rate",
    "battery_capacity",
    "reflection_gain",
    "mean_workload",
    "rician_factor",
)
POSITIVE = (
    "slot_duration",
    "bandwidth",
    "ap_power",
    "noise_power",
    "local_energy",
    "battery_capacity",
    "shortfall_price",
    "reliability_weight",
    "reflection_gain",
    "path_loss_exponent",
)
NOT_NEGATIVE = (
    "residual_interference",
    "harvest_efficiency",
    "circuit_power",
    "local_rate",
    "initial_battery",
    "active_receive_power",
    "passive_receive_power",
    "idle_power",
    "mec_energy",
    "mean_workload",
    "backlog_cap",
    "rician_factor",
    "correlation",
    "csi_error",
    "workload_error",
    "mec_price",
    "ap_price",
    "discount",
    "team_weight",
    "reference_loss",
)


def faults(text: str) -> tuple[str, ...]:
    with pytest.raises(ScenarioError) as caught:
        Scenario.from_yaml(text)
    assert str(caught.value) == "\n".join(caught.value.faults)
    assert all("\n" not in line for line in caught.value.faults)
    return caught.value.faults


# ---- Defaults and values


def test_defaults():
    scenario = Scenario()
    assert scenario.model_dump() == DEFAULTS
    assert scenario.num_users == 3
    assert list(Scenario.model_fields) == list(DEFAULTS)


def test_every_field_is_described():
    for field in (*Scenario.model_fields.values(), *Rectifier.model_fields.values()):
        assert field.description
        assert set(field.json_schema_extra) == {"symbol", "unit", "rule"}


def test_immutable_and_compared_by_value():
    scenario = Scenario(ap_power=2)
    with pytest.raises(ValueError, match="frozen"):
        scenario.ap_power = 3.0
    with pytest.raises(ValueError, match="frozen"):
        scenario.rectifier.saturation = 3.0
    assert scenario == Scenario(ap_power=2.0)
    assert hash(scenario) == hash(Scenario(ap_power=2.0))
    assert scenario != Scenario()
    assert pickle.loads(pickle.dumps(scenario)) == scenario


def test_lists_and_numpy_values_are_taken():
    scenario = Scenario(
        user_positions=np.array([[1.0, 2.0], [3.0, 4.0]]), local_rate=[40, 60], ap_power=np.float32(0.5)
    )
    assert scenario.user_positions == ((1.0, 2.0), (3.0, 4.0))
    assert scenario.local_rate == (40.0, 60.0)
    assert scenario.ap_power == 0.5
    hash(scenario)


@pytest.mark.parametrize("name", PER_USER)
def test_per_user_constants(name):
    value = DEFAULTS[name]
    several = [value, value / 2, value / 4]
    scenario = Scenario.from_yaml(f"{name}: {several}")
    assert scenario.per_user(name) == tuple(several)
    assert Scenario().per_user(name) == (value,) * 3
    line = f"{name}: mismatched lengths, 2 values for 3 users; it must be a number or one number per user"
    assert faults(f"{name}: {several[:2]}") == (line,)
    assert faults(f"{name}: []") == (line.replace("2", "0", 1),)
    assert faults(f"{name}: [1, a, 1]")[0].startswith(
        f"{name}: [1, a, 1] is not allowed; it must be a finite"
    )
    assert faults(f"{name}: [1, -1, 1]")[0].startswith(f"{name}: [1, -1, 1] is not allowed; it must be >")


# ---- Files


def test_yaml_of_the_defaults_reads_well():
    text = Scenario().to_yaml()
    assert "ap_power: 1.0                       # AP transmit power p [W]\n" in text
    keys = [line.split(":")[0] for line in text.splitlines() if re.match(r"\w", line)]
    assert keys == list(DEFAULTS)
    assert yaml.safe_load(text) == json.loads(json.dumps(DEFAULTS))  # any YAML reader understands it


@st.composite
def constants(draw):
    positive = st.floats(1e-300, 1e300)
    share = st.floats(1e-9, 1)
    users = draw(st.integers(1, 5))

    def per_user(numbers):
        return draw(st.one_of(numbers, st.lists(numbers, min_size=users, max_size=users)))

    coordinate = st.floats(0.1, 100)
    passive, active = sorted(draw(st.tuples(positive, positive)))
    capacity = per_user(positive)
    low, high = sorted(draw(st.tuples(share, share)))
    smallest = min(capacity) if isinstance(capacity, list) else capacity
    fading = draw(st.sampled_from(["rayleigh", "rician"]))
    return {
        "num_antennas": draw(st.integers(1, 64)),
        "user_positions": draw(st.lists(st.tuples(coordinate, coordinate), min_size=users, max_size=users)),
        "slot_duration": per_user(positive),
        "bandwidth": draw(positive),
        "ap_power": draw(positive),
        "noise_power": draw(positive),
        "harvest_efficiency": draw(share),
        "harvest_model": draw(st.sampled_from(["linear", "sigmoidal"])),
        "rectifier": {"saturation": draw(positive), "turn_on": draw(share)},
        "causal_harvest": draw(st.booleans()),
        "reflection_gain": per_user(share),
        "circuit_power": per_user(positive),
        "local_energy": per_user(positive),
        "battery_capacity": capacity,
        "initial_battery": draw(st.sampled_from([low * smallest, (low * smallest, high * smallest)])),
        "passive_receive_power": passive,
        "active_receive_power": active,
        "mean_workload": per_user(positive),
        "arrivals": draw(st.sampled_from(["poisson", "constant"])),
        "fading": fading,
        "rician_factor": per_user(positive) if fading == "rician" else 0,
        "correlation": draw(share),
        "discount": draw(st.floats(0, 1, exclude_max=True)),
        "episode_length": draw(st.integers(1, 10**8)),
        "partial_service": draw(st.booleans()),
        "ap_power_sweep": sorted(draw(st.lists(positive, min_size=2, max_size=2, unique=True))),
    }


@settings(max_examples=60, deadline=None)
@given(constants())
def test_round_trip(values):
    scenario = Scenario(**values)
    text = scenario.to_yaml()
    again = Scenario.from_yaml(text)
    assert again == scenario
    assert hash(again) == hash(scenario)
    assert again.to_yaml() == text
    assert Scenario.from_yaml(json.dumps(scenario.model_dump())) == scenario
    assert scenario.replace() == scenario


@pytest.mark.parametrize("text", ["", "{}", "# nothing\n", "---\n", "null"])
def test_empty_file_is_all_defaults(text):
    assert Scenario.from_yaml(text) == Scenario()


def test_save_and_load(tmp_path):
    scenario = Scenario(ap_power=2, num_antennas=5)
    scenario.save(tmp_path / "scenario.yaml")
    assert Scenario.load(tmp_path / "scenario.yaml") == scenario
    (tmp_path / "scenario.json").write_text(json.dumps({"ap_power": 2, "num_antennas": 5}), "utf-8-sig")
    assert Scenario.load(str(tmp_path / "scenario.json")) == scenario


def test_file_that_cannot_be_read(tmp_path):
    with pytest.raises(ScenarioError, match=r"missing\.yaml: cannot be read: No such file"):
        Scenario.load(tmp_path / "missing.yaml")
    with pytest.raises(ScenarioError, match="cannot be read"):
        Scenario.load(tmp_path)
    (tmp_path / "latin.yaml").write_bytes(b"# \xe9\n")
    with pytest.raises(ScenarioError, match="is not UTF-8 text"):
        Scenario.load(tmp_path / "latin.yaml")


@pytest.mark.parametrize(
    ("text", "value"),
    [("1e-9", 1e-9), ("1E3", 1e3), ("+1.e+3", 1e3), (".5", 0.5), ("2", 2.0), ("1e-09", 1e-9)],
)
def test_numbers(text, value):
    assert Scenario.from_yaml(f"noise_power: {text}").noise_power == value
    assert Scenario().with_settings([f"noise_power={text}"]).noise_power == value


@pytest.mark.parametrize(
    "text", ["1:30", "0x1F", "1_000", "2020-01-01", "'1'", "yes", "true", "null", "[1]", "{}"]
)
def test_not_numbers(text):
    (line,) = faults(f"ap_power: {text}")
    assert line.startswith("ap_power: ")
    assert line.endswith("is not allowed; it must be a finite number > 0 (W)")


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("ap_power: [1", "line 1, column 13: not valid YAML: while parsing a flow sequence"),
        ("a: 1\nb: c: 2", "line 2, column 5: not valid YAML: mapping values are not allowed here"),
        ("a: 1\n---\nb: 1", "line 2, column 1: not valid YAML: expected a single document"),
        ("a: &a [*a]", "line 1, column 4: not valid YAML: found unconstructable recursive node"),
        ("a: !!python/name:os.system", "line 1, column 4: not valid YAML: could not determine a constructor"),
        ("1: 2", "line 1, column 1: not valid YAML: 1 is not a name"),
        ("[1]: 2", "line 1, column 1: not valid YAML: a list or mapping is not a name"),
        ("a: \x01", "not valid YAML: unacceptable character"),
        ("a: !!int b", "line 1, column 4: not valid YAML: b is not of the type int"),
        ("[" * 5000, "line 1, column 18: not valid YAML: it has more than 16 lists and mappings within"),
        ("[1, 2]", "a scenario must be a mapping of names to values, not [1, 2]"),
    ],
)
def test_broken_yaml_gives_one_line(text, line):
    (only,) = faults(text)
    assert only.startswith(line)


def test_duplicate_keys():
    lines = faults("ap_power: 1\nrectifier: {turn_on: 1, turn_on: 2}\nap_power: -2")
    assert lines == (
        "ap_power: is given twice, in lines 1 and 3",
        "turn_on: is given twice, in lines 2 and 2",
        "ap_power: -2 is not allowed; it must be > 0 (W)",
    )
    assert faults('{"ap_power": 1, "ap_power": 1}') == ("ap_power: is given twice, in lines 1 and 1",)


# ---- Faults of one field


@pytest.mark.parametrize("name", POSITIVE)
def test_positive(name):
    for value in (0, -1):
        assert faults(f"{name}: {value}")[0].startswith(f"{name}: {value} is not allowed; it must be > 0")
    below = 0.5
    assert getattr(Scenario.from_yaml(f"{name}: {below}"), name) == below


@pytest.mark.parametrize("name", NOT_NEGATIVE)
def test_not_negative(name):
    assert faults(f"{name}: -1")[0].startswith(f"{name}: -1 is not allowed; it must be >= 0")
    others = "passive_receive_power: 0\n" if name == "active_receive_power" else ""
    assert getattr(Scenario.from_yaml(f"{others}{name}: 0"), name) == 0


def test_every_number_is_covered_by_a_rule():
    numbers = {name for name, value in DEFAULTS.items() if isinstance(value, float)} | {"initial_battery"}
    assert numbers == {*POSITIVE, *NOT_NEGATIVE, "antenna_gain"}


@pytest.mark.parametrize("name", [*POSITIVE, *NOT_NEGATIVE])
@pytest.mark.parametrize("value", [".nan", ".inf", "-.inf", "1e400", "'1'", "true", "null", "1" + "0" * 400])
def test_numbers_are_finite_and_numbers(name, value):
    (line,) = faults(f"{name}: {value}")
    assert line.startswith(f"{name}: ")
    assert "is not allowed; it must be a finite number >" in line
    assert len(line) < 250


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("ap_power: -1", "ap_power: -1 is not allowed; it must be > 0 (W)"),
        ("harvest_efficiency: 1.1", "harvest_efficiency: 1.1 is not allowed; it must be >= 0 and <= 1"),
        ("reflection_gain: 2", "reflection_gain: 2 is not allowed; it must be > 0 and <= 1"),
        ("correlation: 2", "correlation: 2 is not allowed; it must be >= 0 and <= 1"),
        ("team_weight: 2", "team_weight: 2 is not allowed; it must be >= 0 and <= 1"),
        ("discount: 1", "discount: 1 is not allowed; it must be >= 0 and < 1"),
        ("num_antennas: 0", "num_antennas: 0 is not allowed; it must be >= 1 and <= 1024"),
        ("num_antennas: 3.0", "num_antennas: 3.0 is not allowed; it must be an integer >= 1 and <= 1024"),
        ("num_antennas: true", "num_antennas: true is not allowed; it must be an integer >= 1 and <= 1024"),
        ("episode_length: 0", "episode_length: 0 is not allowed; it must be >= 1 and <= 100000000"),
        ("causal_harvest: 1", "causal_harvest: 1 is not allowed; it must be true or false"),
        ("fading: nakagami", "fading: nakagami is not allowed; it must be rayleigh, rician or file"),
        ("arrivals: 1", "arrivals: 1 is not allowed; it must be poisson, constant or file"),
        ("harvest_model: cubic", "harvest_model: cubic is not allowed; it must be linear or sigmoidal"),
        ("trace: 3", "trace: 3 is not allowed; it must be the path of an .npz file"),
        ("rectifier.turn_on: 1", "rectifier.turn_on: unknown; did you mean rectifier?"),
        (
            "rectifier: 1",
            "rectifier: 1 is not allowed; it must be a mapping of saturation, steepness and turn_on "
            "(mW, 1/mW, mW)",
        ),
        ("rectifier: {steepness: 0}", "rectifier.steepness: 0 is not allowed; it must be > 0 (1/mW)"),
        ("rectifier: {turnon: 0}", "rectifier.turnon: unknown; did you mean turn_on?"),
        (
            "initial_battery: [0, 0.1, 0.2]",
            "initial_battery: [0, 0.1, 0.2] is not allowed; "
            "it must be a finite number >= 0, or [low, high] (mJ)",
        ),
        (
            "ap_power_sweep: [2, 1]",
            "ap_power_sweep: [2, 1] is not allowed; it must be [low, high] with 0 < low < high (W)",
        ),
        (
            "distance_sweep: [0, 1]",
            "distance_sweep: [0, 1] is not allowed; it must be [low, high] with 0 < low < high",
        ),
        (
            "mean_workload_sweep: 3",
            "mean_workload_sweep: 3 is not allowed; it must be [low, high] with 0 < low < high (kbit)",
        ),
        ("ap_powr: 1", "ap_powr: unknown; did you mean ap_power?"),
        ("xyzzy: 1", "xyzzy: unknown; no constant has a name like it"),
        ("self: 1", "self: unknown; no constant has a name like it"),
        ("num_users: 3", "num_users: cannot be set; it follows from user_positions"),
    ],
)
def test_fault(text, line):
    assert faults(text) == (line,)


@pytest.mark.parametrize(
    "value",
    [
        "[]",
        "[[0, 0]]",
        "[[1, 2], [-0.0, 0]]",
        "[[1]]",
        "[[1, 2, 3]]",
        "[1, 2]",
        "[[1, .nan]]",
        "[[1, a]]",
        "3",
    ],
)
def test_user_positions(value):
    (line,) = faults(f"user_positions: {value}")
    assert line.startswith("user_positions: ")
    assert "it must be a list of at least one [x, y]" in line


def test_long_values_are_cut_short():
    (line,) = faults(f"ap_power: {list(range(1000))}")
    assert len(line) < 200


# ---- Faults across fields


@pytest.mark.parametrize(
    ("text", "line"),
    [
        (
            "initial_battery: [0.2, 0.1]",
            "initial_battery: [0.2, 0.1] is not allowed; it must have low <= high (mJ)",
        ),
        (
            "initial_battery: 2",
            "initial_battery: 2.0 is not allowed; it must be <= battery_capacity, 1.0 for the smallest (mJ)",
        ),
        (
            "battery_capacity: [1, 0.05, 1]",
            "initial_battery: [0.0, 0.1] is not allowed; "
            "it must be <= battery_capacity, 0.05 for the smallest (mJ)",
        ),
        (
            "passive_receive_power: 0.05",
            "passive_receive_power: 0.05 is not allowed; it must be <= active_receive_power, 0.04 (W)",
        ),
        ("rician_factor: 2", "rician_factor: 2.0 has no effect with fading: rayleigh; set fading: rician"),
        (
            "fading: file",
            "trace: is missing; fading: file and arrivals: file need the path of an .npz file",
        ),
    ],
)
def test_fault_across_fields(text, line):
    assert faults(text) == (line,)


def test_all_faults_at_once():
    lines = faults(
        "ap_power: -1\n"
        "bandwith: 3\n"
        "num_users: 2\n"
        "discount: high\n"
        "rectifier: {saturation: 0, knee: 1}\n"
        "slot_duration: [1, 2]\n"
        "rician_factor: 1\n"
        "initial_battery: 3\n"
        "initial_battery: 4\n"
    )
    assert [line.split(":")[0] for line in lines] == [
        "initial_battery",  # twice
        "ap_power",
        "rectifier.saturation",
        "rectifier.knee",
        "discount",
        "bandwith",
        "num_users",
        "slot_duration",  # two numbers for three users
        "initial_battery",  # more than the battery holds
        "rician_factor",
    ]


def test_no_check_across_a_field_that_is_wrong():
    assert len(faults("user_positions: []\nslot_duration: [1, 2]")) == 1
    assert len(faults("active_receive_power: -1\npassive_receive_power: 5")) == 1


def test_direct_construction_raises_the_same():
    with pytest.raises(ScenarioError) as caught:
        Scenario(ap_power=-1, rician_factor=1.0)
    assert caught.value.faults == (
        "ap_power: -1 is not allowed; it must be > 0 (W)",
        "rician_factor: 1.0 has no effect with fading: rayleigh; set fading: rician",
    )
    assert pickle.loads(pickle.dumps(caught.value)).faults == caught.value.faults
    with pytest.raises(ScenarioError, match="turn_on: -1 is not allowed"):
        Rectifier(turn_on=-1)


# ---- Changes


def test_with_settings():
    scenario = Scenario(fading="rician").with_settings(
        ["ap_power=2", "user_positions=[[1,2]]", "rectifier.saturation=2", "rician_factor = 3", "trace="]
    )
    assert scenario == Scenario(
        fading="rician",
        ap_power=2,
        user_positions=[[1, 2]],
        rectifier=Rectifier(saturation=2),
        rician_factor=3,
    )
    assert Scenario().with_settings([]) == Scenario()


def test_with_settings_lists_all_faults():
    with pytest.raises(ScenarioError) as caught:
        Scenario().with_settings(
            ["ap_power", "=1", "ap_power.x=1", "ap_price=[", "ap_powr=1", "rectifier.x=1", "discount=2"]
        )
    assert caught.value.faults == (
        "ap_power: is not a setting; write name=value",
        "=1: is not a setting; write name=value",
        "ap_power.x: unknown; ap_power has no parts",
        "ap_price: line 1, column 2: not valid YAML: while parsing a flow node, "
        "expected the node content, but found '<stream end>'",
        "rectifier.x: unknown; no constant has a name like it",
        "discount: 2 is not allowed; it must be >= 0 and < 1",
        "ap_powr: unknown; did you mean ap_power?",
    )


def test_replace():
    scenario = Scenario(ap_power=2)
    assert scenario.replace(bandwidth=3) == Scenario(ap_power=2, bandwidth=3)
    assert scenario == Scenario(ap_power=2)
    with pytest.raises(ScenarioError, match="bandwidth: -3 is not allowed"):
        scenario.replace(bandwidth=-3)
    with pytest.raises(ScenarioError, match="ap_powr: unknown"):
        scenario.replace(ap_powr=1)


# ---- Traces


CHANNELS = np.full((4, 3, 3), 1 + 1j)
WORKLOAD = np.full((4, 3), 40.0)


def trace_faults(path: Path, fading="file", arrivals="file", **arrays) -> tuple[str, ...]:
    np.savez(path / "trace.npz", **arrays)
    with pytest.raises(ScenarioError) as caught:
        Scenario(fading=fading, arrivals=arrivals, trace=path / "trace.npz")
    return caught.value.faults


def test_trace(tmp_path, monkeypatch):
    np.savez(tmp_path / "trace.npz", channels=CHANNELS, workload=WORKLOAD)
    (tmp_path / "scenario.yaml").write_text("fading: file\ntrace: trace.npz")
    scenario = Scenario.load(tmp_path / "scenario.yaml")  # relative to the file
    assert scenario.trace == str(tmp_path / "trace.npz")
    assert Scenario.from_yaml(scenario.to_yaml()) == scenario
    scenario.with_settings(["arrivals=file", "fading=rayleigh"])
    channels, workload = scenario.load_trace()
    np.testing.assert_array_equal(channels, CHANNELS)
    np.testing.assert_array_equal(workload, WORKLOAD)
    assert Scenario().load_trace() == (None, None)

    monkeypatch.chdir(tmp_path)
    assert Scenario(fading="file", trace="trace.npz") == scenario  # relative to the working directory
    (tmp_path / "elsewhere").mkdir()
    scenario.save(tmp_path / "elsewhere" / "saved.yaml")
    assert Scenario.load("elsewhere/saved.yaml") == scenario


def test_trace_with_an_odd_name(tmp_path):
    path = tmp_path / 'a "b": #c\n\u00e9\U0001f600\\.npz'
    np.savez(path, channels=CHANNELS)
    scenario = Scenario(fading="file", trace=path)
    assert scenario.load_trace()[1] is None
    assert Scenario.from_yaml(scenario.to_yaml()) == scenario


@pytest.mark.parametrize(
    ("arrays", "line"),
    [
        ({"workload": WORKLOAD}, "has no channels"),
        ({"channels": CHANNELS}, "has no workload"),
        (
            {"channels": CHANNELS[:, :2], "workload": WORKLOAD},
            "trace: channels has shape (4, 2, 3); it must be (frames, 3, 3) with frames >= 1, "
            "by user_positions and num_antennas",
        ),
        (
            {"channels": CHANNELS, "workload": WORKLOAD[0]},
            "trace: workload has shape (3,); it must be (frames, 3) with frames >= 1, by user_positions",
        ),
        ({"channels": CHANNELS[:0], "workload": WORKLOAD[:0]}, "with frames >= 1"),
        ({"channels": np.array(1j), "workload": WORKLOAD}, "channels has shape ()"),
        ({"channels": CHANNELS.real, "workload": WORKLOAD}, "channels has type float64; it must be complex"),
        ({"channels": CHANNELS, "workload": WORKLOAD + 0j}, "workload has type complex128; it must be real"),
        ({"channels": CHANNELS * np.nan, "workload": WORKLOAD}, "channels has values that are not finite"),
        ({"channels": CHANNELS, "workload": WORKLOAD + np.inf}, "workload has values that are not finite"),
        (
            {"channels": CHANNELS, "workload": -WORKLOAD},
            "workload has negative values; they must be >= 0 (kbit)",
        ),
        ({"channels": CHANNELS, "workload": WORKLOAD[:3]}, "differ in their number of frames"),
        (
            {"channels": np.array([{}]), "workload": WORKLOAD},
            "channels is not an .npy array, or is damaged",
        ),
    ],
)
def test_trace_arrays(tmp_path, arrays, line):
    assert any(line in fault for fault in trace_faults(tmp_path, **arrays))


def test_trace_faults_come_with_the_others(tmp_path):
    lines = trace_faults(tmp_path, channels=CHANNELS * np.nan, workload=-WORKLOAD)
    assert len(lines) == 2
    with pytest.raises(ScenarioError) as caught:
        Scenario(fading="file", trace=tmp_path / "none.npz", ap_power=0, correlation=0.5)
    assert [line.split(":")[0] for line in caught.value.faults] == ["ap_power", "correlation", "trace"]
    assert caught.value.faults[-1].endswith("none.npz: cannot be read: No such file or directory")


def test_trace_without_use(tmp_path):
    assert trace_faults(tmp_path, fading="rayleigh", arrivals="poisson", channels=CHANNELS) == (
        "trace: has no effect; set fading: file or arrivals: file, or leave it out",
    )


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04 broken", b"plain text", b"\x93NUMPY"])
def test_trace_of_another_format(tmp_path, content):
    (tmp_path / "trace.npz").write_bytes(content)
    with pytest.raises(ScenarioError, match=r"is not an \.npz file"):
        Scenario(fading="file", trace=tmp_path / "trace.npz")


def test_trace_that_is_one_array(tmp_path):
    np.save(tmp_path / "trace.npy", CHANNELS)
    with pytest.raises(ScenarioError, match=r"is not an \.npz file"):
        Scenario(fading="file", trace=tmp_path / "trace.npy")


def test_trace_cut_short_or_damaged(tmp_path):
    np.savez_compressed(tmp_path / "trace.npz", channels=CHANNELS * np.arange(4)[:, None, None])
    content = bytearray((tmp_path / "trace.npz").read_bytes())
    content[60:90] = bytes(30)
    for damaged in (content, content[:50]):
        (tmp_path / "trace.npz").write_bytes(damaged)
        with pytest.raises(ScenarioError, match=r"is not an \.npz file|is damaged"):
            Scenario(fading="file", trace=tmp_path / "trace.npz")
