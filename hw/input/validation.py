"""From plain data to frozen pydantic models, with every complaint at its line and column.

`Spec` is the base of every description that a file can hold: frozen, no unknown keys. Quantities are annotated with
their dimension (`Annotated[float, QuantityOf(Dimension.BANDWIDTH)]`), so that a field states its unit once and the check,
the message and the JSON Schema follow from it. Modules of such descriptions say the types of fields as they are, without
`from __future__ import annotations`, wherever no class names itself: pydantic would compile each of them from its text.
"""

import types
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Annotated, Any, TypeVar, Union, get_args, get_origin

from pydantic import AfterValidator, BaseModel, ConfigDict, GetCoreSchemaHandler, GetJsonSchemaHandler, ValidationError
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema, core_schema

from hw.input.document import Document, Key
from hw.input.errors import Problems
from hw.input.units import Dimension, parse
from hw.input.wording import MOST_TOLD, cut, nearest, shown, unknown


class Spec(BaseModel):
    """Base of the descriptions that a file can hold: frozen data, unknown keys refused."""

    model_config = ConfigDict(frozen=True, extra="forbid", defer_build=True)  # built when one is first read

    def __repr__(self) -> str:
        given = (
            f"{name}={shown(getattr(self, name))}"
            for name in self.__class__.model_fields
            if name in self.model_fields_set
        )
        return cut(f"{type(self).__name__}({', '.join(given)})", 120)

    def __str__(self) -> str:
        return repr(self)


Key_ = TypeVar("Key_")
Value_ = TypeVar("Value_")


class FrozenMap(dict[Key_, Value_]):
    """A dict that cannot be changed: descriptions are shared by everyone who asks for them."""

    def _refuse(self, *_: Any, **__: Any) -> Any:
        raise TypeError("this mapping is part of a frozen description; make a changed copy with model_copy(update=...)")

    __setitem__ = __delitem__ = __ior__ = clear = pop = popitem = setdefault = update = _refuse

    def __reduce__(self) -> Any:
        return (type(self), (dict(self),))


Frozen = AfterValidator(FrozenMap)
"""Pydantic annotation: freeze a dict field."""


class Sign(Enum):
    """Which numbers make sense: a capacity is positive; a latency or a price may be 0."""

    POSITIVE = "more than 0"
    NOT_NEGATIVE = "0 or more"
    FRACTION = "more than 0 and at most 1"

    def allows(self, number: float) -> bool:
        """Whether `number` is in the range."""
        if self is Sign.NOT_NEGATIVE:
            return number >= 0
        return number > 0 and (self is Sign.POSITIVE or number <= 1)


@dataclass(frozen=True)
class QuantityOf:
    """Pydantic annotation: text with a unit, or a number in base units, becomes a float in base units."""

    dimension: Dimension
    sign: Sign = Sign.POSITIVE

    def __get_pydantic_core_schema__(self, _source: Any, _handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.no_info_plain_validator_function(self._check)

    def __get_pydantic_json_schema__(self, _schema: CoreSchema, _handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        unit = self.dimension.unit or "a plain number or %"
        return {"type": ["string", "number"], "description": f"{self.dimension.noun} ({unit}), {self.sign.value}"}

    def _check(self, value: object) -> float:
        number = parse(value, self.dimension)
        if not self.sign.allows(number):
            raise ValueError(f"'{value}' is out of range: {{key}} must be {self.sign.value}")
        return number


Seconds = Annotated[float, QuantityOf(Dimension.TIME, Sign.NOT_NEGATIVE)]
"""A time, not negative; from `2 us` or a number of seconds."""
Bytes = Annotated[float, QuantityOf(Dimension.DATA)]
BytesPerSecond = Annotated[float, QuantityOf(Dimension.BANDWIDTH)]
FlopsPerSecond = Annotated[float, QuantityOf(Dimension.FLOP_RATE)]
Hertz = Annotated[float, QuantityOf(Dimension.FREQUENCY)]
PositiveWatts = Annotated[float, QuantityOf(Dimension.POWER)]
Watts = Annotated[float, QuantityOf(Dimension.POWER, Sign.NOT_NEGATIVE)]
UsdPerHour = Annotated[float, QuantityOf(Dimension.PRICE, Sign.NOT_NEGATIVE)]
Efficiency = Annotated[float, QuantityOf(Dimension.RATIO, Sign.FRACTION)]
"""A share of a rate, above 0 and at most 1; from `85 %` or a number."""

Model = TypeVar("Model", bound=BaseModel)
Detail = Mapping[str, Any]
"""A mistake as pydantic has it."""

_WANTED: Mapping[str, str] = {
    "dict_type": "a mapping (key: value)",
    "model_type": "a mapping of {keys}",
    "list_type": "a list, as in [a, b]",
    "tuple_type": "a list, as in [a, b]",
    "too_short": "{min_length} or more entries",
    "too_long": "at most {max_length} entries",
    "string_type": "text",
    "bool_type": "true or false",
    "bool_parsing": "true or false",
    "int_type": "a whole number",
    "int_parsing": "a whole number",
    "int_from_float": "a whole number",
    "float_type": "a number",
    "float_parsing": "a number",
    "finite_number": "a finite number",
    "greater_than": "more than {gt}",
    "greater_than_equal": "{ge} or more",
    "less_than": "less than {lt}",
    "less_than_equal": "at most {le}",
    "literal_error": "{expected}",
    "string_too_short": "text that is not empty",
}
"""What is wanted where pydantic finds something else, by its name for the mistake; the names in braces are those of its
context, and the keys of the mapping."""


def validate(model: type[Model], document: Document, problems: Problems, at: Key = ()) -> Model | None:
    """The part of `document` under `at` as a `model`, or None after adding what is wrong to `problems`."""
    data: Any = document.data
    for part in at:
        data = data[part]
    if not isinstance(data, dict):
        problems.add(document.value_mark(at), f"{document.name_of(at) or 'the file'} wants a mapping (key: value)")
        return None
    try:
        return model.model_validate(data)
    except ValidationError as error:
        details = error.errors(include_url=False)
        misspelt = _misspelt(model, details)
        for detail in details:
            # a key that is only misspelt is not missing, too
            if detail["type"] not in _WANTED and not (detail["type"] == "missing" and loc_of(detail) in misspelt):
                _report(model, detail, document, problems, at)
        _report_wanted(model, [each for each in details if each["type"] in _WANTED], document, problems, at)
        return None


def _misspelt(model: type[BaseModel], details: Iterable[Detail]) -> set[Key]:
    """The missing keys that a strange one beside them may stand for."""
    missing = {loc_of(each) for each in details if each["type"] == "missing"}
    found: set[Key] = set()
    strange = [loc_of(each) for each in details if each["type"] == "extra_forbidden"] if missing else []
    for *above, name in strange[:MOST_TOLD]:
        meant = nearest(str(name), allowed_below(model, above))
        if meant is not None and (*above, meant) in missing:
            found.add((*above, meant))
    return found


def _report(model: type[BaseModel], detail: Detail, document: Document, problems: Problems, at: Key) -> None:
    loc = loc_of(detail)
    path = existing(document.data, (*at, *loc))
    if detail["type"] == "extra_forbidden":
        prefix = _dotted(path).removesuffix(str(loc[-1]))
        problems.add(document.key_mark(path), unknown("key", str(loc[-1]), allowed_below(model, loc[:-1]), prefix))
    elif detail["type"] == "missing":
        wanted = (*at, *loc)
        problems.add(document.value_mark(wanted), f"'{document.name_of(wanted)}' is missing")
    else:
        message = _message(detail).replace("{key}", document.name_of(path) or "the value")
        problems.add(document.value_mark(path), message)


def _report_wanted(
    model: type[BaseModel], details: Iterable[Detail], document: Document, problems: Problems, at: Key
) -> None:
    """Values of which something else is wanted: what may stand in one place is told together."""
    wanted: dict[Key, list[str]] = {}
    values: dict[Key, Any] = {}
    for detail in details:
        loc = loc_of(detail)
        path = existing(document.data, (*at, *loc))
        keys = ", ".join(allowed_below(model, loc))
        values[path] = detail["input"]
        wanted.setdefault(path, []).append(_WANTED[detail["type"]].format(keys=keys, **detail.get("ctx", {})))
    above = {path[:depth] for path in wanted for depth in range(len(path))}
    for path, either in wanted.items():
        if path in above:
            continue  # it may be of several kinds, and is of one of them: what is wrong is inside
        key = document.name_of(path) or "the value"
        message = f"{shown(values[path])} will not do for {key}: it wants {' or '.join(dict.fromkeys(either))}"
        problems.add(document.value_mark(path), message)


def loc_of(detail: Detail) -> Key:
    """Where a mistake is, as pydantic has it."""
    return tuple(part for part in detail["loc"] if part != "[key]")


def existing(data: Any, path: Key) -> Key:
    """The longest part of `path` that leads somewhere: pydantic adds steps of its own for unions."""
    kept: list[str | int] = []
    for part in path:
        try:
            data = data[part]
        except (KeyError, IndexError, TypeError):
            continue
        kept.append(part)
    return tuple(kept)


def _message(detail: Detail) -> str:
    cause = detail.get("ctx", {}).get("error")
    if isinstance(cause, ValueError):
        return str(cause)
    return f"{shown(detail['input'])} will not do for {{key}}: {_lower(str(detail['msg']))}"


def _lower(text: str) -> str:
    return text[:1].lower() + text[1:]


def _dotted(path: Iterable[str | int]) -> str:
    return ".".join(str(part) for part in path)


def allowed_below(model: type[BaseModel], loc: Iterable[str | int]) -> list[str]:
    """The keys that stand in the model reached from `model` by `loc`."""
    reached: type[BaseModel] | None = model
    for part in loc:
        if reached is None:
            break
        by_key = {field.alias or name: field.annotation for name, field in reached.model_fields.items()}
        if part in by_key:
            reached = _model_in(by_key[str(part)])
    return [field.alias or name for name, field in reached.model_fields.items()] if reached else []


def _model_in(annotation: Any) -> type[BaseModel] | None:
    """The model inside an annotation such as `Memory | None` or `dict[str, Link]`."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    if get_origin(annotation) in (Union, types.UnionType, dict, list, tuple, Annotated):
        return next(filter(None, (_model_in(part) for part in get_args(annotation))), None)
    return None
