"""Files of frames and of solutions, streamed in bounded memory; output files are complete or absent."""

from scattermec.errors import InputError
from scattermec.storage.arrays import Header, open_arrays
from scattermec.storage.atomic import replace_text
from scattermec.storage.frames import FrameChunk, FrameFile, open_frames
from scattermec.storage.writer import ArrayWriter

__all__ = [
    "ArrayWriter",
    "FrameChunk",
    "FrameFile",
    "Header",
    "InputError",
    "open_arrays",
    "open_frames",
    "replace_text",
]
