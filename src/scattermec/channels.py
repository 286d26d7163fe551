"""Channels of ray tracers, and of arrays in any order of axes, as frames (K, N, M): pure NumPy functions.

The package's convention: the AP sends the beam w, and user i receives y = h_i^H w. Ray tracers write
y = h^T w, so their coefficients are conjugated here.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from scattermec.errors import InputError

__all__ = ["STREET_CANYON", "from_axes", "from_deepmimo", "from_sionna"]

STREET_CANYON = Path(__file__).parent / "scenarios" / "street_canyon.npz"
"""Frames traced by Sionna RT: `channels` (K, N, M) and `positions` (K, N, 2), users around the AP in m."""

_SIONNA = "rx, rx_ant, tx, tx_ant, paths, time"
_DEEPMIMO = "user, rx_ant, tx_ant, subcarrier"


def from_sionna(paths: Any, *, ap: str = "tx") -> NDArray[np.complex128]:
    """Channels from Sionna: the sum over the paths, since the system is narrowband.

    Args:
        paths: the ``Paths`` of a path solver; or what ``paths.cir(out_type="numpy")`` returns; or its
            coefficients alone, (rx, rx_ant, tx, tx_ant, paths, time), with a batch axis in front if there
            is one.
        ap: ``tx`` if the AP is the transmitter of the scene, and the users are its receivers; ``rx`` if it is
            the other way round. Users have one antenna.

    Returns:
        (K, N, M): a frame per time step (of every element of the batch), a user per device, the AP's
        antennas. Conjugated, since Sionna writes y = h^T w. A user without a path has zeros.

    Raises:
        InputError: if the axes are others, there are several APs, users have several antennas, or numbers are
            not finite.
    """
    if ap not in ("tx", "rx"):
        raise InputError([f"ap: {ap!r} is not allowed; it must be 'tx' or 'rx'"])
    if hasattr(paths, "cir"):
        paths = paths.cir(out_type="numpy")
    coefficients = np.asarray(paths[0] if isinstance(paths, tuple) else paths)
    if coefficients.ndim == 6:
        coefficients = coefficients[None]
    _check(coefficients, 7, f"paths: must be an array of axes ({_SIONNA}), as of cir(out_type='numpy')")
    if ap == "rx":
        coefficients = coefficients.transpose(0, 3, 4, 1, 2, 5, 6)
    _, _, user_antennas, access_points, _, _, _ = coefficients.shape
    _check_one_antenna(user_antennas)
    if access_points != 1:
        raise InputError([f"paths: have {access_points} devices as the AP ({ap}); there must be 1"])
    gains = coefficients[:, :, 0, 0].sum(axis=3)  # (batch, N, M, time)
    return _frames(gains.transpose(0, 3, 1, 2).reshape(-1, *gains.shape[1:3]))


def from_deepmimo(
    channels: ArrayLike, *, num_subcarriers: int | None, subcarrier: int = 0, users: ArrayLike | None = None
) -> NDArray[np.complex128]:
    """Channels from DeepMIMO, at one of its subcarriers.

    Args:
        channels: (user, rx_ant, tx_ant, subcarrier), or with a last axis of time, as DeepMIMO computes them
            with the base station as the AP. Users have one antenna.
        num_subcarriers: number of all subcarriers in the OFDM parameters, 512 by default. DeepMIMO divides
            amplitudes by its square root, which is undone here. None for channels in the time domain, whose
            paths, in place of subcarriers, are summed.
        subcarrier: which of the subcarriers in ``channels``, from 0.
        users: (N), the users that take part, or (K, N), those whose places are visited frame by frame; for
            instance a walk over DeepMIMO's grid. By default all, as N users.

    Returns:
        (K, N, M): a frame per row of ``users``, and per time step within it. Conjugated, since DeepMIMO
        writes y = h^T w. A user without a path has zeros.

    Raises:
        InputError: if the axes are others, there is no such user or subcarrier, or numbers are not finite.
    """
    array = np.asarray(channels)
    if array.ndim == 4:
        array = array[..., None]
    _check(array, 5, f"channels: must be an array of axes ({_DEEPMIMO}), with time last if there is any")
    _check_one_antenna(array.shape[1])
    if num_subcarriers is None:
        gains = array[:, 0].sum(axis=2)  # (user, M, time)
    else:
        there = array.shape[3]
        if num_subcarriers < there:
            raise InputError([f"num_subcarriers: {num_subcarriers} is less than the {there} in channels"])
        if not 0 <= subcarrier < there:
            raise InputError([f"subcarrier: {subcarrier} is not there; channels has {there}"])
        gains = np.sqrt(num_subcarriers) * array[:, 0, :, subcarrier]
    chosen = np.atleast_2d(np.arange(len(gains)) if users is None else np.asarray(users))
    if chosen.dtype.kind not in "iu" or chosen.ndim != 2 or not ((chosen >= 0) & (chosen < len(gains))).all():
        raise InputError([f"users: must be whole numbers (N) or (K, N), from 0 to {len(gains) - 1}"])
    return _frames(gains[chosen].transpose(0, 3, 1, 2).reshape(-1, chosen.shape[1], gains.shape[1]))


def from_axes(array: NDArray[Any], axes: Sequence[str], wanted: str, name: str = "array") -> NDArray[Any]:
    """An array with its axes in the order ``wanted``, such as ``"KNM"``.

    Args:
        array: numbers.
        axes: for each axis of ``array`` its letter in ``wanted``; ``1`` for one of length 1 to be dropped;
            ``IQ`` for one of length 2 that holds real and imaginary parts. Trailing axes of length 1 may be
            missing, as MATLAB drops them.
        wanted: letters; those that are not in ``axes`` become axes of length 1.
        name: for messages.

    Raises:
        InputError: if the axes do not fit the array.
    """
    shape = array.shape + (1,) * (len(axes) - array.ndim)
    fixed = {"1": 1, "IQ": 2}
    misfits = [axis for axis, size in zip(axes, shape, strict=False) if fixed.get(axis, size) != size]
    if len(shape) != len(axes) or misfits:
        raise InputError([f"{name}: has shape {array.shape}, which does not fit the axes {' '.join(axes)}"])
    array = array.reshape(shape)
    if "IQ" in axes:
        parts = np.moveaxis(array, list(axes).index("IQ"), 0)
        array = parts[0] + 1j * parts[1]
    letters = [axis for axis in axes if axis != "IQ"]
    array = array.squeeze(tuple(index for index, axis in enumerate(letters) if axis == "1"))
    kept = [axis for axis in letters if axis != "1"]
    array = array.transpose([kept.index(axis) for axis in wanted if axis in kept])
    return np.expand_dims(array, tuple(index for index, axis in enumerate(wanted) if axis not in kept))


def _frames(gains: NDArray[Any]) -> NDArray[np.complex128]:
    if not np.isfinite(gains).all():
        raise InputError(["channels: have numbers that are not finite"])
    return np.conj(gains).astype(np.complex128)


def _check(array: NDArray[Any], dimensions: int, rule: str) -> None:
    if array.ndim != dimensions or array.dtype.kind != "c" or not array.size:
        raise InputError([f"{rule}; they have shape {array.shape} and type {array.dtype}"])


def _check_one_antenna(antennas: int) -> None:
    if antennas != 1:
        raise InputError([f"channels: users have {antennas} antennas; they must have 1: choose one of them"])
