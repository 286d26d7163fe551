"""The scenario: every constant of the model, typed, validated and loadable from a file.

Units are SI with the prefixes that keep numbers near one: s, kbit and kHz throughout, W and J on the access
point's (AP's) side, mW and mJ on the users' side.
"""

import math
import os
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any, ClassVar, Literal

import numpy as np
from pydantic import field_validator

from scattermec._settings import FileSettings, Settings, constant, notes_of
from scattermec._yaml import show
from scattermec.counts import MOST_ANTENNAS, MOST_FRAMES, MOST_USERS
from scattermec.errors import InputError, ScenarioError
from scattermec.literature import path_loss_db
from scattermec.storage.arrays import open_archive

__all__ = ["NAMED", "Rectifier", "Scenario", "ScenarioError", "unit_of"]

PerUser = float | tuple[float, ...]
Pair = tuple[float, float]
HarvestModel = Literal["linear", "sigmoidal"]
Arrivals = Literal["poisson", "constant", "file"]
Fading = Literal["rayleigh", "rician", "file"]

NAMED = ("default", "paper")
"""Scenarios that come with the package: our own constants, and those found by `scattermec calibrate`."""

SHIPPED = Path(__file__).parent / "scenarios"
"""Their files, and in a folder each the scenarios of benchmark sets, which never change."""

_FROZEN = re.compile(r"scattermec-\d+/[a-z]+")

NEAREST, FARTHEST = 0.1, 1e6
"""Limits of the users' distances in m. By default, the path loss is 0 dB and 140 dB there."""

MOST_LOSS = 140.0
"""Largest path loss in dB, whatever the constants that it follows from."""

_OF_THE_LOSS = ("path_loss_exponent", "reference_loss", "antenna_gain")
_SWEEPS = ("ap_power_sweep", "mean_workload_sweep", "distance_sweep")
_POSITIONS = (
    f"a list of at least one [x, y] and at most {MOST_USERS}, each more than {NEAREST:g} m "
    f"and at most {FARTHEST:g} m away from [0, 0]"
)
_ENDS = "[low, high] with 0 < low < high"
_RECTIFIER = "a mapping of saturation, steepness and turn_on"
_TRACE = "File of channels (frames, N, M) and workload (frames, N)"


class Rectifier(Settings):
    """Sigmoidal RF-to-DC conversion: a logistic curve of the received power that starts at 0.

    The default values are assumed, not measured; they resemble published rectifiers at these power levels
    (users of the default scenario harvest up to some tenths of a mW).
    """

    _error: ClassVar = ScenarioError

    saturation: float = constant(1.0, "", "mW", "> 0", "Largest power delivered")
    steepness: float = constant(5.0, "", "1/mW", "> 0", "Steepness of the curve")
    turn_on: float = constant(0.2, "", "mW", ">= 0", "Received power at the curve's steepest point")


class Scenario(FileSettings):
    """All constants of the model; immutable, compared and hashed by value.

    Constants typed `float | tuple[float, ...]` are one number for all users or one number per user.
    All faults are reported at once in a `ScenarioError`, on construction too.
    """

    _error: ClassVar = ScenarioError
    _also_allowed: ClassVar = {PerUser: "a list of one per user", float | Pair: "[low, high]"}
    _derived: ClassVar = {"num_users": "user_positions"}
    _added: ClassVar = (*_OF_THE_LOSS, "partial_service", *_SWEEPS)
    """constants that earlier versions did not have, and whose defaults they computed with"""
    _title: ClassVar = "a scenario"
    _sections: ClassVar = {
        "num_antennas": "Layout and frame",
        "bandwidth": "Radio",
        "harvest_efficiency": "Energy harvesting and backscatter",
        "circuit_power": "Users",
        "active_receive_power": "Access point and MEC server",
        "mean_workload": "Workload",
        "path_loss_exponent": "Channel",
        "reliability_weight": "Rewards and episodes",
        "partial_service": "Readings of Fig. 3 and 4: who is served; abscissae, lowest and highest",
    }

    num_antennas: int = constant(3, "M", "", f">= 1 and <= {MOST_ANTENNAS}", "AP antennas")
    user_positions: tuple[Pair, ...] = constant(
        ((5.0, 5.0), (3.0, 3.0), (-2.0, 4.0)), "", "m", _POSITIONS, "Users around the AP at the origin"
    )
    slot_duration: PerUser = constant(1.0, "T_i", "s", "> 0", "Slot of each user")

    bandwidth: float = constant(8.0, "B", "kHz", "> 0", "Bandwidth")
    ap_power: float = constant(1.0, "p", "W", "> 0", "AP transmit power")
    noise_power: float = constant(
        1e-9, "sigma2", "W", "> 0", "Noise at the AP with residual self-interference"
    )
    residual_interference: float = constant(
        0.0, "", "", ">= 0", "Self-interference left in passive reception, as a fraction of ap_power"
    )

    harvest_efficiency: float = constant(0.6, "eta", "", ">= 0 and <= 1", "RF-to-DC efficiency")
    harvest_model: HarvestModel = constant("linear", "", "", "linear or sigmoidal", "RF-to-DC conversion:")
    rectifier: Rectifier = constant(Rectifier(), "", "mW, 1/mW, mW", _RECTIFIER, "The sigmoidal conversion")
    causal_harvest: bool = constant(
        False, "", "", "true or false", "Harvest counts only from slots before one's own:"
    )
    reflection_gain: PerUser = constant(
        0.01, "Gamma2", "", "> 0 and <= 1", "Squared reflection magnitude with SNR gap"
    )

    circuit_power: PerUser = constant(0.01, "p_o", "mW", ">= 0", "User's circuit power while transmitting")
    local_energy: PerUser = constant(0.005, "phi_c", "mJ/kbit", "> 0", "User's energy per kbit computed")
    local_rate: PerUser = constant(50.0, "f_c", "kbit/s", ">= 0", "User's computing rate")
    battery_capacity: PerUser = constant(1.0, "E_max", "mJ", "> 0", "Battery")
    initial_battery: float | Pair = constant(
        (0.0, 0.1), "", "mJ", ">= 0", "Battery at reset: a number, or [low, high] drawn uniformly"
    )

    active_receive_power: float = constant(0.04, "p_a,r", "W", ">= 0", "AP's power for active reception")
    passive_receive_power: float = constant(0.01, "p_b,r", "W", ">= 0", "AP's power for passive reception")
    idle_power: float = constant(0.01, "P_idle", "W", ">= 0", "AP's static power")
    mec_energy: float = constant(0.0005, "phi_o", "J/kbit", ">= 0", "MEC server's energy per kbit")
    shortfall_price: float = constant(
        1.0, "", "J/kbit", "> 0", "Price of unserved work in the elastic allocation"
    )

    mean_workload: PerUser = constant(40.0, "lambda", "kbit", ">= 0", "Mean arrival per user and frame")
    arrivals: Arrivals = constant("poisson", "", "", "poisson, constant or file", "Arrivals:")
    backlog_cap: float = constant(80.0, "", "kbit", ">= 0", "Most carried-over work, new arrival apart")

    path_loss_exponent: float = constant(2.0, "alpha", "", "> 0 and <= 10", "Path-loss exponent")
    reference_loss: float = constant(20.0, "L_0", "dB", ">= 0 and <= 200", "Path loss at 1 m")
    antenna_gain: float = constant(
        0.0, "G_a", "dBi", ">= -50 and <= 50", "Antenna gain of AP and user together"
    )
    fading: Fading = constant("rayleigh", "", "", "rayleigh, rician or file", "Fading:")
    rician_factor: PerUser = constant(0.0, "K", "", ">= 0", "Rician factor (linear)")
    correlation: float = constant(0.0, "", "", ">= 0 and <= 1", "Gauss-Markov coefficient in time")
    csi_error: float = constant(0.0, "", "", ">= 0", "Relative error of the channels that agents see")
    workload_error: float = constant(0.0, "", "", ">= 0", "Relative error of the workload that agents see")
    trace: str | None = constant(None, "", "", "the path of an .npz file", _TRACE)

    reliability_weight: float = constant(4.0, "sigma", "", "> 0", "Exponent of success in the AP's reward")
    mec_price: float = constant(0.2, "mu_1", "", ">= 0", "Price of offloading in a user's reward")
    ap_price: float = constant(0.4, "mu_2", "", ">= 0", "Price of beaming in a user's reward")
    discount: float = constant(0.5, "gamma", "", ">= 0 and < 1", "Reward discount")
    team_weight: float = constant(0.0, "", "", ">= 0 and <= 1", "Team share in the users' reward")
    episode_length: int = constant(100, "", "", f">= 1 and <= {MOST_FRAMES}", "Frames until truncation")

    partial_service: bool = constant(
        True, "", "", "true or false", "Where not all users can be served, the best set is, or nobody:"
    )
    ap_power_sweep: Pair = constant((0.25, 4.0), "", "W", _ENDS, "AP transmit power in Fig. 3a")
    mean_workload_sweep: Pair = constant((5.0, 60.0), "", "kbit", _ENDS, "Mean arrival in Fig. 3b")
    distance_sweep: Pair = constant(
        (0.5, 2.0), "", "", _ENDS, "Distance of all users in Fig. 4, relative to user_positions"
    )

    @classmethod
    @cache
    def named(cls, name: str) -> "Scenario":
        """A scenario that comes with the package, one of `NAMED`; raises ScenarioError for other names."""
        if name not in NAMED:
            raise ScenarioError([f"scenario: {show(name, 80)} is not known; choose from {', '.join(NAMED)}"])
        return cls() if name == "default" else cls.load(SHIPPED / f"{name}.yaml")

    @classmethod
    def find(cls, source: str | os.PathLike[str]) -> "Scenario":
        """A scenario by its name, or from a file; raises ScenarioError with all faults.

        Names are those of `NAMED`, and of the scenarios of benchmark sets, such as ``scattermec-1/far``.
        """
        if str(source) in NAMED:
            return cls.named(str(source))
        frozen = SHIPPED / f"{source}.yaml"
        return cls.load(frozen if _FROZEN.fullmatch(str(source)) and frozen.exists() else source)

    @property
    def known_as(self) -> str | None:
        """The name of the scenario, one of `NAMED`, if it comes with the package."""
        return next((name for name in NAMED if Scenario.named(name) == self), None)

    @property
    def num_users(self) -> int:
        """Number of users N, the length of `user_positions`."""
        return len(self.user_positions)

    @property
    def path_loss(self) -> np.ndarray:
        """Mean path loss to each user in dB, antenna gain included, (N,)."""
        x, y = np.array(self.user_positions, dtype=float).T
        return path_loss_db(np.hypot(x, y), *(getattr(self, name) for name in _OF_THE_LOSS))

    def record(self) -> dict[str, Any]:
        """All constants, as they are kept in JSON files and compared with what those hold.

        Constants that earlier versions did not have are left out at their defaults, so that what those kept
        is still equal.
        """
        added = {name for name in self._added if getattr(self, name) == type(self).model_fields[name].default}
        return self.model_dump(mode="json", exclude=added)

    def per_user(self, name: str) -> tuple[float, ...]:
        """The constant `name` as one number per user, however it was given."""
        value = getattr(self, name)
        return value if isinstance(value, tuple) else (value,) * self.num_users

    def load_trace(self) -> tuple[np.ndarray | None, np.ndarray | None]:
        """Channels (frames, N, M) and workload (frames, N) in kbit of the trace; each None if absent."""
        arrays = {} if self.trace is None else _read_trace(self.trace)
        return arrays.get("channels"), arrays.get("workload")

    @classmethod
    def _resolve(cls, data: dict[str, Any], folder: str | os.PathLike[str]) -> None:
        # A relative trace is relative to the file that names it.
        if isinstance(data.get("trace"), str):
            data["trace"] = os.path.join(folder, data["trace"])

    @field_validator("user_positions")
    @classmethod
    def _around_the_ap(cls, value: tuple[Pair, ...]) -> tuple[Pair, ...]:
        near = any(not NEAREST < math.hypot(*position) <= FARTHEST for position in value)
        if not 1 <= len(value) <= MOST_USERS or near:
            raise ValueError(cls._allowed("user_positions"))
        return value

    @field_validator(*_SWEEPS)
    @classmethod
    def _ends(cls, value: Pair, info: Any) -> Pair:
        low, high = value
        if not 0 < low < high:
            raise ValueError(cls._allowed(info.field_name))
        return value

    @field_validator("trace")
    @classmethod
    def _absolute(cls, value: str | None) -> str | None:
        # An absolute path names the same file wherever the scenario is saved.
        return None if value is None else os.path.abspath(value)

    def _cross_faults(self) -> Iterator[tuple[tuple[str, ...], str]]:
        for name, field in type(self).model_fields.items():
            value = getattr(self, name)
            if field.annotation == PerUser and isinstance(value, tuple) and len(value) != self.num_users:
                line = f"{name}: mismatched lengths, {len(value)} values for {self.num_users} users"
                yield (name, "user_positions"), f"{line}; it must be a number or one number per user"

        if isinstance(self.initial_battery, tuple):
            low, high = self.initial_battery
        else:
            low = high = self.initial_battery
        shown = f"initial_battery: {show(self.initial_battery)} is not allowed; it must"
        if low > high:
            yield ("initial_battery",), f"{shown} have low <= high (mJ)"
        capacity = min(self.per_user("battery_capacity"), default=math.inf)
        if max(low, high) > capacity:
            line = f"{shown} be <= battery_capacity, {capacity} for the smallest (mJ)"
            yield ("initial_battery", "battery_capacity"), line

        active, passive = self.active_receive_power, self.passive_receive_power
        if passive > active:
            line = f"passive_receive_power: {passive} is not allowed; it must be <= active_receive_power"
            yield ("passive_receive_power", "active_receive_power"), f"{line}, {active} (W)"
        if self.shortfall_price <= self.mec_energy:
            line = f"shortfall_price: {self.shortfall_price} is not allowed; it must be > mec_energy"
            yield ("shortfall_price", "mec_energy"), f"{line}, {self.mec_energy} (J/kbit)"
        if any(self.per_user("rician_factor")) and self.fading != "rician":
            line = f"rician_factor: {show(self.rician_factor)} has no effect with fading: {self.fading}"
            yield ("rician_factor", "fading"), f"{line}; set fading: rician"
        if self.correlation != 0 and self.fading == "file":
            line = f"correlation: {self.correlation} has no effect with fading: file; it must be 0"
            yield ("correlation", "fading"), line
        for line in self._loss_faults():
            yield ("user_positions", *_OF_THE_LOSS), line
        for line in self._trace_faults():
            yield ("trace", "fading", "arrivals", "num_antennas", "user_positions"), line

    def _loss_faults(self) -> Iterator[str]:
        # Rounded, since the limits of the distances are limits of the loss, too.
        wrong = [user for user, loss in enumerate(self.path_loss) if not 0 <= round(loss, 6) <= MOST_LOSS]
        if wrong:
            loss = f"user {wrong[0]} has a mean path loss of {self.path_loss[wrong[0]]:.3f} dB"
            allowed = f"it must be >= 0 and <= {MOST_LOSS:g}, by {', '.join(_OF_THE_LOSS)}"
            yield f"user_positions: {loss}; {allowed}"

    def _trace_faults(self) -> Iterator[str]:
        needed = {"channels": self.fading == "file", "workload": self.arrivals == "file"}
        if self.trace is None:
            if any(needed.values()):
                yield "trace: is missing; fading: file and arrivals: file need the path of an .npz file"
            return
        if not any(needed.values()):
            yield "trace: has no effect; set fading: file or arrivals: file, or leave it out"
        try:
            arrays = _read_trace(self.trace)
        except ScenarioError as error:
            yield from error.faults
            return

        shapes = {"channels": (self.num_users, self.num_antennas), "workload": (self.num_users,)}
        for name, shape in shapes.items():
            array = arrays.get(name)
            if array is None:
                if needed[name]:
                    yield f"trace: {self.trace} has no {name}"
                continue
            yield from _array_faults(name, array, shape)
        frames = {len(arrays[name]) for name in shapes if name in arrays and arrays[name].ndim}
        if len(frames) > 1:
            yield "trace: channels and workload differ in their number of frames"


def unit_of(name: str) -> str:
    """The unit of a constant; empty if it has none."""
    unit: str = notes_of(Scenario.model_fields[name])["unit"]
    return unit


def _array_faults(name: str, array: np.ndarray, shape: tuple[int, ...]) -> Iterator[str]:
    """What is wrong with an array of a trace whose frames have this shape."""
    kinds, wanted = ("c", "complex") if name == "channels" else ("fiu", "real")
    if array.ndim != 1 + len(shape) or array.shape[1:] != shape or not len(array):
        axes = ", ".join(["frames", *map(str, shape)])
        sizes = "user_positions and num_antennas" if name == "channels" else "user_positions"
        line = f"trace: {name} has shape {array.shape}; it must be ({axes}) with frames >= 1"
        yield f"{line}, by {sizes}"
    elif array.dtype.kind not in kinds:
        yield f"trace: {name} has type {array.dtype}; it must be {wanted}"
    elif not np.isfinite(array).all():
        yield f"trace: {name} has values that are not finite"
    elif name == "workload" and (array < 0).any():
        yield "trace: workload has negative values; they must be >= 0 (kbit)"


def _read_trace(path: str | os.PathLike[str]) -> dict[str, np.ndarray]:
    try:
        archive = open_archive(path)
        return archive.load([name for name in ("channels", "workload") if name in archive.names])
    except InputError as error:
        raise ScenarioError(f"trace: {fault}" for fault in error.faults) from None
