"""Files: valid ones of every kind are mutated and given to their readers."""

import io
import json
import os
import random
import re
import resource
import shutil
import signal
import struct
import time
import traceback
import zipfile
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pyarrow
import pyarrow.parquet
from typer.testing import CliRunner

from scattermec.agents.settings import TrainingConfig
from scattermec.cli.app import app
from scattermec.errors import InputError
from scattermec.experiments.report import contents
from scattermec.scenario import Scenario
from scattermec.training import Plan, load_run, train
from scattermec.training import metrics as training_metrics
from scattermec.training.plan import read_run
from torture.processes import REPRODUCE, SMALL_NETWORKS
from torture.results import Outcome, Row

FILES = 10_000

LIMIT = 5.0
"""s per file"""
SOLVE_LIMIT = 60.0
"""s, if a file may need a compilation for another shape"""
MEMORY = 1 << 30
"""Bytes by which reading one file may raise the peak of memory use."""

RUN, REPRODUCTION = ("run", "checkpoint", "metrics"), ("reproduction",)
"""Prefixes of the names of the files of a run, and of a reproduction."""

MARKER = "torture-unpickled"
"""A file with this name appears if anything is unpickled or executed."""


@dataclass
class Options:
    """How much to try, and where to save bad files."""

    seed: int = 0
    files: int = FILES
    seconds: float = 240.0
    work: Path = Path("torture-work")
    """folder of the files being tried"""
    out: Path | None = None
    kinds: tuple[str, ...] = ()
    """kinds of files; all if empty"""
    tell: Callable[[str], None] = lambda text: None


class TooLong(BaseException):
    """The time for a file is over; not an Exception, so that no reader takes it for a fault of the file."""


class Bad(Exception):  # noqa: N818 - not an error of ours
    """A reader did something that it must not do."""


# ---- Mutations. Each takes a random generator and returns the bytes or text of a file. ----

NASTY_TEXT = (
    "!!bool x",
    "!!timestamp 1",
    "!!int x",
    "!!float x",
    "!!binary '*'",
    "!!set {a, b}",
    "!!omap [1]",
    "!!python/object/apply:os.system ['touch {marker}']",
    "!!python/name:os.system",
    "9" * 400,
    "-" + "9" * 5000,
    "1e400",
    "-1e400",
    "1e-400",
    ".nan",
    ".inf",
    "-.inf",
    "9223372036854775808",
    "18446744073709551617",
    "-0",
    "-0.0",
    "0x1F",
    "1:30",
    "1_000",
    "null",
    "~",
    "true",
    "[]",
    "{}",
    "[[]]",
    "[1, [2, [3]]]",
    "[" * 2000 + "]" * 2000,
    "{a: " * 2000 + "}" * 2000,
    "&a [*a]",
    "*nowhere",
    "<<: {a: 1}",
    "? [a, b]\n: 1",
    '"\\ud800"',
    '"\\0"',
    '"a\\nb"',
    '"\\x1b[31mred"',
    "'" + "x" * 100_000 + "'",
    "|\n  text\n  text",
    ">-\n  text",
    "2024-01-01",
    "%TAG ! tag:x,2000:",
    "---\na: 1\n---\nb: 2",
    "\t1",
    "\u202e1",
    "\ufeff1",
    "[1, 2, 3, 4, 5]",
    "[-1, 1e308]",
    "@x",
    "`x`",
)
NASTY_KEYS = (
    '"a\\nb"',
    '"\\ud800"',
    '"\\u0007"',
    "? {a: 1}",
    "~",
    "1",
    "''",
    "__class__",
    "model_config",
    "!!python/tuple [1]",
    "x" * 5000,
    "<<",
)
LAUGHS = "\n".join(
    ["a0: &a0 [x, x, x, x, x, x, x, x, x]"]
    + [f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 9)}]" for i in range(1, 12)]
)
NASTY_BYTES = (b"\xff", b"\x00", b"\xed\xa0\x80", b"\r", b"\x85", b"\xef\xbb\xbf", b"\x1b[2J", b'"', b"'")


def mutate_bytes(chance: random.Random, data: bytes) -> bytes:
    """Change bits and bytes; cut, duplicate, move or insert pieces."""
    changed = bytearray(data)
    for _ in range(chance.choice((1, 1, 1, 2, 5, 20))):
        at = chance.randrange(len(changed) + 1)
        end = min(len(changed), at + int(chance.expovariate(1 / 20)) + 1)
        match chance.randrange(7):
            case 0 if at < len(changed):
                changed[at] ^= 1 << chance.randrange(8)
            case 1 if at < len(changed):
                changed[at] = chance.randrange(256)
            case 2:
                del changed[at:end]
            case 3:
                changed[at:at] = changed[at:end] * chance.choice((1, 2, 50))
            case 4:
                changed[at:at] = chance.choice(NASTY_BYTES)
            case 5:
                del changed[at:]
            case _:
                changed[at:end] = chance.randbytes(end - at)
    return bytes(changed)


def mutate_yaml(chance: random.Random, text: str, marker: str) -> bytes:
    """Change a line's value, name, tag or place; or replace everything with something small and malicious."""
    lines = [line for line in text.splitlines() if line.strip() and not line.startswith("#")]
    nasty = chance.choice(NASTY_TEXT).replace("{marker}", marker)
    at = chance.randrange(len(lines))
    name, _, value = lines[at].partition(":")
    match chance.randrange(12):
        case 0 | 1 | 2 | 3:
            lines[at] = f"{name}: {nasty}"
        case 4:
            lines[at] = f"{name}: !!{chance.choice(('str', 'int', 'bool', 'seq', 'map', 'null', 'x'))}{value}"
        case 5:
            lines.insert(at, f"{chance.choice(NASTY_KEYS)}: {nasty}")
        case 6:
            lines.insert(at, lines[chance.randrange(len(lines))])
        case 7:
            lines[at] = " " * chance.randrange(5) + lines[at]
        case 8:
            lines = [nasty]
        case 9:
            lines = [LAUGHS, *lines] if chance.random() < 0.2 else [*lines, f"{name}: [{nasty}, {nasty}]"]
        case 10:
            lines[at] = f"{name}: {_number(chance)}"
        case _:
            return mutate_bytes(chance, text.encode())
    return "\n".join(lines).encode("utf-8", "surrogatepass")


def _number(chance: random.Random) -> str:
    return repr(chance.choice((-1, 1)) * 10 ** chance.uniform(-330, 308.2))


def mutate_setting(chance: random.Random, text: str, marker: str) -> str:
    """A mutated NAME=VALUE for --set."""
    lines = [line.split(":")[0] for line in text.splitlines() if ":" in line and not line.startswith("#")]
    name = chance.choice((chance.choice(lines), chance.choice(NASTY_KEYS), "", "rectifier.turn_on"))
    value = chance.choice((*NASTY_TEXT, _number(chance))).replace("{marker}", marker)
    made = f"{name}{chance.choice(('=', '=', '=', '', '==', ':'))}{value}"
    # A null character cannot be part of an argument.
    return made.replace("\0", "")


class _Pickled:
    def __init__(self, marker: str) -> None:
        self.marker = marker

    def __reduce__(self) -> tuple[Any, ...]:
        return os.system, (f"touch {self.marker}",)


def mutate_npz(chance: random.Random, data: bytes, marker: str) -> bytes:
    """Mutate bytes anywhere, a member's header or numbers, or the archive's own records."""
    if chance.random() < 0.35:
        return mutate_bytes(chance, data)
    members = read_zip(data)
    name = chance.choice(list(members))
    compression = zipfile.ZIP_STORED
    match chance.randrange(12):
        case 0 | 1 | 2:
            members[name] = _with_header(members[name], _nasty_header(chance))
        case 3 | 4:
            members[name] = _npy(_nasty_array(chance, np.load(io.BytesIO(members[name]))))
        case 5:
            file = io.BytesIO()
            np.save(file, np.array([_Pickled(marker)], object), allow_pickle=True)
            members[name] = file.getvalue()
        case 6:
            del members[name]
        case 7:
            members[name.replace(".npy", chance.choice((".txt", "", ".npy.npy")))] = members.pop(name)
        case 8:
            members[name] = mutate_bytes(chance, members[name])
        case 9:
            compression = chance.choice((zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA))
            members[name] = _npy(np.zeros((1, 1, 1)))
        case 10:
            members[chance.choice(("../x.npy", "/x.npy", "a/b.npy", "x" * 300 + ".npy", "\n.npy"))] = b"x"
        case _:
            return _zip_flags(chance, data)
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", compression) as archive:
        for member, content in members.items():
            archive.writestr(member, content)
    made = file.getvalue()
    return mutate_bytes(chance, made) if chance.random() < 0.1 else made


def read_zip(data: bytes) -> dict[str, bytes]:
    """Members of an archive by name."""
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def _npy(array: np.ndarray) -> bytes:
    file = io.BytesIO()
    np.save(file, array, allow_pickle=False)
    return file.getvalue()


def _nasty_header(chance: random.Random) -> bytes:
    shape = chance.choice(
        (
            "(100000000000000,)",
            "(2, 3, 10000000000000)",
            "(-1,)",
            "(2, -3, 3)",
            "(0,)",
            "()",
            "(9999999999999999999999,)",
            "(2.5,)",
            "[2, 3, 3]",
            "(2, 3, 3)",
            "(True, 3)",
            "(" * 63 + ")" * 63,
            "(" * 500 + ")" * 500,
            "(1,) * 3",
            "None",
        )
    )
    kinds = (
        "'<f8' '<c16' '|O' '<U5' '<f2' '>c16' '<M8[s]' '|V8' '<q' 'nonsense' [('a','<f8')] '<f8,<f8' 5 '|S3'"
    )
    description = chance.choice(kinds.split())
    fortran = chance.choice(("False", "True", "2", "None"))
    text = f"{{'descr': {description}, 'fortran_order': {fortran}, 'shape': {shape}, }}"
    if chance.random() < 0.15:
        text = chance.choice(
            ("", "{", "[" * 5000, "{'descr': 1}", "__import__('os')", "\\x00", "{'shape': ()}")
        )
    return text.encode()


def _with_header(member: bytes, header: bytes) -> bytes:
    """An .npy file with another header before the same numbers."""
    length = struct.unpack("<H", member[8:10])[0]
    return member[:8] + struct.pack("<H", len(header) + 1) + header + b"\n" + member[10 + length :]


def _nasty_array(chance: random.Random, array: np.ndarray) -> np.ndarray:
    match chance.randrange(10):
        case 0:
            return np.full_like(array, np.nan) if array.dtype.kind in "fc" else array.astype(float)
        case 1:
            return array.astype(chance.choice(("f4", "c8", "i1", "?", "U5", "S3", "f2", "u8", "c16")))
        case 2:
            return array[..., None]
        case 3:
            return array[:0] if array.ndim else array.reshape(1)
        case 4:
            return -np.abs(array) if array.dtype.kind in "fci" else array
        case 5:
            return array * np.array(10.0 ** chance.uniform(-200, 200))
        case 6:
            return np.zeros_like(array)
        case 7:
            changed = np.array(array)
            if changed.size and changed.dtype.kind in "fc":
                changed.reshape(-1)[chance.randrange(changed.size)] = chance.choice(
                    (np.nan, np.inf, -np.inf, -1)
                )
            return changed
        case 8:
            return np.asfortranarray(array).T
        case _:
            return array.reshape(-1)


def _zip_flags(chance: random.Random, data: bytes) -> bytes:
    """An archive with false records: encryption, compression, sizes, checksums, positions."""
    changed = bytearray(data)
    # Position of a number in a record of the central directory, and its size.
    field_at, size = chance.choice(((8, 2), (10, 2), (16, 4), (20, 4), (24, 4), (28, 2), (42, 4)))
    value = chance.choice((0, 1, 9, 12, 14, 99, 0xFFFF, 0xFFFFFFFF, 0x7FFFFFFF))
    for signature, shift in ((b"PK\x01\x02", 0), (b"PK\x03\x04", -2)):
        at = changed.find(signature)
        if at >= 0 and 4 <= field_at + shift < 28:
            place = at + field_at + shift
            changed[place : place + size] = (value & (256**size - 1)).to_bytes(size, "little")
    return bytes(changed)


def mutate_json(chance: random.Random, data: bytes, marker: str) -> bytes:
    """Replace values with other types, open brackets without end, mutate bytes."""
    if chance.random() < 0.4:
        return mutate_bytes(chance, data)
    try:
        value = json.loads(data)
    except ValueError:
        return mutate_bytes(chance, data)
    nasty: Any = chance.choice(
        (
            None,
            [],
            {},
            "",
            "x\ny",
            "\ud800",
            1e308,
            -1,
            2**70,
            True,
            [[]],
            {"a": {}},
            "<script>",
            ["x"] * 50,
            0.5,
        )
    )
    if chance.random() < 0.1 or not isinstance(value, dict) or not value:
        return chance.choice((b"[" * 100_000, b'{"a":' * 100_000, b"NaN", b"", b"1e999", b"\xff\xfe"))
    place, inside = value, list(value)
    name = chance.choice(inside)
    if isinstance(value[name], dict) and value[name] and chance.random() < 0.5:
        place = value[name]
        name = chance.choice(list(place))
    if chance.random() < 0.2:
        del place[name]
    else:
        place[name] = nasty
    return json.dumps(value).encode()


def mutate_csv(chance: random.Random, data: bytes, marker: str) -> bytes:
    """Mutate cells, lines, and bytes."""
    if chance.random() < 0.5:
        return mutate_bytes(chance, data)
    lines = data.decode().splitlines()
    at = chance.randrange(len(lines))
    cells = lines[at].split(",")
    cells[chance.randrange(len(cells))] = chance.choice(
        ("", "nan", "inf", "-1", "x", '"', '"a', "1e999", "<b>", "\0", "9" * 400, "=1+1", "\u2028")
    )
    lines[at] = ",".join(cells if chance.random() < 0.8 else cells[:-1])
    return "\n".join(lines).encode()


def mutate_parquet(chance: random.Random, data: bytes, marker: str) -> bytes:
    """Remove columns, change their types, make holes; mutate bytes."""
    if chance.random() < 0.5:
        return mutate_bytes(chance, data)
    table = pyarrow.parquet.read_table(io.BytesIO(data))
    column = chance.choice(table.column_names)
    match chance.randrange(4):
        case 0:
            table = table.drop_columns([column])
        case 1:
            place = table.column_names.index(column)
            table = table.set_column(place, column, pyarrow.array(["x\ny"] * len(table)))
        case 2:
            place = table.column_names.index(column)
            nothing = pyarrow.array([None] * len(table), table.schema.field(column).type)
            table = table.set_column(place, column, nothing)
        case _:
            table = table.slice(0, 0)
    file = io.BytesIO()
    pyarrow.parquet.write_table(table, file)
    return file.getvalue()


# ---- Readers: return if the file was read, raise InputError or Bad if it was not. ----


def run_command(*arguments: str | Path) -> None:
    """Run a command in this process; it must report every fault in one clean line."""
    done = CliRunner().invoke(app, [str(argument) for argument in arguments])
    if done.exception is not None and not isinstance(done.exception, SystemExit):
        raise done.exception
    lines = done.stderr.split("\n")[:-1]
    if done.exit_code == 2:
        if not lines:
            raise Bad("refused without a word")
        raise InputError(lines)
    if done.exit_code != 0:
        raise Bad(f"exit status {done.exit_code}: {done.stderr[-300:]}")


def check_faults(error: InputError) -> None:
    """Raise Bad unless each fault is one line without control characters."""
    if not error.faults:
        raise Bad("refused without a fault")
    for line in error.faults:
        if not line.strip() or any(ord(c) < 32 or ord(c) == 127 or 0xD800 <= ord(c) < 0xE000 for c in line):
            raise Bad(f"a fault that is not one clean line: {line[:200]!r}")
        if "Traceback" in line:
            raise Bad("a traceback")


@dataclass
class Kind:
    """A kind of file, with its mutation and its reader."""

    name: str
    path: Path
    """the file itself"""
    mutate: Callable[[random.Random], bytes]
    read: Callable[[], None]
    limit: float = LIMIT


@dataclass
class Campaign:
    """Running counts of a campaign."""

    options: Options
    tried: Counter = field(default_factory=Counter)
    bad: Counter = field(default_factory=Counter)
    refused: Counter = field(default_factory=Counter)
    failures: dict[tuple[str, str], int] = field(default_factory=dict)
    saved: list[str] = field(default_factory=list)

    def note(self, kind: Kind, index: int, what: str, command: str) -> None:
        """Save a bad file."""
        self.bad[kind.name] += 1
        key = (kind.name, re.sub(r"0x[0-9a-f]+|[0-9]+", "#", what))
        self.failures[key] = self.failures.get(key, 0) + 1
        if self.options.out is None or self.failures[key] > 1:
            return
        self.options.out.mkdir(parents=True, exist_ok=True)
        words = "".join(c if c.isalnum() else "-" for c in f"{kind.name}-{index}")
        saved = self.options.out / f"{words}{kind.path.suffix}"
        shutil.copy(kind.path, saved)
        self.saved.append(str(saved))
        with (self.options.out / "commands.txt").open("a", encoding="utf-8", errors="replace") as file:
            file.write(f"# {kind.name}: {what!r}\n{command.replace(str(kind.path), saved.name)}\n")


@contextmanager
def time_limit(seconds: float) -> Iterator[None]:
    """Raise TooLong after ``seconds``."""

    def ring(*_: object) -> None:
        raise TooLong

    before = signal.signal(signal.SIGALRM, ring)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def run(options: Options) -> Outcome:
    """Mutate and read files of every kind in turn, until there are enough or the time is over."""
    begun = time.monotonic()
    options.work.mkdir(parents=True, exist_ok=True)
    marker = str((options.work / MARKER).resolve())
    campaign = Campaign(options)
    kinds = [k for k in make_kinds(options, marker) if not options.kinds or k.name in options.kinds]
    options.tell(f"files to start from made in {time.monotonic() - begun:.0f} s")
    for index in range(options.files):
        if time.monotonic() - begun > options.seconds:
            break
        kind = kinds[index % len(kinds)]
        try_file(campaign, kind, index, marker)
    tried = campaign.tried.total()
    what = "neither success nor clean lines of faults"
    rows = [Row("Files", f"{k.name}: {what}", campaign.tried[k.name], campaign.bad[k.name]) for k in kinds]
    if tried < options.files:
        rows.append(Row("Files", "less than planned", options.files, 0, f"{tried:,} in the time given"))
    failures = [
        {"kind": kind, "what": what, "times": times} for (kind, what), times in campaign.failures.items()
    ]
    by_kind = [
        {"kind": k.name, "tried": campaign.tried[k.name], "refused": campaign.refused[k.name]} for k in kinds
    ]
    details = {"Files by kind": by_kind, "Faults of files": failures}
    return Outcome(rows, details, campaign.saved, tried >= options.files)


def try_file(campaign: Campaign, kind: Kind, index: int, marker: str) -> None:
    """Try one mutated file of a kind; afterwards the file is restored."""
    chance = random.Random(f"{campaign.options.seed}-{index}")
    original = kind.path.read_bytes()
    kind.path.write_bytes(kind.mutate(chance))
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    campaign.tried[kind.name] += 1
    what = ""
    try:
        with time_limit(kind.limit):
            kind.read()
    except InputError as error:
        campaign.refused[kind.name] += 1
        try:
            check_faults(error)
        except Bad as bad:
            what = str(bad)
    except TooLong:
        what = f"not answered within {kind.limit:.0f} s"
    except Bad as bad:
        what = str(bad)
    except Exception as error:  # would reach a user as a traceback
        place = traceback.extract_tb(error.__traceback__)[-1]
        what = f"{type(error).__name__} in {Path(place.filename).name}: {str(error)[:80]}"
    except RecursionError as error:
        what = f"RecursionError: {error}"
    grown = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - memory) * 1024
    if not what and grown > MEMORY:
        what = f"{grown / 2**30:.1f} GB of memory"
    if Path(marker).exists():
        Path(marker).unlink()
        what = "something from the file was executed"
    if what:
        again = f"python -m torture --only files --kinds {kind.name!r} --seed {campaign.options.seed}"
        campaign.note(kind, index, what, f"{again}   # file {index}: {kind.path}")
    kind.path.write_bytes(original)


def make_kinds(options: Options, marker: str) -> list[Kind]:
    """Valid small files of every kind, with their readers."""
    work, random_numbers = options.work, np.random.default_rng(options.seed)
    text = Scenario().to_yaml()

    scenario = work / "scenario.yaml"
    scenario.write_text(text)
    settings = work / "setting.txt"
    settings.write_text("ap_power=2")

    channels = 0.02 * (
        random_numbers.standard_normal((2, 3, 3)) + 1j * random_numbers.standard_normal((2, 3, 3))
    )
    beams = channels / np.linalg.norm(channels, axis=-1, keepdims=True)
    workload, battery = np.full((2, 3), 30.0), np.full((2, 3), 0.1)
    frames = work / "frames.npz"
    np.savez(frames, channels=channels, workload=workload, battery=battery, beams=beams)
    folder = work / "frames"
    folder.mkdir(exist_ok=True)
    for name, array in {"channels": channels, "workload": workload, "battery": battery}.items():
        np.save(folder / f"{name}.npy", array)

    trace = work / "trace.npz"
    np.savez(trace, channels=channels, workload=workload)
    with_trace = work / "with_trace.yaml"
    with_trace.write_text("fading: file\narrivals: file\ntrace: trace.npz\n")

    def solve(source: Path) -> Callable[[], None]:
        return lambda: run_command("solve", source, "--out", work / "solution.npz", "--json")

    def npz(path: Path) -> Callable[[random.Random], bytes]:
        return lambda chance: mutate_npz(chance, path.read_bytes(), marker)

    def npy(chance: random.Random) -> bytes:
        data = (folder / "channels.npy").read_bytes()
        if chance.random() < 0.5:
            return _with_header(data, _nasty_header(chance))
        return mutate_bytes(chance, data)

    kinds = [
        Kind(
            "scenario",
            scenario,
            lambda chance: mutate_yaml(chance, text, marker),
            lambda: run_command("scenario", "--scenario", scenario),
        ),
        Kind(
            "setting",
            settings,
            lambda chance: mutate_setting(chance, text, marker).encode("utf-8", "replace"),
            lambda: run_command("scenario", "--set", settings.read_text("utf-8")),
        ),
        Kind("frames", frames, npz(frames), solve(frames), SOLVE_LIMIT),
        Kind("frames in a folder", folder / "channels.npy", npy, solve(folder), SOLVE_LIMIT),
        Kind("trace", trace, npz(trace), lambda: run_command("scenario", "--scenario", with_trace)),
    ]
    # Slow ones are made only if wanted.
    for group, make in ((RUN, _run_kinds), (REPRODUCTION, _reproduction_kinds)):
        if not options.kinds or any(name.startswith(group) for name in options.kinds):
            kinds += make(work, marker)
    return kinds


def small_plan(frames: int = 250) -> Plan:
    """A training run of a few seconds."""
    scenario = Scenario(user_positions=[[3, 3]], num_antennas=2, arrivals="constant", episode_length=30)
    config = TrainingConfig(**SMALL_NETWORKS, action_form="feasible")
    return Plan("ddpg", scenario, config, seeds=(0, 1, 2, 3), frames=frames)


def _run_kinds(work: Path, marker: str) -> list[Kind]:
    """The files of a training run."""
    folder = work / "run"
    train(small_plan(), folder, processes=1, resume=folder.exists())

    def whole() -> None:
        read_run(folder)
        run = load_run(folder)
        leaves = [leaf for leaf in jax.tree.leaves(run.states) if jnp.issubdtype(leaf.dtype, jnp.inexact)]
        if not all(np.isfinite(np.asarray(leaf)).all() for leaf in leaves):
            raise Bad("a state that is not finite is taken for one")

    name = "seeds-0000-0003"
    checkpoint = folder / "checkpoints" / f"{name}.npz"
    metrics = folder / "metrics" / f"{name}.parquet"

    def state(chance: random.Random) -> bytes:
        return mutate_npz(chance, checkpoint.read_bytes(), marker)

    def text(path: Path) -> Callable[[random.Random], bytes]:
        return lambda chance: mutate_yaml(chance, path.read_text("utf-8"), marker)

    return [
        Kind(
            "run",
            folder / "run.json",
            lambda chance: mutate_json(chance, (folder / "run.json").read_bytes(), marker),
            whole,
        ),
        Kind("run's scenario", folder / "scenario.yaml", text(folder / "scenario.yaml"), whole),
        Kind("run's configuration", folder / "training.yaml", text(folder / "training.yaml"), whole, 30.0),
        Kind(
            "checkpoint",
            checkpoint,
            lambda chance: mutate_npz(chance, checkpoint.read_bytes(), marker),
            whole,
        ),
        Kind(
            "metrics",
            metrics,
            lambda chance: mutate_parquet(chance, metrics.read_bytes(), marker),
            lambda: training_metrics.read(metrics) and None,
        ),
    ]


def _reproduction_kinds(work: Path, marker: str) -> list[Kind]:
    """The files of a reproduction."""
    folder = work / "reproduction"
    run_command("reproduce", "--out", folder, *REPRODUCE)

    def kind(name: str, mutate: Callable[[random.Random, bytes, str], bytes]) -> Kind:
        path = folder / name
        return Kind(
            f"reproduction's {name}",
            path,
            lambda chance: mutate(chance, path.read_bytes(), marker),
            lambda: contents.read(folder) and None,
        )

    kinds = {".csv": mutate_csv, ".json": mutate_json, ".npz": mutate_npz}
    names = sorted(path.name for path in folder.iterdir() if path.suffix in kinds)
    return [kind(name, kinds[Path(name).suffix]) for name in names]
