"""FLOPs of descriptions: closed forms, and what holds whatever the shape."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from simulator.models import Transformer, Work, blocks, forward_flops, parameters
from tests.support.models import decoders, megatron


def test_flops_of_a_gpt_are_the_formula_of_narayanan() -> None:
    """The same, appendix: 24 B s l h^2 (1 + s/6h) + 2 B s h V forwards, where nothing masked is left out."""
    number, d_model, vocab, seq = 96, 12288, 51200, 2048
    got = forward_flops(megatron(number, d_model, 96, vocab, seq), Work(seq, masked_too=True))
    assert got.matmul == 24 * seq * number * d_model**2
    assert got.attention == 4 * seq**2 * number * d_model
    assert got.vocabulary == 2 * seq * d_model * vocab


@given(decoders(), st.integers(1, 50))
def test_a_matmul_costs_two_flops_for_each_parameter_that_a_token_uses(model: Transformer, tokens: int) -> None:
    got = forward_flops(model, Work(tokens))
    vectors = sum(
        part.count * int(weight.size * weight.share)
        for part in parameters(model).parts
        for weight in part.weights
        if weight.use == "vector"
    )
    row = model.d_model  # of the table of tokens
    assert got.matmul + got.vocabulary == 2 * tokens * (parameters(model).active - vectors - row)


@given(decoders(), st.integers(1, 40), st.integers(1, 40))
def test_a_sequence_costs_as_much_in_two_parts(model: Transformer, first: int, then: int) -> None:
    """Chunked prefill: what the first part leaves in the cache is what the second sees."""
    whole = forward_flops(model, Work(first + then))
    parts = forward_flops(model, Work(first)), forward_flops(model, Work(then, context=first))
    assert whole.total == sum(part.total for part in parts)


@given(decoders(), st.integers(1, 60))
def test_attention_costs_what_its_pairs_do_counted_one_by_one(model: Transformer, tokens: int) -> None:
    attention = model.attention
    pairs = 0
    for block in blocks(model):
        reach = attention.window or tokens
        for query in range(tokens):
            pairs += min(query + 1, reach) if block.attention == "sliding" else query + 1
    assert forward_flops(model, Work(tokens)).attention == 4 * attention.heads * attention.head_dim * pairs
    all_pairs = model.layers * tokens**2
    masked_too = forward_flops(model, Work(tokens, masked_too=True)).attention
    assert masked_too == 4 * attention.heads * attention.head_dim * all_pairs
