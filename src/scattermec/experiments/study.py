"""What a study has found so far, in a file of its own beside the settings that it was found with."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from scattermec.errors import InputError
from scattermec.storage import replace_text


def read(path: Path) -> tuple[dict[str, Any], Any]:
    """Settings and findings of a study's file; raises InputError if it cannot be read."""
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
        return dict(data["settings"]), data["found"]
    except (OSError, ValueError, KeyError, TypeError):
        raise InputError([f"{path}: is damaged; delete it to have it made anew"]) from None


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
