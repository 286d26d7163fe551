"""Channels of users who walk in a street canyon, traced by Sionna RT.

Makes the file that comes with the package as `scattermec.channels.STREET_CANYON`:

    pip install scattermec 'sionna-rt>=2.2,<3'      # and LLVM 19, on Debian the package libllvm19
    python examples/street_canyon.py street_canyon.npz

At 915 MHz, Sionna has no properties of concrete, brick and marble: the formulas of ITU-R P.2040 begin at
1 GHz. The materials here have the properties of 1 GHz, the nearest frequency at which they are known.
"""

import argparse
from pathlib import Path

import numpy as np
from sionna import rt
from sionna.rt.radio_materials.itu import itu_material

from scattermec.channels import from_sionna

FREQUENCY, KNOWN = 915e6, 1e9
"""Carrier, and the lowest frequency at which all materials of the scene are known, in Hz."""

AP_HEIGHT, USER_HEIGHT = 4.0, 1.5
"""In m above the street. The AP is over its middle, the origin."""

FRAMES, STEP = 200, 1.5
"""Frames, and how far users walk at most from one to the next, in m."""


def street() -> rt.Scene:
    """Sionna's street canyon at `FREQUENCY`."""
    scene = rt.load_scene(rt.scene.simple_street_canyon)
    own = list(scene.radio_materials.values())
    for material in own:
        permittivity, conductivity = itu_material(material.itu_type, KNOWN)
        known = rt.RadioMaterial(
            f"{material.name}-1-GHz", relative_permittivity=permittivity, conductivity=conductivity
        )
        for thing in scene.objects.values():
            if thing.radio_material.name == material.name:
                thing.radio_material = known
    scene.remove([material.name for material in own])
    scene.frequency = FREQUENCY
    return scene


def walks() -> np.ndarray:
    """Where three users are around the AP, (K, 3, 2) in m: two on pavements, one around the AP."""
    way = STEP * np.arange(FRAMES)
    places = (
        (8 * np.sin(way / 8), np.full(FRAMES, 4.0)),
        (8 * np.cos(way / 8.5), np.full(FRAMES, -5.0)),
        (4 * np.cos(way / 4), 4 * np.sin(way / 4)),
    )
    return np.stack([np.stack(place, axis=1) for place in places], axis=1)


def trace(scene: rt.Scene, positions: np.ndarray) -> np.ndarray:
    """Channels (K, N, M) of users at these places: all of them are receivers of one scene."""
    scene.tx_array = rt.PlanarArray(
        num_rows=1, num_cols=4, vertical_spacing=0.5, horizontal_spacing=0.5, pattern="iso", polarization="V"
    )
    scene.rx_array = rt.PlanarArray(
        num_rows=1, num_cols=1, vertical_spacing=0.5, horizontal_spacing=0.5, pattern="iso", polarization="V"
    )
    scene.add(rt.Transmitter("ap", position=[0.0, 0.0, AP_HEIGHT]))
    for index, (x, y) in enumerate(positions.reshape(-1, 2).tolist()):
        scene.add(rt.Receiver(f"user-{index}", position=[x, y, USER_HEIGHT]))
    paths = rt.PathSolver()(scene, max_depth=3, seed=1)
    return from_sionna(paths).reshape(*positions.shape[:2], -1)


def main() -> None:
    """Trace, and write the file."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("out", type=Path, metavar="FILE", help="the .npz file to be written")
    out = parser.parse_args().out
    positions = walks()
    channels = trace(street(), positions)
    np.savez_compressed(out, channels=channels.astype(np.complex64), positions=positions.astype(np.float32))


if __name__ == "__main__":
    main()
