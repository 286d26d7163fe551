"""Files that are broken, or made to do harm: one line per fault that names the file, exit status 2."""

import contextlib
import json
import re
import zipfile
from pathlib import Path

import numpy as np
import pyarrow
import pyarrow.parquet
import pytest

from command_line import refused, run
from scattermec import Scenario, counts
from scattermec.errors import InputError, ScenarioError, one_line
from scattermec.experiments.report.markdown import code_block, plain
from scattermec.experiments.studies import base
from scattermec.experiments.studies.results import COLUMNS, DATA, Results
from scattermec.storage import open_frames
from scattermec.storage.texts import read_object
from scattermec.training import checkpoint
from scattermec.training.metrics import read

CASES = Path(__file__).parent / "cases"

SCENARIOS = {
    "laugh2.yaml": "not valid YAML: it has more than 50,000 values, those of aliases included",
    "bool.yaml": "not valid YAML: x is not of the type bool",
    "ts.yaml": "could not determine a constructor for the tag 'tag:yaml.org,2002:timestamp'",
    "surr.yaml": r'not valid YAML: "\ud800" has half a character',
    "nlkey.yaml": r"a\nb: unknown; no constant has a name like it",
    "bigint_ep.yaml": "episode_length: an integer of more than 100 digits is not allowed",
}


@pytest.mark.parametrize(("name", "fault"), SCENARIOS.items())
def test_scenarios(name, fault):
    (line,) = refused("scenario", "--scenario", CASES / name)
    assert fault in line


TEXTS = [
    "a: !!binary x",
    "ap_power: !!int x",
    "ap_power: !!float x",
    "ap_power: !!null x",
    "ap_power: !!set {a, b}",
    "ap_power: !!omap [a: 1]",
    f"ap_power: {'9' * 400}",
    f"num_antennas: -{'9' * 400}",
    f"user_positions: [[{'9' * 400}, 1]]",
    'fading: "\\ud800"',
    'trace: "\\udfff.npz"',
    '{"rectifier": {"\\ud800": 1}}',
    "? [a]\n: 1",
    "<<: {<<: {x: [1]}, y: 2}",
    "[" * 100_000,
    "- " * 5000,
    "a: " + "b" * (1 << 19),
    "ap_power: &a [*a]",
]


@pytest.mark.parametrize("text", TEXTS)
def test_texts_of_scenarios(text):
    for make in (Scenario.from_yaml, lambda text: Scenario().with_settings([f"ap_power={text}", text])):
        with pytest.raises(ScenarioError) as caught:
            make(text)
        for fault in caught.value.faults:
            assert fault.isprintable()
            assert len(fault) < 1000


def test_limits_are_named():
    with pytest.raises(ScenarioError, match="must have at most 262,144"):
        Scenario.from_yaml("#" * (1 << 19))
    with pytest.raises(ScenarioError, match="more than 16 lists and mappings within each other"):
        Scenario.from_yaml("[" * 20)


def test_names_that_cannot_be_encoded_are_escaped():
    assert refused("scenario", "--set", "\udcff=1") == [
        r"\udcff: unknown; no constant has a name like it",
    ]
    with pytest.raises(ScenarioError) as caught:
        Scenario(**{"\ud800": 1, "a\nb": 2})
    assert [fault.split(":")[0] for fault in caught.value.faults] == [r"\ud800", r"a\nb"]
    assert one_line("a\x1b[31mb\u2028c µ") == r"a\x1b[31mb\u2028c µ"


def test_pairs_of_escapes_are_one_character():
    with pytest.raises(ScenarioError, match=r"😀\.npz: cannot be read"):
        Scenario.from_yaml(json.dumps({"trace": "/😀.npz", "fading": "file"}))


@pytest.mark.parametrize(
    ("setting", "most"),
    [("num_antennas", counts.MOST_ANTENNAS), ("episode_length", counts.MOST_FRAMES)],
)
def test_counts_have_a_most(setting, most):
    assert getattr(Scenario(**{setting: most}), setting) == most
    for value in (most + 1, 2**63):
        with pytest.raises(ScenarioError, match=f"it must be >= 1 and <= {most}"):
            Scenario(**{setting: value})


def test_users_are_limited_in_number_and_place():
    with pytest.raises(ScenarioError, match="at most 256"):
        Scenario(user_positions=[(1, 1)] * 257)
    # L = 20 + 20 log10(d) dB is 0 at 0.1 m.
    for near in ([[0.1, 0]], [[1e-9, 0]], [[3, 3], [0, -0.05]]):
        with pytest.raises(ScenarioError, match=r"each more than 0.1 m and at most"):
            Scenario(user_positions=near)
    assert Scenario(user_positions=[[0.101, 0]]).num_users == 1


@pytest.mark.parametrize(
    "arguments",
    [
        ("simulate", "--frames"),
        ("evaluate", "mrt", "--frames"),
        ("evaluate", "mrt", "--rollout-frames"),
        ("evaluate-unseen", "price-net-varied", "--scenarios"),
        ("horizon", "--frames"),
        ("horizon", "--episodes"),
        ("reproduce", "--out", "x", "--frames"),
        ("reproduce", "--out", "x", "--seeds"),
        ("reproduce", "--out", "x", "--training-frames"),
        ("train", "ddpg", "--seeds"),
        ("train", "ddpg", "--frames"),
        ("train", "ddpg", "--processes"),
        ("train", "ddpg", "--save-every"),
        ("train-price-net", "--steps"),
    ],
)
def test_counts_on_the_command_line_have_a_most(arguments):
    result = run(*arguments, 10**20, status=2)
    assert re.search("range|less than or equal", " ".join(result.stderr.replace("│", "").split()))


# Arrays


def npy(header, data=b""):
    text = header.encode()
    return b"\x93NUMPY\x01\x00" + len(text).to_bytes(2, "little") + text + data


def frames_with(path, channels, **zip_options):
    with zipfile.ZipFile(path, "w", **zip_options) as archive:
        archive.writestr("channels.npy", channels)
        for name in ("workload", "battery"):
            with archive.open(f"{name}.npy", "w") as file:
                np.save(file, np.ones((4, 3)))
    return path


HEADER = "{{'descr': {}, 'fortran_order': False, 'shape': {}, }}\n"
HEADERS = [
    "(" * 63 + "\n",
    "[" * 5000,
    "-" * 9000 + "1",
    HEADER.format("'<c16'", (10**14, 3, 3)),
    HEADER.format("'<c16'", (-4, -3, 3)),
    HEADER.format("'<c16'", (True, 3, 3)),
    HEADER.format("'<c16'", (10**400, 3, 3)),
    HEADER.format("'<U0'", (10**14, 3, 3)),
    HEADER.format("'|O'", (4, 3, 3)),
    HEADER.format("[('a', '<c16')]", (4, 3, 3)),
    HEADER.format("'nonsense'", (4, 3, 3)),
    HEADER.format("'(1000000,1000000)f8'", (4, 3, 3)),
    "{'descr': '<c16'}",
    "{[]: 1}",
]


@pytest.mark.parametrize("header", HEADERS)
def test_headers(tmp_path, header):
    path = frames_with(tmp_path / "frames.npz", npy(header, bytes(576)))
    assert refused("solve", path, "--out", tmp_path / "out.npz") == [
        f"{path}: channels is not an .npy array, or is damaged"
    ]
    folder = tmp_path / "folder"
    folder.mkdir()
    for name in ("channels", "workload", "battery"):
        (folder / f"{name}.npy").write_bytes(npy(header, bytes(576)))
    with pytest.raises(InputError, match=r"channels.npy: not an \.npy array"):
        open_frames(folder)


def test_archives_that_lie(tmp_path):
    whole = frames_with(tmp_path / "whole.npz", npy(HEADER.format("'<c16'", (4, 3, 3)), bytes(576)))
    content = whole.read_bytes()
    entry = content.index(b"PK\x01\x02") + 10  # where the directory says how the first member is compressed
    for compression in (12, 14, 99):  # bzip2, LZMA, none that there is
        changed = bytearray(content)
        changed[entry] = compression
        (tmp_path / "changed.npz").write_bytes(changed)
        with pytest.raises(InputError, match=r"changed.npz: channels is not an \.npy array, or is damaged"):
            open_frames(tmp_path / "changed.npz")
    for end in range(0, len(content), 50):
        (tmp_path / "cut.npz").write_bytes(content[:end])
        with pytest.raises(InputError, match=r"cut.npz: "):
            open_frames(tmp_path / "cut.npz")
    with pytest.raises(InputError, match=r"tok.npz: channels is not an \.npy array"):
        open_frames(CASES / "tok.npz")


@pytest.mark.parametrize("name", ["tr_comp.npz", "tr_enc.npz", "tr_lie.npz"])
def test_traces(name):
    (line,) = refused("scenario", "--set", "fading=file", "--set", f"trace={CASES / name}")
    assert line == f"trace: {CASES / name}: channels is not an .npy array, or is damaged"


def test_any_byte_of_an_archive_may_be_another(tmp_path):
    good = tmp_path / "good.npz"
    np.savez_compressed(
        good, channels=np.ones((4, 3, 3)) * 1e-3j, workload=np.ones((4, 3)), battery=np.zeros((4, 3))
    )
    content, rng = bytearray(good.read_bytes()), np.random.default_rng(0)
    path = tmp_path / "changed.npz"
    accepted = 0
    for _ in range(400):
        changed = bytearray(content)
        for place in rng.integers(len(content), size=rng.integers(1, 4)):
            changed[place] = rng.integers(256)
        path.write_bytes(changed)
        with contextlib.suppress(InputError):
            open_frames(path).check(np.ones(3))
            accepted += 1
    assert 0 < accepted < 200  # a date may be another, what is summed up in a checksum may not


def test_too_many_users_in_a_file(tmp_path):
    path = tmp_path / "frames.npz"
    np.savez(path, channels=np.ones((1, 300, 1)) * 1j, workload=np.ones((1, 300)), battery=np.ones((1, 300)))
    with pytest.raises(InputError, match="300 users are not allowed; it must be at most 256"):
        open_frames(path)


def test_users_without_a_path_are_accepted_and_strong_channels_counted(tmp_path):
    channels = np.full((4, 3, 2), 1e-3 + 0j)
    channels[1, 2] = 0
    channels[2:, 0] = 1
    path = tmp_path / "frames.npz"
    np.savez(path, channels=channels, workload=np.ones((4, 3)), battery=np.zeros((4, 3)))
    checked = open_frames(path).check(np.ones(3))
    assert (checked.overfull, checked.strong) == (0, 2)
    trace = tmp_path / "trace.npz"
    np.savez(trace, channels=channels)
    result = run("scenario", "--set", "num_antennas=2", "--set", "fading=file", "--set", f"trace={trace}")
    expected = "warning: channels: ||h||^2 >= 1 in 2 frames: more would arrive than is sent"
    assert result.stderr.splitlines()[0] == expected


def test_weights_that_are_no_numbers_are_refused(tmp_path):
    path = tmp_path / "c.npz"
    state = {"net": np.array([1.0, np.nan]), "other": np.array([np.inf])}
    checkpoint.save(path, state, (0,), 1)
    with pytest.raises(InputError) as caught:
        checkpoint.load(path, state, (0,))
    assert caught.value.faults == tuple(f"{path}: {name}: has numbers that are not finite" for name in state)
    for changes in ({"_seeds": np.zeros((2, 2))}, {"_seeds": np.array(["a"])}, {"_frame": np.array(-1)}):
        np.savez(path, **({"_frame": np.array(1), "_seeds": np.array([0]), **state} | changes))
        with pytest.raises(InputError, match=r"c.npz: _(seeds|frame): is not allowed"):
            checkpoint.load(path, state, (0,))


# Folders of results


@pytest.mark.parametrize(
    "content", [b"[" * 100_000, b"{", b"\xff", b"[1]", b"", b'{"a": ' + b"9" * 5000 + b"}"]
)
def test_json(tmp_path, content):
    path = tmp_path / "run.json"
    path.write_bytes(content)
    with pytest.raises(InputError, match=r"run.json: is "):
        read_object(path)
    for arguments in (("report", tmp_path), ("evaluate", tmp_path)):
        (line,) = refused(*arguments)
        assert "run.json: is " in line


@pytest.mark.parametrize(
    ("columns", "fault"),
    [
        ({"seed": [0]}, "frame: is missing"),
        (
            {"seed": [0], "frame": [1], "reward": ["high"]},
            "reward: type string is not allowed; it must be double",
        ),
        ({"seed": [0], "frame": [1.5]}, "frame: type double is not allowed; it must be int64"),
        ({"seed": [0, None], "frame": [1, 2]}, "seed: has 1 empty cells"),
        ({"seed": [], "frame": []}, "seed: type null is not allowed"),
    ],
)
def test_metrics(tmp_path, columns, fault):
    path = tmp_path / "m.parquet"
    pyarrow.parquet.write_table(pyarrow.table(columns), path)
    with pytest.raises(InputError) as caught:
        read(path)
    assert caught.value.faults[0].startswith(f"{path}: {fault}")
    path.write_bytes(path.read_bytes()[:-20])
    with pytest.raises(InputError, match=r"m.parquet: metrics cannot be read: not Parquet"):
        read(path)


@pytest.mark.parametrize(
    ("content", "fault"),
    [
        (b"\xff", "is not UTF-8 text"),
        (b"a,b\n1,2\n", "line 1 must be figures,"),
        (",".join(COLUMNS).encode() + b'\n"unclosed\n', "line 2 is damaged"),
        (",".join(COLUMNS).encode() + b"\n1,2,3\n", "line 2 is damaged"),
        (",".join(COLUMNS).encode() + b'\n"' + b"x" * 200_000 + b"\n", "line 2 is damaged"),
    ],
)
def test_data(tmp_path, content, fault):
    (tmp_path / DATA).write_bytes(content)
    with pytest.raises(InputError, match=f"data.csv: {fault}"):
        Results.read(tmp_path)


def test_what_an_interruption_left_of_a_line_is_dropped(tmp_path):
    (tmp_path / DATA).write_text(",".join(COLUMNS) + "\n3a,dist")
    assert not Results.read(tmp_path).points


@pytest.mark.parametrize("data", [{}, {"settings": 3, "found": 1}, {"settings": {}}])
def test_studies(tmp_path, data):
    (tmp_path / "s.json").write_text(json.dumps(data))
    with pytest.raises(InputError, match=r"s.json: is damaged"):
        base.read(tmp_path / "s.json")


def test_texts_stay_texts_in_markdown():
    text = "<script>[x](y)|`*_\n# "
    shown = plain(text)
    for character in "<>[]()|`*_#":
        assert f"\\{character}" in shown
    assert "\n" not in shown
    assert code_block("a\n```\n<b>") == "````\na\n```\n<b>\n````"
