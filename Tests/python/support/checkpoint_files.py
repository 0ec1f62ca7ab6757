"""Checkpoints for tests: usual ones, and files that the safetensors library would not write."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from safetensors.numpy import save_file

#: Names of the prunable `tensors`, in the order of a checkpoint.
PRUNABLE = ["layers.2.fc.weight", "layers.10.fc.weight", "lm_head.weight"]


def tensors(seed: int) -> dict[str, np.ndarray]:
    """Tensors of a small network: weights of three types, and tensors that are not pruned."""
    rng = np.random.default_rng(seed)
    return {
        "layers.10.fc.weight": rng.standard_normal((4, 6)).astype(np.float16),
        "layers.2.fc.weight": rng.standard_normal((6, 5)).astype(np.float32),
        "layers.2.norm.weight": rng.standard_normal(5).astype(np.float32),
        "embed_tokens.weight": rng.standard_normal((8, 5)).astype(np.float32),
        "lm_head.weight": rng.standard_normal((3, 4)),
        "steps": np.arange(6, dtype=np.int64).reshape(2, 3),
    }


def prunable(seed: int) -> dict[str, np.ndarray]:
    """Those of `tensors` that are pruned by default."""
    return {name: tensors(seed)[name] for name in PRUNABLE}


def write(path: Path, arrays: Mapping[str, np.ndarray]) -> Path:
    """Writes a file as the library does."""
    save_file(dict(arrays), path, metadata={"format": "np"})
    return path


def write_split(folder: Path, arrays: Mapping[str, np.ndarray]) -> Path:
    """Writes two files and their index, as Hugging Face does; returns the index."""
    folder.mkdir()
    names = sorted(arrays)
    weight_map = {}
    for part, those in enumerate((names[:2], names[2:]), start=1):
        file = f"model-0000{part}-of-00002.safetensors"
        write(folder / file, {name: arrays[name] for name in those})
        weight_map |= dict.fromkeys(those, file)
    return write_index(folder, weight_map)


def write_index(folder: Path, weight_map: object) -> Path:
    path = folder / "model.safetensors.index.json"
    path.write_text(json.dumps({"metadata": {"total_size": 1}, "weight_map": weight_map}))
    return path


def write_raw(path: Path, entries: Mapping[str, tuple[str, tuple[int, ...], bytes]]) -> Path:
    """Writes tensors of any type, one after the other and without padding."""
    header, data = {}, b""
    for name, (dtype, shape, content) in entries.items():
        offsets = [len(data), len(data) + len(content)]
        header[name] = {"dtype": dtype, "shape": shape, "data_offsets": offsets}
        data += content
    text = json.dumps(header).encode()
    path.write_bytes(len(text).to_bytes(8, "little") + text + data)
    return path
