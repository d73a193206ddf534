# SPDX-License-Identifier: MIT
"""The oracle: transformers on the CPU, and a record of what it computes on the way."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import oracle_environment  # noqa: F401  (before torch)

import torch
from transformers import AutoModelForCausalLM, AttentionInterface, PreTrainedModel
from transformers.integrations.bitnet import ActQuant, AutoBitLinear, BitLinear, unpack_weights
from transformers.masking_utils import AttentionMaskInterface, eager_mask
from transformers.models.llama.modeling_llama import eager_attention_forward

torch.set_grad_enabled(False)

Record = dict[str, torch.Tensor]


def load(folder: Path, dtype: torch.dtype) -> PreTrainedModel:
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=dtype, attn_implementation="recorded")
    # transformers 5 leaves embeddings and norms of a packed autobitlinear checkpoint in bfloat16,
    # whatever dtype was asked for. Widening bfloat16 is exact, so this only repairs the request.
    return model.to(dtype).eval()


def prefill(model: PreTrainedModel, tokens: list[int]) -> torch.Tensor:
    """Logits [tokens, vocabulary] of one pass over the whole prompt."""
    return model(torch.tensor([tokens]), use_cache=False).logits[0]


def decode(model: PreTrainedModel, tokens: list[int]) -> torch.Tensor:
    """The same logits, but one token at a time with a key/value cache."""
    cache, rows = None, []
    for token in tokens:
        step = model(torch.tensor([[token]]), past_key_values=cache, use_cache=True)
        cache = step.past_key_values
        rows.append(step.logits[0, -1])
    return torch.stack(rows)


def greedy(model: PreTrainedModel, tokens: list[int], count: int) -> list[int]:
    tokens = list(tokens)
    for _ in range(count):
        tokens.append(int(prefill(model, tokens)[-1].argmax()))
    return tokens


def quantise_activations(x: torch.Tensor, width: torch.dtype) -> tuple[torch.Tensor, torch.Tensor]:
    """Integer codes and the factor that made them: ActQuant.forward, BitLinear.activation_quant."""
    x = x.to(width)
    # `127 / tensor` is tensor.reciprocal() * 127 in torch: two roundings, not one.
    factor = 127 / x.abs().max(dim=-1, keepdim=True).values.clamp(min=1e-5)
    return (x * factor).round().clamp(-128, 127), factor


def scaled_activations(module: torch.nn.Module, x: torch.Tensor) -> torch.Tensor:
    """What is rounded to a code, for measuring how near it lies to a half-integer."""
    x = x if isinstance(module, BitLinear) else x.float()
    return x * (127 / x.abs().max(dim=-1, keepdim=True).values.clamp(min=1e-5))


def ternary_weight(module: torch.nn.Module) -> torch.Tensor:
    if isinstance(module, BitLinear):
        return unpack_weights(module.weight, torch.int64)
    if not module.online_quant:
        return module.weight.to(torch.int64)
    weight = module.weight.float()
    inverse_scale = 1.0 / weight.abs().mean().clamp(min=1e-5)
    return (weight * inverse_scale).round().clamp(-1, 1).to(torch.int64)


def record_linear(record: Record, name: str, module: torch.nn.Module, x, y) -> None:
    """The oracle works on floats throughout; this finds the integers within and checks they are its own."""
    packed = isinstance(module, BitLinear)
    codes, factor = quantise_activations(x, x.dtype if packed else torch.float32)
    sums = codes.to(torch.int64) @ ternary_weight(module).T
    if packed:
        assert torch.equal(y, sums.to(x.dtype) / (module.weight_scale * factor))
    else:
        assert torch.equal(ActQuant.apply(x), (codes / factor).to(x.dtype))
    record[name + ".input"] = x[0]
    record[name + ".codes"] = codes[0].to(torch.int8)
    record[name + ".factor"] = factor[0]
    record[name + ".sums"] = sums[0].to(torch.int32)
    record[name + ".output"] = y[0]


@contextmanager
def recording(model: PreTrainedModel) -> Iterator[Record]:
    """Collects every operation of the passes made within; names are in README.md."""
    record: Record = {}
    hooks = []

    def hook(module: torch.nn.Module, action) -> None:
        hooks.append(module.register_forward_hook(action))

    for path, module in model.model.named_modules():
        if isinstance(module, AutoBitLinear | BitLinear):
            hook(module, lambda m, i, o, path=path: record_linear(record, path, m, i[0], o))
        elif type(module).__name__.endswith("RMSNorm"):
            def norm(_, inputs, output, path=path):
                record[path + ".input"], record[path + ".output"] = inputs[0][0], output[0]
            hook(module, norm)
        elif type(module).__name__.endswith("RotaryEmbedding"):
            def rope(_, inputs, output):
                record["rope.cos"], record["rope.sin"] = output[0][0], output[1][0]
            hook(module, rope)

    def attention(module, query, key, value, mask, **options):
        output, probabilities = eager_attention_forward(module, query, key, value, mask, **options)
        name = f"layers.{module.layer_idx}.self_attn."
        record[name + "q"], record[name + "k"], record[name + "v"] = query[0], key[0], value[0]
        record[name + "probabilities"] = probabilities[0]
        record[name + "context"] = output[0].flatten(1)
        return output, probabilities

    AttentionInterface.register("recorded", attention)
    try:
        yield record
    finally:
        AttentionInterface.register("recorded", eager_attention_forward)
        for handle in hooks:
            handle.remove()


@contextmanager
def watching_ties(model: PreTrainedModel) -> Iterator[list[float]]:
    """Collects, for every linear layer run, the least distance of a scaled activation to a half-integer."""
    distances: list[float] = []

    def watch(module, inputs, _):
        scaled = scaled_activations(module, inputs[0])
        distances.append(float(((scaled - scaled.floor()) - 0.5).abs().min()))

    hooks = [
        module.register_forward_hook(watch)
        for module in model.modules()
        if isinstance(module, AutoBitLinear | BitLinear)
    ]
    try:
        yield distances
    finally:
        for handle in hooks:
            handle.remove()


def hidden_states(model: PreTrainedModel, tokens: list[int]) -> list[torch.Tensor]:
    """The embedding and every layer's output, each [tokens, hidden]."""
    states = [model.model.embed_tokens(torch.tensor(tokens))]
    hooks = [
        layer.register_forward_hook(lambda _, __, output: states.append(output[0]))
        for layer in model.model.layers
    ]
    prefill(model, tokens)
    for handle in hooks:
        handle.remove()
    return states


# "recorded" is transformers' eager attention, in a form that recording() can listen to.
AttentionInterface.register("recorded", eager_attention_forward)
AttentionMaskInterface.register("recorded", eager_mask)
