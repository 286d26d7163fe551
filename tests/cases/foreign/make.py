"""Makes `matlab_v73.mat`, laid out as MATLAB does, and `deepmimo.npz`, by DeepMIMO's own code.

Run in this folder, after `pip install h5py deepmimo`. For the files of GNU Octave see `frames.m`.
"""

import h5py
import numpy as np
from deepmimo.generator.channel import _generate_mimo_channel

HEADER = b"MATLAB 7.3 MAT-file, Platform: GLNXA64, Created on: Thu Jan 01 00:00:00 2026 HDF5 schema 1.00 ."
COMPLEX = np.dtype([("real", "<f8"), ("imag", "<f8")])
"""How MATLAB stores complex numbers in HDF5."""


def matlab() -> None:
    """The arrays of `frames.m`: axes reversed, complex numbers as pairs, a header of 512 bytes in front."""
    m, n, k = np.meshgrid(np.arange(1, 5), np.arange(1, 3), np.arange(1, 4), indexing="ij")
    channels = 1e-3 * (m + 10 * n) * np.exp(1j * (m + k))
    with h5py.File("matlab_v73.mat", "w", userblock_size=512) as file:
        stored = np.empty(channels.T.shape, COMPLEX)
        stored["real"], stored["imag"] = channels.T.real, channels.T.imag
        for name, array in (
            ("H", stored),
            ("work", (10.0 * n + k)[0].T),
            ("energy", np.array([[0.01, 0.02]])),
        ):
            file.create_dataset(name, data=array).attrs["MATLAB_class"] = np.bytes_("double")
        text = file.create_dataset("label", data=np.frombuffer(b"text", "u1").astype("<u2")[:, None])
        text.attrs["MATLAB_class"] = np.bytes_("char")
    with open("matlab_v73.mat", "r+b") as file:
        file.write(HEADER.ljust(124) + b"\x00\x02IM")


def deepmimo() -> None:
    """Three users, two antennas, four paths, whose data are kept beside the channels."""
    random = np.random.default_rng(0)
    power = 10 ** random.uniform(-9, -6, (3, 4))
    power[2] = np.nan  # no path
    phase, delay = random.uniform(0, 360, (3, 4)), random.uniform(0, 1e-6, (3, 4))
    steering = np.exp(1j * np.pi * np.arange(2)[:, None] * random.uniform(-1, 1, (3, 1, 4)))
    ofdm = {"subcarriers": 64, "selected_subcarriers": np.arange(3), "bandwidth": 1e7, "rx_filter": 0}
    made = {
        name: _generate_mimo_channel(
            array_response_rx=np.ones((3, 1, 4), complex),
            array_response_tx=steering,
            power=power,
            delay=delay,
            phase=phase,
            doppler=np.zeros((3, 4)),
            ofdm_params=ofdm,
            times=0.0,
            freq_domain=name == "subcarriers",
        )
        for name in ("subcarriers", "paths")
    }
    np.savez_compressed("deepmimo.npz", power=power, phase=phase, steering=steering, **made)


if __name__ == "__main__":
    matlab()
    deepmimo()
