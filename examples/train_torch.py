"""Train a small network on Fashion-MNIST, pruned before its first step by two lines.

python examples/train_torch.py --sparsity 0.95
python examples/train_torch.py --dense
python examples/train_torch.py --checkpoint run.pt    # run it again to resume
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

import swiftforce.torch as sft
import torch
from swiftforce import datasets
from torch import nn
from torch.nn.functional import cross_entropy
from torch.utils.data import DataLoader, TensorDataset


def network(channels: int, classes: int) -> nn.Sequential:
    """Three convolutions with batch normalisation, and one linear layer."""
    layers: list[nn.Module] = []
    for inputs, outputs in ((channels, 32), (32, 64), (64, 128)):
        layers += [
            nn.Conv2d(inputs, outputs, 3, padding=1, bias=False),
            nn.BatchNorm2d(outputs),
            nn.ReLU(),
            nn.MaxPool2d(2) if outputs < 128 else nn.AdaptiveAvgPool2d(1),
        ]
    return nn.Sequential(*layers, nn.Flatten(), nn.Linear(128, classes))


def train(model: nn.Module, batches: DataLoader, optimizer: torch.optim.Optimizer) -> None:
    """One pass over the training set."""
    model.train()
    device = next(model.parameters()).device
    for x, y in batches:
        optimizer.zero_grad()
        cross_entropy(model(x.to(device)), y.to(device)).backward()
        optimizer.step()


@torch.inference_mode()
def accuracy(model: nn.Module, batches: DataLoader) -> float:
    """Share of the images that are classified correctly."""
    model.eval()
    device = next(model.parameters()).device
    correct = sum(int((model(x.to(device)).argmax(1) == y.to(device)).sum()) for x, y in batches)
    return correct / len(batches.dataset)


def main(arguments: list[str] | None = None) -> None:
    """Prune, train and test."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sparsity", type=float, default=0.95, help="share of weights to remove")
    parser.add_argument(
        "--method", choices=sft.methods(), default="force_nested", help="pruning method"
    )
    parser.add_argument("--dense", action="store_true", help="do not prune")
    parser.add_argument("--epochs", type=int, default=3, help="epochs of the whole run")
    parser.add_argument("--samples", type=int, help="images to train on; by default all")
    parser.add_argument(
        "--checkpoint", type=Path, help="file to save the run to and to resume from"
    )
    given = parser.parse_args(arguments)

    data = datasets.fashion_mnist().subset(train=given.samples)
    training, test = (
        TensorDataset(torch.from_numpy(x), torch.from_numpy(y))
        for x, y in ((data.train_x, data.train_y), (data.test_x, data.test_y))
    )
    batches = DataLoader(training, batch_size=128, shuffle=True)
    test_batches = DataLoader(test, batch_size=500)

    torch.manual_seed(0)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    model = network(data.train_x.shape[1], data.classes).to(device)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9, weight_decay=5e-4)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, given.epochs)
    start, done = time.perf_counter(), 0

    if given.checkpoint and given.checkpoint.exists():
        saved = torch.load(given.checkpoint, map_location=device)
        sft.apply(model, saved["masks"], optimizer)  # none if the run was dense
        model.load_state_dict(saved["model"])
        optimizer.load_state_dict(saved["optimizer"])
        schedule.load_state_dict(saved["schedule"])
        done = saved["epochs"]
        print(f"{given.checkpoint} resumes after epoch {done}")
    elif not given.dense:
        method, sparsity = given.method, given.sparsity
        # The loss that scores need not be the one that trains: this one keeps paths to all classes.
        loss = cross_entropy if method == "grasp" else sft.losses.target_logit

        # The two lines.
        pruning = sft.prune(model, batches, loss, method=method, sparsity=sparsity)
        sft.apply(model, pruning, optimizer)

        print(pruning)
        print(f"found in {time.perf_counter() - start:.1f} s")

    for epoch in range(done + 1, given.epochs + 1):
        torch.manual_seed(epoch)  # A resumed run sees the same batches.
        train(model, batches, optimizer)
        schedule.step()
        print(f"epoch {epoch}: accuracy {100 * accuracy(model, test_batches):.2f} %")
        if given.checkpoint:
            parts = {"model": model, "optimizer": optimizer, "schedule": schedule}
            states = {name: part.state_dict() for name, part in parts.items()}
            masks = sft.masks(model)
            torch.save({**states, "masks": masks, "epochs": epoch}, given.checkpoint)

    weights = sft.prunable(model).values()
    kept, size = sum(int(w.count_nonzero()) for w in weights), sum(w.numel() for w in weights)
    print(f"{kept:,} of {size:,} weights are not zero, {time.perf_counter() - start:.1f} s in all")


if __name__ == "__main__":
    main()
