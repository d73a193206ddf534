# SPDX-License-Identifier: MIT
"""Checks the training model against transformers, and the packing against its definition.

    python -m pytest tools/train

Needs what requirements.txt lists.
"""

import os

os.environ["TORCHDYNAMO_DISABLE"] = "1"  # transformers compiles its quantisers: slower than a test

import pytest
import torch
from torch import nn

from export import pack, packed_tensors
from model import BitNet, Config, ternary

transformers = pytest.importorskip("transformers")

SMALL = Config(
    vocab_size=97, hidden_size=64, intermediate_size=160, num_hidden_layers=2,
    num_attention_heads=4, num_key_value_heads=2, max_position_embeddings=64,
)


def online_reference(model: BitNet) -> nn.Module:
    """transformers' own BitNet with its own quantisation on the fly and the same masters."""
    from transformers.integrations.bitnet import AutoBitLinear

    config = transformers.BitNetConfig(
        **{k: v for k, v in vars(SMALL).items() if k != "rope_theta"},
        tie_word_embeddings=True,
        rope_parameters={"rope_type": "default", "rope_theta": SMALL.rope_theta},
        bos_token_id=0, eos_token_id=1,
    )
    reference = transformers.BitNetForCausalLM(config)
    for name, module in list(reference.named_modules()):
        if isinstance(module, nn.Linear) and name != "lm_head":
            sizes = (module.in_features, module.out_features)
            reference.set_submodule(name, AutoBitLinear(*sizes, bias=False, online_quant=True))
    state = model.state_dict()
    reference.load_state_dict(state | {"lm_head.weight": state["model.embed_tokens.weight"]})
    return reference


def test_logits_and_gradients_are_those_of_transformers():
    torch.manual_seed(0)
    model = BitNet(SMALL)
    reference = online_reference(model)
    tokens = torch.randint(0, SMALL.vocab_size, (2, 40))
    ours, theirs = model(tokens), reference(tokens).logits
    torch.testing.assert_close(ours, theirs, rtol=0, atol=2e-6)

    direction = torch.randn_like(ours)
    (ours * direction).sum().backward()
    (theirs * direction).sum().backward()
    expected = dict(reference.named_parameters())
    for name, parameter in model.named_parameters():
        error = (parameter.grad - expected[name].grad).norm() / expected[name].grad.norm()
        assert error < 1e-4, name


def test_ternary_rounds_half_to_even():
    # Mean magnitude 1, so the codes are the rounded values themselves.
    weight = torch.tensor([0.5, -0.5, 1.5, -1.5, 0.25, 1.75])
    code, scale = ternary(weight)
    assert scale == 1
    assert code.tolist() == [0, 0, 1, -1, 0, 1]


def test_packed_byte_holds_rows_a_quarter_apart():
    code = torch.tensor([[-1.0], [0.0], [1.0], [1.0], [0.0], [-1.0], [1.0], [0.0]])
    # Byte 0: rows 0, 2, 4, 6 = -1, 1, 0, 1; byte 1: rows 1, 3, 5, 7 = 0, 1, -1, 0.
    assert pack(code).flatten().tolist() == [0b10_01_10_00, 0b01_00_10_01]


def test_packing_agrees_with_transformers():
    from transformers.integrations.bitnet import unpack_weights

    torch.manual_seed(0)
    name, weight = "q_proj.weight", torch.randn(64, 32)
    packed = packed_tensors({name: weight})
    code, scale = ternary(weight)
    assert torch.equal(unpack_weights(packed[name], dtype=torch.float32), code)
    assert packed[f"{name}_scale"].item() == scale.bfloat16().item()
