"""The `run` section of a scenario, made from the simulator's record of run options."""

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import BeforeValidator, Discriminator, Field, Tag, create_model

from hw.input import Dimension, Efficiency, QuantityOf, Seconds, Sign, Spec
from simulator import Holds, RunOption, run_options


def _whose(value: object) -> str:
    return "of one chip" if isinstance(value, dict) else "of all"


OfAllOrOne = Annotated[
    Annotated[Efficiency, Tag("of all")] | Annotated[dict[str, Efficiency], Tag("of one chip")], Discriminator(_whose)
]
"""An efficiency of all chips, or those of one by resource."""


def _word(option: RunOption) -> Any:
    words: Any = Literal[option.words]
    if not option.earlier:
        return words

    def as_now(value: object) -> object:
        return option.earlier.get(value, value) if isinstance(value, str) else value

    # files that say what a word was called at first still run
    return Annotated[words, BeforeValidator(as_now)]


_TYPES: Mapping[Holds, Callable[[RunOption], Any]] = {
    Holds.WORD: _word,
    Holds.NAME: lambda _option: str,
    Holds.FLAG: lambda _option: Annotated[bool, Field(strict=True)],
    Holds.TIME: lambda _option: Seconds,
    Holds.SHARE: lambda _option: Annotated[float, QuantityOf(Dimension.RATIO, Sign.NOT_NEGATIVE), Field(lt=1)],
    Holds.EFFICIENCIES: lambda _option: dict[str, OfAllOrOne],
}
"""What each sort of option is in a file."""


def _field(option: RunOption) -> tuple[Any, Any]:
    said: dict[str, Any] = {"description": option.about.replace("`", "")}
    if option.holds is Holds.NAME and option.words:
        said["json_schema_extra"] = {"enum": list(option.words)}
    kind = _TYPES[option.holds](option)
    if option.holds is Holds.EFFICIENCIES:
        return kind, Field(default_factory=dict, **said)
    return (kind | None if option.default is None else kind), Field(default=option.default, **said)


if TYPE_CHECKING:

    class RunSpec(Spec):
        """How the run is modelled; its fields are those of `run_options()`."""

        def __getattr__(self, name: str) -> Any: ...

else:
    RunSpec = create_model(
        "RunSpec",
        __base__=Spec,
        __module__=__name__,
        __doc__="How the run is modelled.",
        **{option.key: _field(option) for option in run_options()},
    )
