"""All outputs of a reproduction for readers, drawn from its folder; nothing is computed."""

from dataclasses import dataclass
from pathlib import Path

from scattermec.experiments.report import figures, frame_pictures, learning_figures, markdown, overview, page
from scattermec.experiments.report.captions import LEARNING_FIGURES
from scattermec.experiments.report.contents import Contents, read
from scattermec.experiments.studies.frame import Frames
from scattermec.pictures.style import FORMATS


@dataclass(frozen=True)
class Drawn:
    """Results of `redraw`."""

    contents: Contents
    files: tuple[Path, ...]


def redraw(folder: Path) -> Drawn:
    """Draw and judge everything complete in the folder of a reproduction.

    Raises InputError if the folder holds no results, or unreadable ones.
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
    pictures += overview.save(contents, folder)
    texts = markdown.write(contents)
    # The page comes last, since it contains the pictures.
    return Drawn(contents, (*texts, *pictures, page.write(contents)))


def discard_pictures(folder: Path) -> None:
    """Remove every picture, to make room for results of other settings."""
    for kind in FORMATS:
        for stem in ("fig*", f"{Frames.name}-*", overview.STEM):
            for path in folder.glob(f"{stem}.{kind}"):
                path.unlink()
