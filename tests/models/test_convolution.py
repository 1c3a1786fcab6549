"""Convolution stacks and graph networks: the shapes that their layers have, parameters and FLOPs."""

from __future__ import annotations

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from simulator.models import ConvNet, GraphNetwork, Stage, Work, forward_flops, layers, parameters


def test_a_convolution_is_a_matmul_over_every_place_of_its_image() -> None:
    net = ConvNet(
        name="one", image=32, stages=(Stage(kind="conv", channels=8, kernel=3), Stage(kind="linear", channels=5))
    )
    conv, linear = layers(net)
    assert (conv.in_size, conv.out_size, conv.padding) == (32, 32, 1)
    assert conv.flops == 2 * 3 * 3 * 3 * 8 * 32 * 32
    assert (linear.in_channels, linear.flops) == (8 * 32 * 32, 2 * 8 * 32 * 32 * 5)
    assert parameters(net).total == 3 * 3 * 3 * 8 + 8 + 8 * 32 * 32 * 5 + 5


@given(st.integers(1, 40), st.integers(1, 7), st.integers(1, 3), st.integers(0, 3))
def test_the_size_of_an_image_is_where_a_window_fits(image: int, kernel: int, stride: int, padding: int) -> None:
    net = ConvNet(
        name="one",
        image=image,
        stages=(Stage(kind="conv", channels=1, kernel=kernel, stride=stride, padding=padding),),
    )
    places = range(0, image + 2 * padding - kernel + 1, stride)
    assert layers(net)[0].out_size == len(places)


def test_a_residual_block_is_projected_where_its_shape_changes() -> None:
    stages = (Stage(kind="bottleneck", channels=4, stride=2, repeat=2),)
    net = ConvNet(name="residual", image=8, channels=16, stages=stages)
    made = layers(net)
    assert [layer.name for layer in made] == [
        "stages.0.0.around",
        "stages.0.0.conv0",
        "stages.0.0.conv1",
        "stages.0.0.conv2",
        "stages.0.1.conv0",
        "stages.0.1.conv1",
        "stages.0.1.conv2",
    ]
    by_name = {layer.name: layer for layer in made}
    assert by_name["stages.0.0.around"].reads == "image"
    assert by_name["stages.0.0.conv2"].adds == "stages.0.0.around"
    assert by_name["stages.0.1.conv2"].adds == "stages.0.0.conv2"
    assert [layer.out_size for layer in made] == [4, 8, 4, 4, 4, 4, 4]
    assert made[-1].out_channels == 16


def test_a_graph_layer_is_a_matmul_over_every_node() -> None:
    gcn = GraphNetwork(name="gcn", nodes=10, edges=30, features=7, widths=(5, 3))
    assert parameters(gcn).total == 7 * 5 + 5 + 5 * 3 + 3
    assert forward_flops(gcn, Work(1)).total == 2 * 10 * (7 * 5 + 5 * 3)
    assert gcn.summed == 40
    sage = replace(gcn, layer="sage")
    assert parameters(sage).total == 2 * (7 * 5 + 5 * 3) + 5 + 3
    assert sage.summed == 30
