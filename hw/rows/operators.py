"""The operators that a number has, each led back to one of five ways to work it out."""

from __future__ import annotations

import math
import operator
from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any

import numpy

Work = Callable[[Any, Any], Any]


class Operators(ABC):
    """What Python asks of a number. Operands are those that a user wrote, in their order."""

    __slots__ = ()

    @abstractmethod
    def _compared(self, other: Any, work: Work) -> Any:
        """Whether this number is equal to another, less, and so on."""

    @abstractmethod
    def _summed(self, one: Any, other: Any, work: Work) -> Any:
        """A sum, difference or product of two of which this is one."""

    @abstractmethod
    def _divided(self, one: Any, other: Any, work: Work) -> Any:
        """A quotient, or what remains, of two of which this is one."""

    @abstractmethod
    def _signed(self, work: Callable[[Any], Any]) -> Any:
        """The number with another sign."""

    @abstractmethod
    def _rounded(self, work: Callable[[Any], int], of_array: Callable[[Any], Any]) -> Any:
        """A whole number nearby."""

    @abstractmethod
    def _each(self, work: Callable[..., Any], *operands: Any) -> Any:
        """Anything else."""

    @abstractmethod
    def __hash__(self) -> int: ...

    def __lt__(self, other: Any) -> Any:
        return self._compared(other, operator.lt)

    def __le__(self, other: Any) -> Any:
        return self._compared(other, operator.le)

    def __gt__(self, other: Any) -> Any:
        return self._compared(other, operator.gt)

    def __ge__(self, other: Any) -> Any:
        return self._compared(other, operator.ge)

    def __eq__(self, other: Any) -> Any:
        return self._compared(other, operator.eq)

    def __ne__(self, other: Any) -> Any:
        return self._compared(other, operator.ne)

    def __add__(self, other: Any) -> Any:
        return self._summed(self, other, operator.add)

    def __radd__(self, other: Any) -> Any:
        return self._summed(other, self, operator.add)

    def __sub__(self, other: Any) -> Any:
        return self._summed(self, other, operator.sub)

    def __rsub__(self, other: Any) -> Any:
        return self._summed(other, self, operator.sub)

    def __mul__(self, other: Any) -> Any:
        return self._summed(self, other, operator.mul)

    def __rmul__(self, other: Any) -> Any:
        return self._summed(other, self, operator.mul)

    def __truediv__(self, other: Any) -> Any:
        return self._divided(self, other, operator.truediv)

    def __rtruediv__(self, other: Any) -> Any:
        return self._divided(other, self, operator.truediv)

    def __floordiv__(self, other: Any) -> Any:
        return self._divided(self, other, operator.floordiv)

    def __rfloordiv__(self, other: Any) -> Any:
        return self._divided(other, self, operator.floordiv)

    def __mod__(self, other: Any) -> Any:
        return self._divided(self, other, operator.mod)

    def __rmod__(self, other: Any) -> Any:
        return self._divided(other, self, operator.mod)

    def __pow__(self, other: Any) -> Any:
        return self._each(operator.pow, self, other)

    def __rpow__(self, other: Any) -> Any:
        return self._each(operator.pow, other, self)

    def __neg__(self) -> Any:
        return self._signed(operator.neg)

    def __pos__(self) -> Any:
        return self._signed(operator.pos)

    def __abs__(self) -> Any:
        return self._signed(abs)

    def __round__(self, digits: int | None = None) -> Any:
        if digits is None:
            return self._rounded(round, numpy.rint)
        return self._each(round, self, digits)

    def __ceil__(self) -> Any:
        return self._rounded(math.ceil, numpy.ceil)

    def __floor__(self) -> Any:
        return self._rounded(math.floor, numpy.floor)

    def __trunc__(self) -> Any:
        return self._rounded(math.trunc, numpy.trunc)
