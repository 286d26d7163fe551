"""YAML for settings: values are read together with their faults, and shown on one line."""

import math
import re
from typing import Any, NoReturn

import yaml
from pydantic import BaseModel

from scattermec.errors import one_line

__all__ = ["MOST_BYTES", "MOST_DEPTH", "parse", "show"]

MOST_BYTES, MOST_DEPTH, MOST_VALUES = 1 << 18, 16, 50_000
"""Limits of a text: characters, nesting of lists and mappings, values (counting those of aliases)."""


def parse(text: str) -> tuple[Any, list[str]]:
    """The value of a YAML text, and its faults. Fast for any text."""
    if len(text) > MOST_BYTES:
        return None, [f"has {len(text):,} characters; it must have at most {MOST_BYTES:,}"]
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
    except (ValueError, OverflowError) as error:  # such as an escape of a character that does not exist
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
    elif isinstance(value, int) and abs(value) >= 10**100:
        text = "an integer of more than 100 digits"
    elif isinstance(value, str) and not _is_text(value):
        text = f'"{one_line(value)}"'
    elif isinstance(value, bool | int | float | str | None):
        # Quotes keep a string a string, and on one line.
        style = '"' if isinstance(value, str) else None
        text = yaml.safe_dump(value, default_style=style, width=math.inf, allow_unicode=True)
        text = text.removesuffix("...\n").rstrip("\n")
    else:
        text = " ".join(repr(value).split())
    return text if width is None or len(text) <= width else text[: width - 3] + "..."


def _is_text(value: str) -> bool:
    """Whether a string can be written to a file: it has no lone surrogate."""
    return not any("\ud800" <= character <= "\udfff" for character in value)


_NUMERIC = list("-+.0123456789")  # what a number may begin with


class _Loader(yaml.SafeLoader):
    """YAML with plain decimal numbers (1e-9 is one, 1:30 and 0x1F are not) and no duplicate keys."""

    yaml_implicit_resolvers = {  # noqa: RUF012
        first: [(tag, pattern) for tag, pattern in pairs if tag.split(":")[-1] in ("bool", "null", "merge")]
        for first, pairs in yaml.SafeLoader.yaml_implicit_resolvers.items()
    }

    # Other tags, such as dates, are unknown.
    yaml_constructors = {  # noqa: RUF012
        tag: construct
        for tag, construct in yaml.SafeLoader.yaml_constructors.items()
        if tag is None or tag.split(":")[-1] in ("null", "bool", "int", "float")
    }

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self.faults: list[str] = []
        self._depth = self._values = 0
        self._sizes: dict[str, int] = {}

    def compose_node(self, parent: yaml.Node | None, index: Any) -> yaml.Node | None:
        event = self.peek_event()
        if isinstance(event, yaml.AliasEvent):
            self._count(self._sizes.get(event.anchor or "", 1), event)
            return super().compose_node(parent, index)
        if self._depth > MOST_DEPTH:
            self._refuse(f"more than {MOST_DEPTH} lists and mappings within each other", event)
        before = self._values
        self._count(1, event)
        self._depth += 1
        node = super().compose_node(parent, index)
        self._depth -= 1
        anchor = getattr(event, "anchor", None)
        if anchor is not None:
            self._sizes[anchor] = self._values - before
        return node

    def _count(self, values: int, event: Any) -> None:
        self._values += values
        if self._values > MOST_VALUES:
            self._refuse(f"more than {MOST_VALUES:,} values, those of aliases included", event)

    def _refuse(self, what: str, event: Any) -> NoReturn:
        raise yaml.composer.ComposerError(None, None, f"it has {what}", event.start_mark)

    def construct_object(self, node: yaml.Node, deep: bool = False) -> Any:
        try:
            return super().construct_object(node, deep)
        except (ValueError, LookupError, OverflowError):  # a scalar that contradicts its tag
            kind, shown = node.tag.split(":")[-1], show(node.value, 40)
            raise yaml.constructor.ConstructorError(
                None, None, f"{shown} is not of the type {kind}", node.start_mark
            ) from None

    def text(self, node: yaml.ScalarNode) -> str:
        # JSON writes characters beyond 16 bits as pairs of escapes.
        value = str(self.construct_scalar(node)).encode("utf-16", "surrogatepass").decode("utf-16", "replace")
        if "\ufffd" in value and "\ufffd" not in node.value:
            raise yaml.constructor.ConstructorError(
                None, None, f"{show(node.value, 40)} has half a character", node.start_mark
            )
        return value

    def sequence(self, node: yaml.Node) -> list[Any]:
        # Unlike the base class, build at once, so that a list that contains itself is an error.
        if not isinstance(node, yaml.SequenceNode):  # tagged as a list, but is none
            raise yaml.constructor.ConstructorError(None, None, "a list is expected", node.start_mark)
        return self.construct_sequence(node, deep=True)

    def mapping(self, node: yaml.Node) -> dict[Any, Any]:
        lines: dict[str, int] = {}
        if not isinstance(node, yaml.MappingNode):  # tagged as a mapping, but is none
            raise yaml.constructor.ConstructorError(None, None, "a mapping is expected", node.start_mark)
        for key, _ in node.value:
            line = key.start_mark.line + 1
            if key.tag == "tag:yaml.org,2002:merge":
                continue
            if key.tag != "tag:yaml.org,2002:str":
                shown = one_line(key.value)[:40] if isinstance(key, yaml.ScalarNode) else "a list or mapping"
                raise yaml.constructor.ConstructorError(None, None, f"{shown} is not a name", key.start_mark)
            if key.value in lines:
                self.faults.append(f"{key.value}: is given twice, in lines {lines[key.value]} and {line}")
            lines[key.value] = line
        return self.construct_mapping(node, deep=True)


_Loader.add_constructor("tag:yaml.org,2002:str", _Loader.text)
_Loader.add_constructor("tag:yaml.org,2002:seq", _Loader.sequence)
_Loader.add_constructor("tag:yaml.org,2002:map", _Loader.mapping)
_Loader.add_implicit_resolver("tag:yaml.org,2002:int", re.compile(r"[-+]?(0|[1-9][0-9]*)$"), _NUMERIC)
_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:float",
    re.compile(r"([-+]?([0-9]+\.?[0-9]*|\.[0-9]+)(e[-+]?[0-9]+)?|[-+]?\.inf|\.nan)$", re.IGNORECASE),
    _NUMERIC,
)
