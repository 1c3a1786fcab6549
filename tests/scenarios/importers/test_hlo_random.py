"""Random modules with random shardings: each becomes a program that runs, and a chip has an eighth to do, or up to all."""

from __future__ import annotations

import random
import re
from pathlib import Path

import pytest

from tests.scenarios.importers.test_hlo import made, words

SIZES = (8, 16, 24, 30, 64)
Sizes = tuple[int, ...]


def typed(dims: Sizes) -> str:
    return f"tensor<{'x'.join(map(str, dims))}xf32>"


class Module:
    """A module in the making: twelve ops, each on one of the last four arrays. Axes are on any dims, whether these divide or
    not."""

    def __init__(self, seed: int) -> None:
        self.draw = random.Random(seed)
        self.lines: list[str] = []
        self.arrays: list[tuple[str, Sizes]] = []
        given = [tuple(self.draw.choice(SIZES) for _ in range(self.draw.choice((2, 2, 3)))) for _ in range(3)]
        for at, dims in enumerate(given):
            self.arrays.append((f"%arg{at}", dims))
        arguments = ", ".join(f"{name}: {typed(dims)} {self.said(dims)}" for name, dims in self.arrays)
        for _ in range(12):
            name, dims = self.draw.choice(self.arrays[-4:])
            self.draw.choice([self.shaped, self.multiplied, self.added, self.constrained])(name, dims)
        last, dims = self.arrays[-1]
        head = f"func.func public @main({arguments}) -> ({typed(dims)} {self.said(dims)}) {{"
        body = "\n".join(f"    {line}" for line in self.lines)
        mesh = 'sdy.mesh @mesh = <["d"=2, "m"=4]>'
        self.text = f"module @m attributes {{mhlo.num_partitions = 8 : i32}} {{\n  {mesh}\n  {head}\n{body}\n"
        self.text += (
            f"    %last = stablehlo.negate {last} : {typed(dims)}\n    return %last : {typed(dims)}\n  }}\n}}\n"
        )

    def sharding(self, dims: Sizes) -> str:
        axes: list[list[str]] = [[] for _ in dims]
        for axis in ("d", "m"):
            if self.draw.random() < 0.7:
                self.draw.choice(axes).append(f'"{axis}"')
        return f"<@mesh, [{', '.join('{' + ', '.join(each) + '}' for each in axes)}]>"

    def said(self, dims: Sizes) -> str:
        return f"{{sdy.sharding = #sdy.sharding{self.sharding(dims)}}}"

    def add(self, op: str, dims: Sizes) -> str:
        name = f"%{len(self.lines)}"
        self.lines.append(f"{name} = {op}")
        self.arrays.append((name, dims))
        return name

    def shaped(self, name: str, dims: Sizes) -> None:
        """Turned, reshaped, or a part of it."""
        order = list(range(len(dims)))
        self.draw.shuffle(order)
        turned = tuple(dims[at] for at in order)
        name = self.add(f"stablehlo.transpose {name}, dims = {order} : ({typed(dims)}) -> {typed(turned)}", turned)
        flat = (turned[0] * turned[1], *turned[2:])
        folded = flat if len(turned) == 3 else (2, turned[0] // 2, turned[1])
        if turned[0] % 2 == 0 or len(turned) == 3:
            self.add(f"stablehlo.reshape {name} : ({typed(turned)}) -> {typed(folded)}", folded)

    def multiplied(self, name: str, dims: Sizes) -> None:
        weight = dims[-1], self.draw.choice(SIZES)
        made_ = (*dims[:-1], weight[1])
        whole = self.add(f"stablehlo.constant dense<1.0> : {typed(weight)}", weight)
        self.constrained(whole, weight)
        factor = self.arrays[-1][0]
        contracted = f"contracting_dims = [{len(dims) - 1}] x [0]"
        kinds = f"({typed(dims)}, {typed(weight)}) -> {typed(made_)}"
        self.add(f"stablehlo.dot_general {name}, {factor}, {contracted} : {kinds}", made_)

    def added(self, name: str, dims: Sizes) -> None:
        other = self.draw.choice([each for each, sizes in self.arrays if sizes == dims])
        self.add(f"stablehlo.add {name}, {other} : {typed(dims)}", dims)

    def constrained(self, name: str, dims: Sizes) -> None:
        self.add(f"sdy.sharding_constraint {name} {self.sharding(dims)} : {typed(dims)}", dims)


def unsharded(text: str) -> str:
    """The same without a word of shardings."""
    text = re.sub(r"sdy\.sharding = #sdy\.sharding<@mesh, \[[^\]]*\]>", "", text)
    text = re.sub(r"sdy\.sharding_constraint (%\w+) <@mesh, \[[^\]]*\]>", r"stablehlo.optimization_barrier \1", text)
    return re.sub(r"sdy\.mesh.*", "", text).replace("num_partitions = 8", "num_partitions = 1")


@pytest.mark.parametrize("seed", range(20))
def test_a_chip_has_at_most_all_to_do(tmp_path: Path, seed: int) -> None:
    text = Module(seed).text
    part, whole = (words(made(tmp_path, each))["flops"] for each in (text, unsharded(text)))
    assert whole / 8 <= part * (1 + 1e-9)
    assert part <= whole * (1 + 1e-9)
