"""Lets torchvision be imported where its compiled operators do not load.

A torchvision that was built for another torch (such as one with CUDA beside one without) fails on
import, since it registers shapes for operators that do not exist. Its models need none of them.
"""

from __future__ import annotations

import subprocess
import sys

import torch

#: The operators that torchvision looks for when it is imported.
SCHEMAS = (
    "nms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
    "qnms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
)


def define_missing() -> torch.library.Library | None:
    """Define the operators if they are missing; keep what this returns, which owns them."""
    command = [sys.executable, "-c", "import torchvision"]
    if subprocess.run(command, check=False, capture_output=True).returncode == 0:
        return None
    library = torch.library.Library("torchvision", "DEF")
    for schema in SCHEMAS:
        library.define(schema)
    return library
