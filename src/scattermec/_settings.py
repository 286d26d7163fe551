"""Settings: typed, documented constants, whose faults are all reported at once."""

import difflib
import math
import operator
import os
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, ClassVar, TypeVar, get_args

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator
from pydantic.fields import FieldInfo

from scattermec._units import UnitError, converted, example
from scattermec._yaml import MOST_BYTES, parse, show
from scattermec.errors import InputError
from scattermec.storage.atomic import naming, replace_text

__all__ = ["FileSettings", "Settings", "constant", "notes_of"]

_S = TypeVar("_S", bound="FileSettings")

# One condition of a rule such as `> 0 and <= 1`.
_RULE = re.compile(r"(>=|<=|>|<) (\S+)")
_COMPARISONS: dict[str, Callable[[Any, Any], bool]] = {
    ">": operator.gt,
    ">=": operator.ge,
    "<": operator.lt,
    "<=": operator.le,
}


def _conditions(rule: str) -> list[tuple[str, float]]:
    """The comparisons in a rule about numbers; empty for other rules."""
    found = [_RULE.fullmatch(part) for part in rule.split(" and ")]
    return [(one[1], float(one[2])) for one in found if one]


def constant(default: Any, symbol: str, unit: str, rule: str, description: str) -> Any:
    """A field with its documentation, as shown in written files and in faults."""
    extra: dict[str, Any] = {"symbol": symbol, "unit": unit, "rule": rule}
    if description.endswith(":"):  # a choice: its comment lists the options
        description += " " + rule
    return Field(default, description=description, json_schema_extra=extra)


class Settings(BaseModel):
    """Immutable settings, each a `constant`; all faults are reported at once, as one `InputError`."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    _error: ClassVar[type[InputError]] = InputError
    """exception raised"""
    _also_allowed: ClassVar[Mapping[Any, str]] = {}
    """field type: values allowed in addition to those of its rule"""
    _derived: ClassVar[Mapping[str, str]] = {}
    """derived quantity: the setting it comes from"""

    def __init__(self, /, **data: Any) -> None:
        data = {name: _plain(value) for name, value in data.items()}
        # Checked here, since pydantic cannot show every name.
        unknown = [name for name in data if name not in type(self).model_fields]
        data = {name: value for name, value in data.items() if name not in unknown}
        faults: list[str] = []
        failed: set[str] = set()
        try:
            super().__init__(**data)
        except ValidationError as error:
            lines, failed = _field_faults(type(self), data, error)
            faults += lines
            # Checks across fields still apply to the valid fields, so build with those alone.
            super().__init__(**{name: value for name, value in data.items() if name not in failed})
        faults += [f"{name[:80]}: {_unknown(name, type(self))}" for name in unknown]
        faults += [line for names, line in self._cross_faults() if failed.isdisjoint(names)]
        if faults:
            raise self._error(faults)

    @classmethod
    def one(cls, name: str, value: Any) -> Any:
        """The value of one setting as it is kept; raises if it is not allowed whatever the others are."""
        if name not in cls.model_fields:
            raise cls._error([f"{name[:80]}: {_unknown(name, cls)}"])
        made, data = cls.__new__(cls), {name: _plain(value)}
        try:
            BaseModel.__init__(made, **data)
        except ValidationError as error:
            raise cls._error(_field_faults(cls, data, error)[0]) from None
        return getattr(made, name)

    def _cross_faults(self) -> Iterator[tuple[tuple[str, ...], str]]:
        """Faults across fields: the names of the fields involved, and the line."""
        yield from ()

    @field_validator("*", mode="before")
    @classmethod
    def _in_its_unit(cls, value: Any, info: Any) -> Any:
        # Numbers may be texts with a unit, such as "36 dBm"; other texts are left to be refused.
        field = cls.model_fields[info.field_name]
        if not isinstance(value, str | tuple) or not _takes_numbers(field.annotation):
            return value
        unit = notes_of(field)["unit"]
        try:
            return _converted(value, unit)
        except UnitError as error:
            allowed = cls._allowed(info.field_name)
            raise ValueError(f'{allowed}, also with a unit as in "{example(unit)}"; {error}') from None

    @field_validator("*")
    @classmethod
    def _obeys_its_rule(cls, value: Any, info: Any) -> Any:
        # `info` is a ValidationInfo, a protocol that runtime type checkers cannot check.
        field = cls.model_fields[info.field_name]
        rule = notes_of(field)["rule"]
        conditions = _conditions(rule)
        for number in _numbers(value):
            if not _is_finite(number):
                raise ValueError(cls._allowed(info.field_name))
            if not all(_COMPARISONS[sign](number, limit) for sign, limit in conditions):
                raise ValueError(_with_unit(rule, field))
        return value

    @classmethod
    def _allowed(cls, name: str) -> str:
        """The allowed values of a field, in words."""
        field = cls.model_fields[name]
        rule = notes_of(field)["rule"]
        if _conditions(rule):
            rule = f"{'an integer' if field.annotation is int else 'a finite number'} {rule}"
        if field.annotation in cls._also_allowed:
            rule += f", or {cls._also_allowed[field.annotation]}"
        return _with_unit(rule, field)


class FileSettings(Settings):
    """Settings that are written to files and read from them, as YAML with a comment on every line."""

    _title: ClassVar[str] = "settings"
    """name of these settings in messages"""
    _sections: ClassVar[Mapping[str, str]] = {}
    """first constant of a section: its heading"""

    @classmethod
    def from_yaml(cls: type[_S], text: str, folder: str | os.PathLike[str] = ".") -> _S:
        """Read YAML (or JSON) text; constants that it omits keep their defaults.

        Relative paths in it are relative to `folder`.
        """
        data, faults = parse(text)
        if data is None:
            data = {}
        if not isinstance(data, dict):
            faults.append(f"{cls._title} must be a mapping of names to values, not {show(data)}")
            data = {}
        cls._resolve(data, folder)
        return cls._build(data, faults)

    @classmethod
    def load(cls: type[_S], path: str | os.PathLike[str]) -> _S:
        """Read a YAML or JSON file. Faults begin with its name; paths in it are relative to its folder."""
        try:
            with naming(Path(path)), open(path, "rb") as file:
                text = file.read(4 * MOST_BYTES + 1).decode("utf-8-sig")
        except OSError as error:
            raise cls._error([f"{os.fspath(path)}: cannot be read: {error.strerror}"]) from error
        except UnicodeDecodeError as error:
            raise cls._error([f"{os.fspath(path)}: is not UTF-8 text"]) from error
        try:
            return cls.from_yaml(text, folder=Path(path).parent)
        except InputError as error:
            raise cls._error(f"{os.fspath(path)}: {fault}" for fault in error.faults) from None

    def to_yaml(self) -> str:
        """YAML with one commented line per constant; `from_yaml` restores an equal object."""
        lines: list[str] = []
        for name, field in type(self).model_fields.items():
            if name in self._sections:
                lines += ["", f"# {self._sections[name]}"]
            notes = notes_of(field)
            note = " ".join(filter(None, (field.description, notes["symbol"])))
            unit = f" [{notes['unit']}]" if notes["unit"] else ""
            lines.append(f"{name + ': ' + show(getattr(self, name)):<34}  # {note}{unit}")
        return "\n".join(lines).lstrip("\n") + "\n"

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write `to_yaml()` to a file."""
        replace_text(Path(path), self.to_yaml())

    def with_settings(self: _S, settings: Iterable[str]) -> _S:
        """A copy with settings such as `ap_power=2` or `rectifier.saturation=2`; values are YAML."""
        data = self.model_dump()
        faults: list[str] = []
        for setting in settings:
            path, equals, text = setting.partition("=")
            name, dot, part = path.strip().partition(".")
            if not (equals and name):
                faults.append(f"{setting[:80]}: is not a setting; write name=value")
                continue
            value, broken = parse(text)
            if broken:
                faults += [f"{path.strip()[:80]}: {fault}" for fault in broken]
            elif not dot or name not in data:
                data[name] = value
            elif isinstance(data[name], dict):
                data[name][part] = value
            else:
                faults.append(f"{path.strip()[:80]}: unknown; {name[:80]} has no parts")
        return self._build(data, faults)

    def replace(self: _S, **changes: Any) -> _S:
        """A copy with some constants changed, validated like any other."""
        kept = {name: getattr(self, name) for name in type(self).model_fields}
        return type(self)(**{**kept, **changes})

    @classmethod
    def _build(cls: type[_S], data: dict[str, Any], faults: list[str]) -> _S:
        """Construct from `data`, adding its faults to those already found."""
        try:
            settings = cls(**data)
        except InputError as error:
            raise cls._error([*faults, *error.faults]) from None
        if faults:
            raise cls._error(faults)
        return settings

    @classmethod
    def _resolve(cls, data: dict[str, Any], folder: str | os.PathLike[str]) -> None:
        """Resolve relative paths in ``data`` against ``folder``."""


def notes_of(field: FieldInfo) -> dict[str, Any]:
    """Symbol, unit and rule of a `constant`."""
    return field.json_schema_extra if isinstance(field.json_schema_extra, dict) else {}


def _plain(value: Any) -> Any:
    """`value` with lists as tuples, NumPy values as Python values, and paths as strings."""
    if hasattr(value, "tolist"):
        value = value.tolist()
    if isinstance(value, list | tuple):
        return tuple(map(_plain, value))
    if isinstance(value, dict):
        return {name: _plain(part) for name, part in value.items()}
    return os.fspath(value) if isinstance(value, os.PathLike) else value


def _takes_numbers(annotation: Any) -> bool:
    return annotation is float or any(map(_takes_numbers, get_args(annotation)))


def _converted(value: Any, unit: str) -> Any:
    """`value` with every text that is a number with a unit as that number in ``unit``."""
    if isinstance(value, tuple):
        return tuple(_converted(part, unit) for part in value)
    number = converted(value, unit) if isinstance(value, str) else None
    return value if number is None else number


def _numbers(value: Any) -> Iterator[float]:
    if isinstance(value, tuple):
        for part in value:
            yield from _numbers(part)
    elif isinstance(value, int | float):
        yield value


def _is_finite(number: int | float) -> bool:
    try:
        return math.isfinite(number)
    except OverflowError:  # an integer too large for a float
        return False


def _with_unit(rule: str, field: FieldInfo) -> str:
    unit = notes_of(field)["unit"]
    return f"{rule} ({unit})" if unit else rule


def _field_faults(
    model: type[Settings], data: dict[str, Any], error: ValidationError
) -> tuple[list[str], set[str]]:
    """One line per field that pydantic found wrong (or per part of it), and the fields' names."""
    lines: dict[str, list[str]] = {}
    for details in error.errors(include_url=False):
        name = str(details["loc"][0])
        cause = details.get("ctx", {}).get("error")
        if name in lines:  # a union reports each of its members
            continue
        if isinstance(cause, InputError):
            lines[name] = [f"{name}.{fault}" for fault in cause.faults]
        else:
            allowed = cause or model._allowed(name)
            lines[name] = [f"{name}: {show(data[name], 80)} is not allowed; it must be {allowed}"]
    return [line for part in lines.values() for line in part], set(lines)


def _unknown(name: str, model: type[Settings]) -> str:
    if name in model._derived:
        return f"cannot be set; it follows from {model._derived[name]}"
    near = difflib.get_close_matches(name, model.model_fields, n=1)
    return f"unknown; did you mean {near[0]}?" if near else "unknown; no constant has a name like it"
