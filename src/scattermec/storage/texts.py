"""Reading JSON from files that may be damaged."""

import json
from pathlib import Path
from typing import Any

from scattermec.errors import InputError

__all__ = ["read_object", "read_text"]


def read_text(path: Path) -> str:
    """Read a text file; raises InputError if it cannot be read or is not UTF-8."""
    try:
        return path.read_text(encoding="utf-8")
    except OSError as error:
        raise InputError([f"{path}: cannot be read: {error.strerror}"]) from None
    except UnicodeDecodeError:
        raise InputError([f"{path}: is not UTF-8 text"]) from None


def read_object(path: Path) -> dict[str, Any]:
    """Read a file with one JSON object; raises InputError if it cannot be read or contains anything else."""
    text = read_text(path)
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        raise InputError([f"{path}: is damaged: it is not JSON"]) from None
    if not isinstance(found, dict):
        raise InputError([f"{path}: is damaged: it must hold an object, names with values"])
    return found
