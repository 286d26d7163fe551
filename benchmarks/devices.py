"""price-net as exported for devices: agreement with JAX and time, also on an emulated Cortex-M4."""

import ctypes
import re
import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import jax
import numpy as np

from benchmarks.results import Section
from benchmarks.sheets import Sheet
from scattermec.experiments.evaluate.exported import compare_exported, decide_by_jax
from scattermec.experiments.measure.sweeps import draw_frames
from scattermec.online.bundle import Message, load_ap, load_user, user_folder
from scattermec.online.export import export
from scattermec.online.protocol import PARTS
from scattermec.optimisation.response import Broadcast, respond
from scattermec.physics import links, parameters_of
from scattermec.price_net import load

POLICY = "price-net"

WARNINGS = ("-Wall", "-Wextra", "-pedantic", "-Werror")
CORTEX_M4 = (
    "-mcpu=cortex-m4",
    "-mthumb",
    "-mfpu=fpv4-sp-d16",
    "-mfloat-abi=hard",
    "-Os",
    "-ffunction-sections",
)
BARE = (
    "-nostartfiles",
    "-Wl,--gc-sections",
    "--specs=nano.specs",
    "--specs=nosys.specs",
    "-T",
    "cortex_m4.ld",
)
EMULATOR = (
    *("qemu-system-arm", "-M", "mps2-an386", "-display", "none", "-monitor", "none", "-serial", "none"),
    *("-icount", "shift=0", "-semihosting-config", "enable=on,target=native", "-kernel"),
)
INSTRUCTIONS_PER_TICK = 40
"""One instruction per ns, and a clock of 25 MHz."""

LOOP = 2_000_000
"""Instructions of the loop in cortex_m4.c."""

Tell = Callable[[str], None]


def compare_devices(section: Section, *, frames: int, tell: Tell) -> None:
    """Measure the AP's part and a user's part on ``frames`` frames."""
    policy = load(POLICY)
    with tempfile.TemporaryDirectory() as folder:
        sheet = _ap_sheet(frames)
        section.tables.append(sheet)
        for name, int8 in (("float32", False), ("int8", True)):
            tell(f"{POLICY} exported in {name}: {frames} frames")
            bundle = Path(folder) / name
            export(policy, policy.scenario, bundle, name=POLICY, int8=int8)
            found = compare_exported(policy, bundle, frames=frames, seed=0)
            if not sheet.rows:
                sheet.rows.append({"weights": "JAX", **_achieved(found.policy)})
            row = {"weights": name, **found.differences, **_achieved(found.bundle), **_time_ap(bundle)}
            sheet.rows.append(row | {"bytes": (bundle / "prices.onnx").stat().st_size})
            section.save()
        section.tables.append(sheet := _user_sheet(frames))
        cases, expected = _cases(frames)
        for place, answer in (("Python", _in_python), ("C, x86", _in_c), ("C, Cortex-M4", _on_cortex_m4)):
            tell(f"User in {place}")
            missing = [tool for tool in TOOLS[place] if shutil.which(tool) is None]
            if missing:
                sheet.remarks.append(f"{place}: not measured, since there is no {', '.join(missing)}")
                continue
            answers, facts = answer(user_folder(Path(folder) / "float32", 0), cases)
            apart = np.abs(answers - expected).max(axis=0)
            sheet.rows.append(
                {"where": place, "seconds": float(apart[:3].max()), "work": float(apart[3:].max()), **facts}
            )
            section.save()


def _ap_sheet(frames: int) -> Sheet:
    return Sheet(
        f"AP, {frames:,} frames",
        {
            "weights": ("", ""),
            "bytes": ("bytes per network", ",d"),
            "beams": ("difference: beams", ".1e"),
            "t_passive": ("times, s", ".1e"),
            "passive_rate": ("rates, kbit/s", ".1e"),
            "harvest": ("harvest, mJ", ".1e"),
            "share": ("share", ".2%"),
            "outage": ("outage", ".2%"),
            "median": ("ms per frame, median", ".2f"),
            "p99": ("99th percentile", ".2f"),
        },
    )


def _user_sheet(frames: int) -> Sheet:
    return Sheet(
        f"User, {frames:,} messages",
        {
            "where": ("", ""),
            "seconds": ("difference: times, s", ".1e"),
            "work": ("work, kbit", ".1e"),
            "median": ("µs per answer, median", ".1f"),
            "code": ("bytes of code", ",d"),
            "linked": ("with mathematics", ",d"),
            "instructions": ("instructions per answer", ",.0f"),
            "most": ("at most", ",.0f"),
        },
    )


TOOLS = {"Python": (), "C, x86": ("gcc",), "C, Cortex-M4": ("arm-none-eabi-gcc", EMULATOR[0])}
"""Programs that a row needs."""


def _achieved(results: object) -> dict[str, float]:
    return {name: getattr(results, name).mean for name in ("share", "outage")}


def _time_ap(bundle: Path, frames: int = 300) -> dict[str, float]:
    """Milliseconds per decision."""
    access_point = load_ap(bundle)
    drawn = draw_frames(parameters_of(access_point.scenario), frames=frames, seed=1)
    parts = [np.asarray(part) for part in (drawn.workload, drawn.battery, drawn.channels)]
    return _percentiles(lambda k: access_point.decide(*(part[k] for part in parts)), frames, 1e3)


def _percentiles(run: Callable[[int], object], count: int, scale: float) -> dict[str, float]:
    taken = []
    for k in range(count):
        begun = time.perf_counter()
        run(k)
        taken.append((time.perf_counter() - begun) * scale)
    return {"median": float(np.median(taken)), "p99": float(np.quantile(taken, 0.99))}


def _cases(frames: int) -> tuple[np.ndarray, np.ndarray]:
    """Messages to user 0 with its own data, (K, 6), in single precision; and its answers in JAX, (K, 6)."""
    policy = load(POLICY)
    parameters = parameters_of(policy.scenario)
    drawn = draw_frames(parameters, frames=frames, seed=0)
    gain = jax.vmap(links.channel_gain)(drawn.channels)
    own = np.stack([drawn.workload[:, 0], drawn.battery[:, 0], gain[:, 0]], axis=1)
    messages = decide_by_jax(policy.network, parameters, drawn).messages[:, :, 0]
    cases = np.concatenate([messages, own], axis=1).astype(np.float32)
    alone = parameters_of(policy.scenario.replace(user_positions=policy.scenario.user_positions[:1]))

    def answer(case: jax.Array) -> list[jax.Array]:
        t_passive, passive_rate, harvest, workload, battery, gain = case[:, None]
        told = Broadcast(t_passive=t_passive, passive_rate=passive_rate, harvest=harvest)
        allocation = respond(alone, gain, workload, battery, told).allocation
        return [getattr(allocation, name)[0] for name in PARTS]

    return cases, np.stack(jax.jit(jax.vmap(answer))(cases.astype(float)), axis=1)


def _in_python(folder: Path, cases: np.ndarray) -> tuple[np.ndarray, dict[str, float]]:
    user, rows = load_user(folder), cases.astype(float).tolist()
    answers: list[Sequence[float]] = []

    def answer(k: int) -> None:
        answers.append(user.respond(Message(*rows[k][:3]), *rows[k][3:])[:6])

    timing = _percentiles(answer, len(rows), 1e6)
    return np.array(answers), timing


def _in_c(folder: Path, cases: np.ndarray) -> tuple[np.ndarray, dict[str, float]]:
    library = folder / "user.so"
    _run("gcc", "-std=c99", *WARNINGS, "-O2", "-shared", "-fPIC", "-o", library, folder / "user.c", "-lm")
    respond = ctypes.CDLL(str(library)).scattermec_respond
    respond.argtypes = [ctypes.c_void_p, ctypes.c_float, ctypes.c_float, ctypes.c_float, ctypes.c_void_p]
    answers, rows = np.zeros((len(cases), 7), np.float32), cases[:, 3:].astype(float).tolist()

    def answer(k: int) -> None:
        respond(cases[k].ctypes.data, *rows[k], answers[k].ctypes.data)

    timing = _percentiles(answer, len(cases), 1e6)
    return answers[:, :6], timing


def _on_cortex_m4(folder: Path, cases: np.ndarray) -> tuple[np.ndarray, dict[str, float]]:
    here = Path(__file__).parent
    for name in ("cortex_m4.c", "cortex_m4.ld"):
        shutil.copy(here / name, folder)
    compiler = "arm-none-eabi-gcc", *CORTEX_M4
    _run(*compiler, "-std=c99", *WARNINGS, "-c", "user.c", "-o", "user.o", within=folder)
    _run(*compiler, *BARE, "cortex_m4.c", "user.o", "-lm", "-o", "user.elf", within=folder)
    _run(*compiler, *BARE, "-DWITHOUT_USER", "cortex_m4.c", "-o", "empty.elf", within=folder)
    cases.tofile(folder / "cases.bin")
    _run(*EMULATOR, "user.elf", within=folder)
    loop, *ticks = np.fromfile(folder / "ticks.bin", np.uint32).astype(float) * INSTRUCTIONS_PER_TICK
    if abs(loop - LOOP) > 2 * INSTRUCTIONS_PER_TICK:
        raise RuntimeError(f"a loop of {LOOP} instructions was counted as {loop:.0f}")
    size = {name: _code_size(folder / name) for name in ("user.o", "user.elf", "empty.elf")}
    answers = np.fromfile(folder / "answers.bin", np.float32).reshape(-1, 7)
    return answers[:, :6], {
        "code": size["user.o"],
        "linked": size["user.elf"] - size["empty.elf"],
        "instructions": float(np.mean(ticks)),
        "most": float(np.max(ticks)),
    }


def _code_size(path: Path) -> int:
    """Bytes of code and constants."""
    found = re.search(r"^\s*(\d+)\s", _run("arm-none-eabi-size", path), re.MULTILINE)
    assert found is not None
    return int(found[1])


def _run(*command: str | Path, within: Path | None = None) -> str:
    """What a command prints; raises RuntimeError with its errors if it fails."""
    done = subprocess.run(command, cwd=within, capture_output=True, text=True, timeout=600)
    if done.returncode != 0:
        raise RuntimeError(f"{' '.join(map(str, command))}: {done.stderr}")
    return done.stdout
