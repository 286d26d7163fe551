"""All that readers see of a reproduction, drawn from what lies in its folder; nothing is computed."""

from dataclasses import dataclass
from pathlib import Path

from scattermec.experiments import figures, frame_pictures, learning_figures, page, report
from scattermec.experiments.contents import Contents, read
from scattermec.pictures.style import FORMATS

LEARNING_FIGURES = tuple(learning_figures.TITLES)
"""Those that need training runs."""


@dataclass(frozen=True)
class Drawn:
    """What was drawn and judged."""

    contents: Contents
    files: tuple[Path, ...]


def redraw(folder: Path) -> Drawn:
    """Draw and judge whatever is complete in the folder of a reproduction.

    Raises InputError where the folder holds no results, or some that cannot be read.
    """
    contents = read(folder)
    pictures = [
        path for picture in contents.pictures for path in figures.save(picture, contents.measurements, folder)
    ]
    if contents.curves:
        pictures += [
            path for name in LEARNING_FIGURES for path in learning_figures.save(name, contents.curves, folder)
        ]
    for frame in contents.frames:
        pictures += frame_pictures.save(frame, contents.scenario, folder)
    texts = report.write(contents)
    # Last, since the pictures are in it.
    return Drawn(contents, (*texts, *pictures, page.write(contents)))


def discard_pictures(folder: Path) -> None:
    """Remove every picture, and the frame that some show: results of other settings take their place."""
    for kind in FORMATS:
        for path in (*folder.glob(f"fig*.{kind}"), *folder.glob(f"{frame_pictures.NAME}-*.{kind}")):
            path.unlink()
    for path in folder.glob(f"{frame_pictures.NAME}-*.npz"):
        path.unlink()
