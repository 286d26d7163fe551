"""Bundles for devices: the AP and the users decide as in JAX, without JAX; users in C, too."""

import ctypes
import dataclasses
import importlib.util
import json
import shutil
import subprocess
import sys
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from scattermec import Scenario
from scattermec.errors import InputError
from scattermec.experiments.evaluate.exported import NEAR, decide_by_bundle, decide_by_jax, differences
from scattermec.experiments.measure.sweeps import draw_frames
from scattermec.online import access_point, bundle, export
from scattermec.online.bundle import Answer, Message, load_ap, load_user, user_folder
from scattermec.online.user import Constants
from scattermec.optimisation.repair import Measured, repair
from scattermec.optimisation.response import Broadcast, respond
from scattermec.physics import parameters_of
from scattermec.price_net import load
from scattermec.price_net.registry import Policy

USERS = Scenario(
    slot_duration=(1.0, 0.5, 2.0),
    mean_workload=15,
    local_energy=(0.005, 0.002, 0.01),
    local_rate=(50.0, 20.0, 0.0),
    circuit_power=(0.01, 0.0, 2.0),
    reflection_gain=(0.01, 0.02, 0.005),
    battery_capacity=(1.0, 0.15, 2.0),
)
"""Users that differ: one is slow, one has no processor and a wasteful radio."""

LIKE = USERS.replace(
    local_energy=(0.005, 0.002, 0.004), local_rate=(50.0, 20.0, 30.0), circuit_power=(0.01, 0.0, 0.05)
)
"""Users that differ less, so that no beam fills its slot to the last digit, which would then count."""

FRAMES = 20
"""As many as in other tests of `scattermec export`, which share the compiled program."""


@pytest.fixture(scope="module")
def policy() -> Policy:
    return load("price-net")


@pytest.fixture(scope="module")
def folder(policy: Policy, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("export") / "bundle"
    export.export(policy, USERS, path, name="price-net")
    return path


def cases(count: int) -> np.ndarray:
    """Messages, work, batteries and channel gains, (count, 6), in single precision; all kinds of extremes."""
    random = np.random.default_rng(0)
    columns = [
        random.uniform(-0.1, 1.1, count),
        random.uniform(-1, 60, count),
        random.exponential(0.1, count) - 0.01,
        random.poisson(40, count),
        random.uniform(0, 0.1, count),
        10 ** random.uniform(-5, -2, count),
    ]
    drawn = np.stack(columns, axis=1)
    drawn[random.random(drawn.shape) < 0.05] = 0
    return drawn.astype(np.float32)


def by_python(index: int, folder: Path, rows: np.ndarray) -> np.ndarray:
    """Answers by the bundle's own file, which is faster here: types are checked in the package's."""
    path = user_folder(folder, index) / "user.py"
    spec = importlib.util.spec_from_file_location("user_of_the_bundle", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    user = module.load(path.with_name("user.json"))
    return np.array([user.respond(Message(*row[:3]), *row[3:]) for row in rows.astype(float).tolist()])


# The AP


@pytest.mark.parametrize("seed", range(3))
def test_ap_decides_as_in_jax(policy: Policy, tmp_path: Path, seed: int) -> None:
    export.export(policy, LIKE, tmp_path / "bundle", name="price-net")
    parameters = parameters_of(LIKE)
    frames = draw_frames(parameters, frames=FRAMES, seed=seed)
    expected = decide_by_jax(policy.network, parameters, frames)
    found = decide_by_bundle(tmp_path / "bundle", frames)
    for per_frame in differences(found, expected).values():
        assert per_frame.max() < NEAR
    np.testing.assert_allclose(found.answers, expected.answers, rtol=1e-3, atol=1e-3)
    shares = expected.messages[:, 0] / np.array(LIKE.slot_duration)
    assert shares.max() < 1 - 1e-13
    assert np.ptp(shares, axis=0).max() > 0.5


def test_cautious_ap_and_users_that_repair_decide_as_in_jax(tmp_path: Path) -> None:
    robust = load("price-net-robust")
    scenario = LIKE.replace(csi_error=0.1, workload_error=0.05)
    export.export(robust, scenario, tmp_path / "bundle", name="price-net-robust")
    parameters = parameters_of(scenario)
    frames = draw_frames(parameters, frames=FRAMES, seed=0)
    expected = decide_by_jax(robust.network, parameters, frames)
    found = decide_by_bundle(tmp_path / "bundle", frames)
    for per_frame in differences(found, expected).values():
        assert per_frame.max() < NEAR
    np.testing.assert_allclose(found.answers, expected.answers, rtol=1e-3, atol=1e-3)
    # The promise is discounted, and nothing is promised to the last user.
    assert (expected.messages[:, 2, :2] > 0).any()
    assert (found.messages[:, 2, 2] == 0).all()


def test_ap_knows_which_users_will_lack_energy(folder: Path) -> None:
    random, seen = np.random.default_rng(1), set()
    users = [load_user(user_folder(folder, index)) for index in range(3)]
    constants = Constants(*np.array([user.constants for user in users]).T)
    for _ in range(30):
        channels = 10 ** random.uniform(-3, -1, (3, 1)) * (random.normal(size=(3, 3)) + 1j)
        frame = access_point.Frame(random.poisson(15, 3).astype(float), random.uniform(0, 0.1, 3), channels)
        told = access_point.Messages(
            random.uniform(0, 0.5, 3), random.uniform(0, 60, 3), random.exponential(0.05, 3)
        )
        links = access_point.links_of(constants, frame.gain)
        lacking = access_point.energies_lacking(constants, links, frame, told)
        own = np.stack([frame.workload, frame.battery, frame.gain], axis=1).tolist()
        short = [user.respond(told.to_user(i), *own[i]).shortfall > 0 for i, user in enumerate(users)]
        np.testing.assert_array_equal(lacking > 1e-9, short)
        seen.update(short)
    assert seen == {False, True}


def test_ap_decides_where_no_jax_can_be_imported(folder: Path) -> None:
    program = f"""
import sys
sys.modules["jax"] = sys.modules["jaxlib"] = None
import numpy as np
from scattermec.online.bundle import load_ap
beams, messages = load_ap({str(folder)!r}).decide([40] * 3, [0.1] * 3, np.full((3, 3), 0.01 + 0.02j))
print(np.linalg.norm(beams, axis=1).tolist())
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    np.testing.assert_allclose(json.loads(done.stdout), 1)


@pytest.mark.parametrize(
    ("name", "value", "fault"),
    [
        ("workload", [1.0] * 4, r"workload: has shape \(4,\); it must be \(3,\)"),
        ("workload", [1.0, 1.0, np.nan], "workload: has numbers that are not finite"),
        ("battery", [1.0, 1.0, -1.0], "battery: has negative numbers"),
        ("channels", np.full((3, 3), np.inf), "channels: has numbers that are not finite"),
        ("channels", np.ones((3, 2)), r"channels: has shape \(3, 2\); it must be \(3, 3\)"),
    ],
)
def test_ap_refuses_what_is_no_frame(folder: Path, name: str, value: object, fault: str) -> None:
    frame = {"workload": [1.0] * 3, "battery": [0.1] * 3, "channels": np.ones((3, 3))}
    with pytest.raises(InputError, match=fault):
        load_ap(folder).decide(**frame | {name: value})


def test_weights_in_8_bits_decide_much_the_same(policy: Policy, tmp_path: Path) -> None:
    decided = {}
    frame = [40.0, 30.0, 50.0], [0.05, 0.0, 0.1], np.array([[1, 2, 1j], [3, 1j, 2], [1, 1, -1j]]) * 1e-2
    for int8 in (False, True):
        export.export(policy, policy.scenario, tmp_path / "bundle", name="price-net", int8=int8)
        decided[int8] = load_ap(tmp_path / "bundle").decide(*frame)
        size = (tmp_path / "bundle" / "prices.onnx").stat().st_size
        assert (size < 70_000) == int8
    overlap = np.abs(np.sum(decided[True][0].conj() * decided[False][0], axis=1))
    assert (overlap > 0.98).all()
    assert (overlap < 1 - 1e-9).any()
    np.testing.assert_allclose(decided[True][1].t_passive, decided[False][1].t_passive, atol=0.05)


# The users


@pytest.mark.parametrize("index", range(3))
def test_user_answers_as_in_jax(folder: Path, index: int) -> None:
    rows = cases(500)
    t_passive, passive_rate, harvest, workload, battery, gain = map(jnp.asarray, rows.T.astype(float))
    told = Broadcast(t_passive=t_passive, passive_rate=passive_rate, harvest=harvest)
    own = dataclasses.replace(
        parameters_of(USERS), **{name: repeated(name, index, len(rows)) for name in bundle.PER_USER}
    )
    answer = jax.jit(respond)(own, gain, workload, battery, told)
    expected = [getattr(answer.allocation, name) for name in Answer._fields[:-1]] + [answer.shortfall]
    found = by_python(index, folder, rows)
    np.testing.assert_allclose(found, np.stack(expected, axis=1), rtol=1e-7, atol=1e-7)
    assert 0.05 < np.mean(found[:, -1] == 0) < 0.95  # some finish, some do not


@pytest.mark.parametrize("index", range(3))
def test_user_repairs_as_in_jax_and_in_c(folder: Path, tmp_path: Path, index: int) -> None:
    rows = np.abs(cases(300))
    promises = np.random.default_rng(index).exponential(0.02, len(rows)).astype(np.float32)
    promises[::3] = 0
    t_passive, passive_rate, harvest, workload, battery, gain = map(jnp.asarray, rows.T.astype(float))
    own = dataclasses.replace(
        parameters_of(USERS), **{name: repeated(name, index, len(rows)) for name in bundle.PER_USER}
    )
    known = Measured(
        t_passive=jnp.minimum(t_passive, own.slot_duration), passive_rate=passive_rate, harvest=harvest
    )
    answer = jax.jit(repair)(own, gain, workload, battery, known, jnp.asarray(promises, float))
    expected = np.stack(
        [getattr(answer.allocation, name) for name in Answer._fields[:-1]] + [answer.shortfall], axis=1
    )
    user = load_user(user_folder(folder, index))
    found = np.array(
        [
            user.repair(Message(*row[:3]), promise, *row[3:])
            for row, promise in zip(rows.astype(float).tolist(), promises.astype(float).tolist(), strict=True)
        ]
    )
    np.testing.assert_allclose(found, expected, rtol=1e-7, atol=1e-7)
    assert np.mean(found[:, -1] == 0) > 0.1  # but where no battery could hold what is needed
    if shutil.which("gcc") is None:
        pytest.skip("gcc is not installed")
    repair_in_c = in_c(user_folder(folder, index) / "user.c", tmp_path / "user.so").scattermec_repair
    answers = []
    for row, promise in zip(rows.tolist(), promises.tolist(), strict=True):
        seven = (ctypes.c_float * 7)(*[9.0] * 7)
        numbers = (ctypes.c_float * 3)(*row[:3])
        assert repair_in_c(numbers, *map(ctypes.c_float, (promise, *row[3:])), seven) == 0
        answers.append(list(seven))
    by_c = np.array(answers)
    # Where a user needs all it can get, work may be sent or computed: its energy is the same to first order.
    np.testing.assert_allclose(by_c, found, rtol=1e-2, atol=3e-2)
    assert np.mean(np.abs(by_c - found) > 3e-4 * np.maximum(found, 1)) < 0.1
    np.testing.assert_allclose(by_c[:, 3:6].sum(axis=1), found[:, 3:6].sum(axis=1), rtol=1e-5, atol=1e-5)
    energy_in_c, energy = (demand(user.constants, gain, numbers) for numbers in (by_c, found))
    np.testing.assert_allclose(energy_in_c, energy, rtol=1e-4, atol=1e-6)
    bad = [ctypes.c_float(number) for number in (np.nan, *rows[0, 3:])]
    assert repair_in_c((ctypes.c_float * 3)(*rows[0, :3]), *bad, seven) == -1
    assert list(seven) == [0] * 7


def demand(c: Constants, gain: jax.Array, answers: np.ndarray) -> np.ndarray:
    """Energy of answers in mJ, from (4) and (9)."""
    time, work = answers[:, 0], answers[:, 3]
    exponent = np.where(time > 0, work / (c.bandwidth * np.where(time > 0, time, 1)), 0)
    power = (2**exponent - 1) * 1000 * c.noise_power / np.maximum(np.asarray(gain), 1e-300)
    return np.asarray(time * (power + c.circuit_power) + c.local_energy * answers[:, 5])


def in_c(source: Path, library: Path) -> ctypes.CDLL:
    """The user's part in C, compiled without warnings."""
    warnings = ["-std=c99", "-Wall", "-Wextra", "-pedantic", "-Werror", "-Wconversion", "-Wdouble-promotion"]
    subprocess.run(["gcc", *warnings, "-O2", "-shared", "-fPIC", "-o", library, source, "-lm"], check=True)
    return ctypes.CDLL(str(library))


def repeated(name: str, index: int, count: int) -> jax.Array:
    return jnp.full(count, getattr(parameters_of(USERS), name)[index])


def test_user_answers_in_python_alone(folder: Path, tmp_path: Path) -> None:
    device = shutil.copytree(user_folder(folder, 0), tmp_path / "device")
    lines = [
        json.dumps(dict(zip((*Message._fields, "workload", "battery", "channel_gain"), row, strict=True)))
        for row in cases(5).astype(float).tolist()
    ]
    # Isolated, and without site-packages: neither JAX nor NumPy nor this package can be imported.
    command = [sys.executable, "-I", "-S", "user.py", "user.json"]
    done = subprocess.run(
        command, cwd=device, input="\n".join(lines), capture_output=True, text=True, check=True
    )
    found = [list(json.loads(line).values()) for line in done.stdout.splitlines()]
    np.testing.assert_array_equal(found, by_python(0, folder, cases(5)))
    program = (
        "import importlib.util as u; print([n for n in ('jax', 'numpy', 'scattermec') if u.find_spec(n)])"
    )
    found = subprocess.run([*command[:3], "-c", program], cwd=device, capture_output=True, text=True)
    assert found.stdout == "[]\n"


@pytest.mark.parametrize("index", range(3))
def test_user_answers_in_c(folder: Path, tmp_path: Path, index: int) -> None:
    if shutil.which("gcc") is None:
        pytest.skip("gcc is not installed")
    answer_in_c = in_c(user_folder(folder, index) / "user.c", tmp_path / "user.so").scattermec_respond
    numbers, seven = ctypes.c_float * 3, ctypes.c_float * 7

    def by_c(row: list[float]) -> tuple[int, list[float]]:
        answer = seven(*[9.0] * 7)
        status = answer_in_c(numbers(*row[:3]), *map(ctypes.c_float, row[3:]), answer)
        return status, list(answer)

    rows = cases(1000)
    answers = [by_c(row) for row in rows.astype(float).tolist()]
    assert all(status == 0 for status, _ in answers)
    found, expected = np.array([answer for _, answer in answers]), by_python(index, folder, rows)
    # What single precision allows: the answer to numbers that differ by its rounding.
    np.testing.assert_allclose(found, expected, rtol=3e-5, atol=3e-4)
    for position in range(6):
        for bad in (np.nan, np.inf, *([-1.0] if position > 2 else [])):
            row = rows[0].astype(float).tolist()
            row[position] = bad
            assert by_c(row) == (-1, [0] * 7)


def test_user_refuses_what_is_no_number(folder: Path) -> None:
    user = load_user(user_folder(folder, 0))
    message = Message(0.1, 10.0, 0.1)
    with pytest.raises(ValueError, match="harvest: nan is not allowed; it must be finite"):
        user.respond(message._replace(harvest=np.nan), 1.0, 1.0, 1.0)
    with pytest.raises(ValueError, match=r"battery: -1.0 is not allowed; it must be >= 0"):
        user.respond(message, 1.0, -1.0, 1.0)


# Files


def changed(path: Path, text: str) -> None:
    path.write_text(text)


@pytest.mark.parametrize(
    ("damage", "fault"),
    [
        (lambda path: (path / "prices.onnx").unlink(), "prices.onnx: cannot be read: No such file"),
        (lambda path: changed(path / "times.onnx", "x"), "times.onnx: differs from its checksum"),
        (lambda path: changed(path / "bundle.json", "x"), "bundle.json: is damaged"),
        (lambda path: changed(path / "bundle.json", '{"format": 9}'), "format 9 is not known; it must be 2"),
        (lambda path: shutil.copytree(path / "users" / "0", path, dirs_exist_ok=True), "'user'; it must be"),
    ],
)
def test_damaged_bundle_is_refused(folder: Path, tmp_path: Path, damage, fault: str) -> None:
    path = shutil.copytree(folder, tmp_path / "bundle")
    load_ap(path)
    damage(path)
    with pytest.raises(InputError, match=fault):
        load_ap(path)


@pytest.mark.parametrize(
    ("name", "text", "fault"),
    [
        ("user.json", "{}", "user.json: it must hold exactly slot_duration, "),
        ("user.json", None, "margin: None is not allowed; it must be a finite number"),
        ("prices.onnx", "no network", "prices.onnx: is no network that onnxruntime can run"),
    ],
)
def test_foreign_file_with_a_right_checksum_is_refused(
    folder: Path, tmp_path: Path, name: str, text: str | None, fault: str
) -> None:
    path = shutil.copytree(folder if name == "prices.onnx" else user_folder(folder, 1), tmp_path / "bundle")
    if text is None:
        text = json.dumps(json.loads((path / name).read_text()) | {"margin": None})
    changed(path / name, text)
    manifest = json.loads((path / "bundle.json").read_text())
    manifest["files"][name] = bundle.checksum(text.encode())
    changed(path / "bundle.json", json.dumps(manifest))
    with pytest.raises(InputError, match=fault):
        (load_ap if name == "prices.onnx" else load_user)(path)


def test_new_bundle_replaces_the_old_one(policy: Policy, folder: Path, tmp_path: Path) -> None:
    path = shutil.copytree(folder, tmp_path / "bundle")
    shutil.copytree(user_folder(path, 2), user_folder(path, 3))
    export.export(policy, Scenario(), path, name="price-net")
    assert sorted(entry.name for entry in (path / "users").iterdir()) == ["0", "1", "2"]
    assert load_ap(path).scenario == Scenario()


def test_policy_that_cannot_be_decentralised_is_refused(policy: Policy, tmp_path: Path) -> None:
    far_sighted = load("price-net-foresight")
    with pytest.raises(InputError, match="foresight"):
        export.export(far_sighted, far_sighted.scenario, tmp_path / "bundle", name="price-net-foresight")
    with pytest.raises(InputError, match="harvest_model: 'sigmoidal' is not allowed"):
        export.check_exportable(policy, Scenario(harvest_model="sigmoidal"))
    assert not (tmp_path / "bundle").exists()
