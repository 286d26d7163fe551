"""What a study has found so far, in a file of its own beside the settings that it was found with."""

import contextlib
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from scattermec.errors import InputError
from scattermec.storage import replace_text
from scattermec.storage.texts import read_object


@contextlib.contextmanager
def damaged(path: Path) -> Iterator[None]:
    """Raise InputError, naming the file, where what was read from it is not what it should be."""
    try:
        yield
    except InputError:
        raise
    except (LookupError, TypeError, ValueError, AttributeError, ArithmeticError):
        raise InputError([f"{path}: is damaged; delete it to have it made anew"]) from None


def read(path: Path) -> tuple[dict[str, Any], Any]:
    """Settings and findings of a study's file; raises InputError if it cannot be read."""
    data = read_object(path)
    with damaged(path):
        return dict(data["settings"]), data["found"]


def kept(path: Path, settings: Mapping[str, Any]) -> Any:
    """Findings that are there already, None without a file; raises InputError for other settings."""
    if not path.exists():
        return None
    there, found = read(path)
    if there != json.loads(json.dumps(settings)):
        raise InputError([f"{path}: was made with other settings; choose another folder, or --overwrite"])
    return found


def write(path: Path, settings: Mapping[str, Any], found: Any) -> None:
    """Replace the file as a whole, so that an interruption leaves the one before."""
    replace_text(path, json.dumps({"settings": settings, "found": found}, indent=1) + "\n")
