"""YAML as people write it: values read with their faults, and shown on one line."""

import math
import re
from typing import Any

import yaml
from pydantic import BaseModel

__all__ = ["parse", "show"]


def parse(text: str) -> tuple[Any, list[str]]:
    """The value of a YAML text, and what is wrong with it."""
    try:
        loader = _Loader(text)
        return loader.get_single_data(), loader.faults
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark
        place = f"line {mark.line + 1}, column {mark.column + 1}: " if mark else ""
        reason = ", ".join(filter(None, (error.context, error.problem)))
        return None, [f"{place}not valid YAML: {reason}"]
    except yaml.YAMLError as error:  # a character that YAML does not allow
        return None, [f"not valid YAML: {' '.join(str(error).split())}"]
    except RecursionError:
        return None, ["not valid YAML: nested too deeply"]
    except ValueError as error:  # such as a value that its own tag does not allow
        return None, [f"not valid YAML: {error}"]


def show(value: Any, width: int | None = None) -> str:
    """`value` as one line of YAML, at most about `width` characters of it."""
    if isinstance(value, BaseModel):
        value = value.model_dump()
    if isinstance(value, tuple | list):
        text = "[" + ", ".join(map(show, value)) + "]"
    elif isinstance(value, dict):
        text = "{" + ", ".join(f"{name}: {show(part)}" for name, part in value.items()) + "}"
    elif isinstance(value, str) and value.isidentifier():
        text = value
    elif isinstance(value, bool | int | float | str | None):
        # Quotes keep a string a string, on one line whatever is in it.
        style = '"' if isinstance(value, str) else None
        text = yaml.safe_dump(value, default_style=style, width=math.inf, allow_unicode=True)
        text = text.removesuffix("...\n").rstrip("\n")
    else:
        text = " ".join(repr(value).split())
    return text if width is None or len(text) <= width else text[: width - 3] + "..."


_NUMERIC = list("-+.0123456789")  # what a number may begin with


class _Loader(yaml.SafeLoader):
    """YAML with plain decimal numbers (1e-9 is one, 1:30 and 0x1F are not) and no duplicate keys."""

    yaml_implicit_resolvers = {  # noqa: RUF012
        first: [(tag, pattern) for tag, pattern in pairs if tag.split(":")[-1] in ("bool", "null", "merge")]
        for first, pairs in yaml.SafeLoader.yaml_implicit_resolvers.items()
    }

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self.faults: list[str] = []

    def sequence(self, node: yaml.SequenceNode) -> list[Any]:
        # Built at once, unlike the base class's: a list inside itself is then an error.
        return self.construct_sequence(node, deep=True)

    def mapping(self, node: yaml.MappingNode) -> dict[Any, Any]:
        lines: dict[str, int] = {}
        for key, _ in node.value:
            line = key.start_mark.line + 1
            if key.tag == "tag:yaml.org,2002:merge":
                continue
            if key.tag != "tag:yaml.org,2002:str":
                shown = key.value if isinstance(key, yaml.ScalarNode) else "a list or mapping"
                raise yaml.constructor.ConstructorError(None, None, f"{shown} is not a name", key.start_mark)
            if key.value in lines:
                self.faults.append(f"{key.value}: is given twice, in lines {lines[key.value]} and {line}")
            lines[key.value] = line
        return self.construct_mapping(node, deep=True)


_Loader.add_constructor("tag:yaml.org,2002:seq", _Loader.sequence)
_Loader.add_constructor("tag:yaml.org,2002:map", _Loader.mapping)
_Loader.add_implicit_resolver("tag:yaml.org,2002:int", re.compile(r"[-+]?(0|[1-9][0-9]*)$"), _NUMERIC)
_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:float",
    re.compile(r"([-+]?([0-9]+\.?[0-9]*|\.[0-9]+)(e[-+]?[0-9]+)?|[-+]?\.inf|\.nan)$", re.IGNORECASE),
    _NUMERIC,
)
