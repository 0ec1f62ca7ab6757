"""What an array is by its name, its shape and its neighbours."""

from __future__ import annotations

import pytest
from swiftforce.adapters import NameRule, Reason, is_weight


@pytest.mark.parametrize(
    "name",
    [
        "weight",
        "0.weight",
        "layers.0.self_attn.q_proj.weight",
        "model.embeddings.patch_embeddings.projection.weight",
        "norm1.linear.weight",
        "shared.0.weight",
        "lm_head.weight",
        "conv.weight_v",
        "attn.in_proj_weight",
        "params/Dense_0/kernel",
        "patch_embed/kernel",
        "layer_norm_mlp/kernel",
        "nnx/kernel/value",
        "mask_head",
        "token_mixing",
        "upscale",
        "value",
        "rel_attn.q",
        "rg_lru.input_gate_weight",
        "lstm.weight_ih_l0_reverse",
        "mlp.experts.gate_up_proj",
        "mlp.gate_proj.weight",
        "conv.parametrizations.weight.original1",
        "q_proj.lora_A.default.weight",
        "experts.w1",
        "stages.0.conv.weight",
    ],
)
def test_weights_of_layers(name: str) -> None:
    assert is_weight(name, 2)
    assert is_weight(name, 4)
    assert not is_weight(name, 1)
    assert not is_weight(name, 0)


@pytest.mark.parametrize(
    "name",
    [
        "model.embed_tokens.weight",
        "transformer.wte.weight",
        "transformer.wpe.weight",
        "shared.weight",
        "tok_embeddings.weight",
        "vit.cls_token",
        "pos_embed",
        "norm.weight",
        "layers.0.LayerNorm.weight",
        "attn.relative_attention_bias.weight",
        "attn.relative_position_bias_table",
        "attn.bias_k",
        "h.0.attn.bias",
        "fc.weight_scale_inv",
        "fc.scales",
        "fc.weight_mask",
        "pos_conv.weight_g",
        "parametrizations.weight.original0",
        "params/Embed_0/embedding",
        "batch_norm/scale",
        "batch_norm/offset",
        "nnx/bias/value",
        "ln1/weight",
        "transformer.ln_f.weight",
        "block/bn1/weight",
        "norms/0/weight",
        "attention_biases",
        "rel_attn.r_w_bias",
        "rel_attn.seg_embed",
        "mask_emb",
        "attn.rel_pos_h",
        "pos_embed.height_rel",
        "patch_pos",
        "positional_encoder.position_enc",
        "embeddings.position_embeddings.weights.0",
        "cls_token_0",
        "group_token",
        "embeddings.latents",
        "quantizer.codevectors",
        "mixer.A_log",
        "attention.time_mix_key",
        "layer_scale.gamma_1",
        "flows.0.log_scale",
        "block.alpha",
        "conv.parametrizations.weight.original",
        "fc.weight_orig",
        "proj.lora_embedding_A.default",
    ],
)
def test_what_is_by_its_name_no_weight(name: str) -> None:
    assert not is_weight(name, 2)


def reasons(**shapes: tuple[int, ...]) -> dict[str, Reason]:
    rule = NameRule(shapes)
    return {name: rule.reason(name) for name in shapes}


@pytest.mark.parametrize(
    ("name", "shape", "reason"),
    [
        ("x.weight", (4, 3), Reason.NAME),
        ("x.bias", (4,), Reason.VECTOR),
        ("steps", (), Reason.VECTOR),
        ("x.bias", (2, 4), Reason.BIAS),
        ("embed.weight", (9, 4), Reason.TABLE),
        ("patch_embed.weight", (8, 3, 4, 4), Reason.NAME),
        ("embed.weight", (8, 3, 4, 4), Reason.NAME),
        ("pos_embed", (1, 9, 4), Reason.POSITION),
        ("cls_token", (1, 1, 4), Reason.TOKEN),
        ("norm.weight", (2, 4), Reason.NORM),
        ("xca.temperature", (8, 1, 1), Reason.SCALE),
        ("mixer.A_log", (8, 4), Reason.STATE),
        ("learned_mask", (8, 4), Reason.MASK),
        ("own", (1, 4, 1, 1), Reason.VECTOR),
        ("x.weight", (1, 4, 1, 1), Reason.NAME),
        ("head.weight", (1, 4), Reason.NAME),
        ("x.parametrizations.weight.original", (4, 3), Reason.COMPUTED),
        ("x.parametrizations.weight.original0", (4, 1), Reason.SCALE),
        ("x.parametrizations.weight.original1", (4, 3), Reason.NAME),
        ("embed.parametrizations.weight.original1", (4, 3), Reason.TABLE),
    ],
)
def test_the_reason(name: str, shape: tuple[int, ...], reason: Reason) -> None:
    assert NameRule({name: shape}).reason(name) is reason


def test_a_gate_is_a_router_where_experts_are_beside_it() -> None:
    expert = {"moe.experts.0.gate.weight": (8, 4), "moe.experts.gate_up_proj": (3, 4, 8)}
    found = reasons(
        **expert,
        **{"moe.gate.weight": (3, 4), "moe.shared_expert_gate.weight": (1, 4)},
        **{"mlp.gate.weight": (8, 4), "mlp.gate_proj.weight": (8, 4)},
    )
    routers = {name for name, reason in found.items() if reason is Reason.ROUTER}
    assert routers == {"moe.gate.weight", "moe.shared_expert_gate.weight"}


@pytest.mark.parametrize(
    "name", ["mlp.router.classifier.weight", "moe/Router/dense/kernel", "b.routing_fn.weight"]
)
def test_a_router_says_so(name: str) -> None:
    beside = {"mlp.fc.weight": (4, 4), "moe/fc/kernel": (4, 4), "b.fc.weight": (4, 4)}
    assert reasons(**{name: (3, 4)}, **beside)[name] is Reason.ROUTER
    assert reasons(**{name: (3, 4)})[name] is Reason.NAME  # of what?


def test_vectors_of_stacked_layers() -> None:
    found = reasons(
        **{"stack/fc/w": (3, 8, 8), "stack/fc/b": (3, 8), "stack/first/weight": (3, 8)},
        **{"block/pre/weight": (3, 8), "block/pre/bias": (3, 8), "out/w": (8, 2), "out/b": (2,)},
    )
    assert found == {
        "stack/fc/w": Reason.NAME,
        "stack/fc/b": Reason.BIAS,
        "stack/first/weight": Reason.STACKED,
        "block/pre/weight": Reason.STACKED,
        "block/pre/bias": Reason.BIAS,
        "out/w": Reason.NAME,
        "out/b": Reason.VECTOR,
    }


def test_heads_of_attention_are_no_stack() -> None:
    found = reasons(
        **{"query/kernel": (16, 2, 8), "query/bias": (2, 8)},
        **{"out/kernel": (2, 8, 16), "out/bias": (16,), "fc/kernel": (16, 4)},
    )
    assert {name for name, reason in found.items() if reason is Reason.NAME} == {
        "query/kernel",
        "out/kernel",
        "fc/kernel",
    }
