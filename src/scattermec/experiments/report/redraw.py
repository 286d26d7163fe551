"""All that readers see of a reproduction, drawn from what lies in its folder; nothing is computed."""

from dataclasses import dataclass
from pathlib import Path

from scattermec.experiments.report import figures, frame_pictures, learning_figures, markdown, page
from scattermec.experiments.report.captions import LEARNING_FIGURES
from scattermec.experiments.report.contents import Contents, read
from scattermec.experiments.studies.frame import Frames
from scattermec.pictures.style import FORMATS


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
    texts = markdown.write(contents)
    # Last, since the pictures are in it.
    return Drawn(contents, (*texts, *pictures, page.write(contents)))


def discard_pictures(folder: Path) -> None:
    """Remove every picture: results of other settings take their place."""
    for kind in FORMATS:
        for path in (*folder.glob(f"fig*.{kind}"), *folder.glob(f"{Frames.name}-*.{kind}")):
            path.unlink()
