"""Architectures of timm, torchvision and transformers, with random weights and a small batch.

All are made from their configurations: nothing is downloaded. Those of timm and torchvision have
the published sizes, where these are small; those of transformers are the published architectures
with few and narrow layers.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn
from torch.nn.functional import cross_entropy

Batch = Any


@dataclass(frozen=True)
class Architecture:
    """A model and how it is trained.

    Attributes
    ----------
    name : str
        The library and the architecture, such as ``timm/resnet18``.
    model : callable
        Makes the model.
    batch : callable
        Makes a batch from a random number generator that is seeded.
    loss : callable
        The mean loss of a model on a batch.
    call : callable
        The output of a model on a batch: one tensor.
    """

    name: str
    model: Callable[[], nn.Module]
    batch: Callable[[], Batch]
    loss: Callable[[nn.Module, Batch], torch.Tensor]
    call: Callable[[nn.Module, Batch], torch.Tensor]


# ------------------------------------------------------------------------------ images

#: Name and side of its images. Among them: shared and standardised weights, experts as
#: convolutions, caches in eval mode, LayerScale, squeeze and excitation, mixers.
TIMM = {
    "cait_xxs24_224": 224,
    "coatnet_pico_rw_224": 224,
    "convnext_atto": 64,
    "convnextv2_atto": 64,
    "crossvit_tiny_240": 240,
    "densenet121": 64,
    "dla46_c": 64,
    "edgenext_xx_small": 64,
    "efficientformerv2_s0": 224,
    "efficientnet_b0": 64,
    "fastvit_t8": 64,
    "ghostnet_050": 64,
    "gmixer_12_224": 224,
    "hardcorenas_a": 64,
    "hiera_tiny_224": 224,
    "inception_next_atto": 64,
    "levit_128s": 224,
    "mixer_s32_224": 224,
    "mobilenetv3_small_050": 64,
    "mobileone_s0": 64,
    "mobilevit_xxs": 64,
    "nf_regnet_b0": 64,
    "poolformer_s12": 64,
    "pvt_v2_b0": 64,
    "regnetx_002": 64,
    "repvgg_a0": 64,
    "resmlp_12_224": 224,
    "resnet18": 64,
    "resnetv2_50x1_bit": 64,
    "swin_tiny_patch4_window7_224": 224,
    "tf_efficientnet_cc_b0_4e": 64,
    "tiny_vit_5m_224": 224,
    "vit_tiny_patch16_224": 224,
    "xcit_nano_12_p16_224": 224,
}
TORCHVISION = {
    "alexnet": 64,
    "googlenet": 64,
    "mnasnet0_5": 64,
    "mobilenet_v2": 64,
    "resnext50_32x4d": 64,
    "shufflenet_v2_x0_5": 64,
    "squeezenet1_1": 64,
    "vgg11_bn": 64,
    "vit_b_32": 224,
}
CLASSES = 10


def _logits(model: nn.Module, batch: Batch) -> torch.Tensor:
    output = model(batch[0])
    # torchvision's GoogLeNet returns more in training; distilled models return two heads.
    return output if isinstance(output, torch.Tensor) else output[0]


def _image_loss(model: nn.Module, batch: Batch) -> torch.Tensor:
    return cross_entropy(_logits(model, batch), batch[1])


def _images(side: int, count: int = 4) -> Batch:
    return torch.randn(count, 3, side, side), torch.arange(count) % CLASSES


def _timm(name: str, side: int) -> Architecture:
    def model() -> nn.Module:
        import timm

        made: nn.Module = timm.create_model(name, num_classes=CLASSES)
        return made

    return Architecture(f"timm/{name}", model, lambda: _images(side), _image_loss, _logits)


def _torchvision(name: str, side: int) -> Architecture:
    def model() -> nn.Module:
        import torchvision

        more = {"init_weights": True, "aux_logits": False} if name == "googlenet" else {}
        made: nn.Module = getattr(torchvision.models, name)(num_classes=CLASSES, **more)
        return made

    return Architecture(f"torchvision/{name}", model, lambda: _images(side), _image_loss, _logits)


# ------------------------------------------------------------------------------ texts and others

_SMALL = {"vocab_size": 64, "hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4}
_LLAMA = {**_SMALL, "num_key_value_heads": 2, "intermediate_size": 48, "pad_token_id": 0}
_BERT = {**_SMALL, "intermediate_size": 48, "max_position_embeddings": 32}
_SEQ2SEQ = {
    "vocab_size": 64,
    "d_model": 32,
    "encoder_layers": 2,
    "decoder_layers": 2,
    "encoder_attention_heads": 4,
    "decoder_attention_heads": 4,
    "encoder_ffn_dim": 48,
    "decoder_ffn_dim": 48,
    "max_position_embeddings": 32,
}
_VISION = {
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "intermediate_size": 48,
    "image_size": 32,
    "patch_size": 8,
}

#: The class of the model, and the settings of its configuration.
TRANSFORMERS: dict[str, dict[str, Any]] = {
    "AlbertForMaskedLM": {**_BERT, "embedding_size": 16},
    "BartForConditionalGeneration": _SEQ2SEQ,
    "BertForSequenceClassification": _BERT,
    "BloomForCausalLM": {"vocab_size": 64, "hidden_size": 32, "n_layer": 2, "n_head": 4},
    "DeepseekV3ForCausalLM": {
        **_LLAMA,
        "num_key_value_heads": 4,
        "moe_intermediate_size": 16,
        "n_routed_experts": 4,
        "num_experts_per_tok": 2,
        "n_group": 1,
        "topk_group": 1,
        "q_lora_rank": 16,
        "kv_lora_rank": 16,
        "qk_rope_head_dim": 8,
        "qk_nope_head_dim": 8,
        "v_head_dim": 8,
        "first_k_dense_replace": 1,
    },
    "DistilBertForMaskedLM": {
        "vocab_size": 64,
        "dim": 32,
        "n_layers": 2,
        "n_heads": 4,
        "hidden_dim": 48,
    },
    "ElectraForSequenceClassification": {**_BERT, "embedding_size": 16},
    "GPT2ForSequenceClassification": {
        "vocab_size": 64,
        "n_embd": 32,
        "n_layer": 2,
        "n_head": 4,
        "n_positions": 32,
        "pad_token_id": 0,
    },
    "GPTNeoXForCausalLM": {**_SMALL, "intermediate_size": 48},
    "GptOssForCausalLM": {
        **_LLAMA,
        "num_local_experts": 4,
        "num_experts_per_tok": 2,
        "head_dim": 8,
    },
    "LlamaForCausalLM": _LLAMA,
    "Mamba2ForCausalLM": {
        "vocab_size": 64,
        "hidden_size": 32,
        "num_hidden_layers": 2,
        "num_heads": 8,
        "head_dim": 8,
        "state_size": 8,
        "n_groups": 1,
        "chunk_size": 8,
    },
    "MambaForCausalLM": {
        "vocab_size": 64,
        "hidden_size": 32,
        "num_hidden_layers": 2,
        "state_size": 4,
    },
    "MixtralForCausalLM": {**_LLAMA, "num_local_experts": 4},
    "OPTForCausalLM": {
        "vocab_size": 64,
        "hidden_size": 32,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "ffn_dim": 48,
        "max_position_embeddings": 32,
        "word_embed_proj_dim": 32,
    },
    "Qwen3MoeForCausalLM": {
        **_LLAMA,
        "num_experts": 4,
        "num_experts_per_tok": 2,
        "moe_intermediate_size": 16,
        "head_dim": 8,
    },
    "RwkvForCausalLM": {
        "vocab_size": 64,
        "hidden_size": 32,
        "num_hidden_layers": 2,
        "attention_hidden_size": 32,
    },
    "SwitchTransformersForConditionalGeneration": {
        "vocab_size": 64,
        "d_model": 32,
        "d_kv": 8,
        "d_ff": 48,
        "num_layers": 2,
        "num_heads": 4,
        "num_sparse_encoder_layers": 1,
        "num_sparse_decoder_layers": 1,
        "num_experts": 4,
        "decoder_start_token_id": 0,
    },
    "T5ForConditionalGeneration": {
        "vocab_size": 64,
        "d_model": 32,
        "d_kv": 8,
        "d_ff": 48,
        "num_layers": 2,
        "num_heads": 4,
        "decoder_start_token_id": 0,
    },
    "ViTForImageClassification": _VISION,
    "DeiTForImageClassification": _VISION,
    "BeitForImageClassification": _VISION,
    "ConvNextForImageClassification": {"hidden_sizes": [8, 16], "depths": [1, 1], "num_stages": 2},
    "SegformerForImageClassification": {
        "hidden_sizes": [8, 16, 16, 16],
        "num_attention_heads": [1, 2, 2, 2],
        "depths": [1, 1, 1, 1],
        "decoder_hidden_size": 16,
    },
}


def _hidden_loss(model: nn.Module, batch: Batch) -> torch.Tensor:
    loss: torch.Tensor = model(**batch).loss
    return loss


def _hidden_logits(model: nn.Module, batch: Batch) -> torch.Tensor:
    logits: torch.Tensor = model(**batch).logits
    return logits


def _texts(name: str) -> Batch:
    ids = torch.randint(3, 64, (4, 12))
    if name.endswith("SequenceClassification"):
        return {"input_ids": ids, "labels": torch.arange(4) % 2}
    if name.endswith("ConditionalGeneration"):
        return {"input_ids": ids, "decoder_input_ids": ids, "labels": ids}
    return {"input_ids": ids, "labels": ids}


def _pictures() -> Batch:
    return {"pixel_values": torch.randn(4, 3, 32, 32), "labels": torch.arange(4) % 2}


def _transformers(name: str, settings: dict[str, Any]) -> Architecture:
    def model() -> nn.Module:
        import transformers

        kind = getattr(transformers, name)
        made: nn.Module = kind(kind.config_class(**settings))
        return made

    is_image = name.endswith("ImageClassification")
    batch = _pictures if is_image else lambda: _texts(name)
    return Architecture(f"transformers/{name}", model, batch, _hidden_loss, _hidden_logits)


def architectures() -> Iterator[Architecture]:
    """All architectures."""
    yield from (_timm(name, side) for name, side in TIMM.items())
    yield from (_torchvision(name, side) for name, side in TORCHVISION.items())
    yield from (_transformers(name, settings) for name, settings in TRANSFORMERS.items())
