"""What adapters share: patterns that must match, weights by name, batches that begin again."""

from __future__ import annotations

from itertools import islice

import pytest
import swiftforce as sf
from swiftforce.adapters import endless, is_weight, listed, matching, prunable

NAMES = ["conv/kernel", "conv/bias", "head/kernel"]


@pytest.mark.parametrize(
    ("patterns", "found"),
    [
        ("*", NAMES),
        ("*/kernel", ["conv/kernel", "head/kernel"]),
        (["conv/*", "head/kernel"], NAMES),
        ("*nv?b[ia]as", ["conv/bias"]),
        ((), []),
    ],
)
def test_patterns(patterns: str | list[str], found: list[str]) -> None:
    assert matching(NAMES, patterns, "include") == set(found)


@pytest.mark.parametrize("patterns", ["haed/*", ["conv/*", "haed/*"], ["", "conv/*"], "CONV/*"])
def test_a_pattern_that_matches_nothing(patterns: str | list[str]) -> None:
    with pytest.raises(sf.UnknownNameError, match=r"include has the pattern .*conv/bias"):
        matching(NAMES, patterns, "include")


def test_very_many_names_are_cut_off() -> None:
    assert listed(["a", "b"]) == "a, b"
    assert len(listed(["name"] * 1000)) <= 400


def test_batches_are_used_in_order_and_begun_again() -> None:
    assert list(islice(endless([1, 2, 3]), 7)) == [1, 2, 3, 1, 2, 3, 1]


def test_an_iterator_is_enough_if_it_lasts() -> None:
    source = iter([1, 2, 3])
    assert list(islice(endless(source), 2)) == [1, 2]
    assert list(source) == [3]  # no batch is taken that is not used


def test_batches_that_run_out() -> None:
    source = endless(iter([1, 2, 3]))
    assert list(islice(source, 3)) == [1, 2, 3]
    with pytest.raises(sf.BatchesError, match="more than the 3 batches there were"):
        next(source)


@pytest.mark.parametrize("nothing", [[], iter(())])
def test_no_batches(nothing: object) -> None:
    with pytest.raises(sf.BatchesError, match="there are no batches"):
        next(endless(nothing))


# ------------------------------------------------------------------------- which are weights


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
    ],
)
def test_what_is_by_its_name_no_weight(name: str) -> None:
    assert not is_weight(name, 2)


DIMENSIONS = {"b.weight": 2, "a.weight": 4, "a.bias": 1, "table.embedding": 2, "steps": None}


@pytest.mark.parametrize(
    ("include", "exclude", "found"),
    [
        (None, (), ["b.weight", "a.weight"]),
        (None, "b.*", ["a.weight"]),
        ("a.*", (), ["a.weight", "a.bias"]),
        (["a.*", "table*"], "*.bias", ["a.weight", "table.embedding"]),
        ("*", "steps", ["b.weight", "a.weight", "a.bias", "table.embedding"]),
    ],
)
def test_which_are_pruned(
    include: str | list[str] | None, exclude: str | tuple[str, ...], found: list[str]
) -> None:
    assert prunable(DIMENSIONS, include, exclude, nothing="nothing") == found


@pytest.mark.parametrize(("include", "exclude"), [("steps", ()), ("c.*", ()), (None, "c.*")])
def test_patterns_of_weights_that_match_nothing(include: str | None, exclude: str) -> None:
    with pytest.raises(sf.UnknownNameError, match="which matches nothing"):
        prunable(DIMENSIONS, include, exclude, nothing="nothing")


def test_nothing_is_left_to_prune() -> None:
    with pytest.raises(sf.StructureError, match=r"^nothing here; of floating-point .* b\.weight, "):
        prunable(DIMENSIONS, None, "*", nothing="nothing here")
    with pytest.raises(sf.StructureError, match=r"there are: none$"):
        prunable({"steps": None}, None, (), nothing="nothing here")
