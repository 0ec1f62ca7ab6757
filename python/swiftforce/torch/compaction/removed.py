"""What was removed from a model: units, parameters and multiply-adds, by layer and in total."""

from __future__ import annotations

from dataclasses import dataclass

from swiftforce.show import tables


@dataclass(frozen=True)
class CompactedLayer:
    """The counts of a linear layer or a convolution, each before and after.

    Attributes
    ----------
    name : str
    units : tuple of int
        Output features or channels.
    inputs : tuple of int
        Input features or channels.
    parameters : tuple of int
        Weights and biases.
    multiply_adds : tuple of int
        Products of the dense layer for one sample of the example's shape, in all of its calls.
    """

    name: str
    units: tuple[int, int]
    inputs: tuple[int, int]
    parameters: tuple[int, int]
    multiply_adds: tuple[int, int]


@dataclass(frozen=True)
class Compaction:
    """What `swiftforce.torch.compact` removed from a model.

    All pairs are numbers before and after. ``print(compaction)`` shows a table.

    Attributes
    ----------
    layers : tuple of CompactedLayer
        Linear layers and convolutions, in the order of their calls.
    parameters : tuple of int
        Parameters of the whole model.
    size : tuple of int
        Bytes of its parameters and buffers.
    left_alone : tuple of str
        What could not be made smaller, and why: operations that are not known, which keep all
        channels that they read, and units that no kept weight reaches but whose bias is trained.
    """

    layers: tuple[CompactedLayer, ...]
    parameters: tuple[int, int]
    size: tuple[int, int]
    left_alone: tuple[str, ...]

    @property
    def units(self) -> tuple[int, int]:
        """Output features and channels of all layers."""
        return _total([layer.units for layer in self.layers])

    @property
    def multiply_adds(self) -> tuple[int, int]:
        """Products of all layers for one sample of the example's shape."""
        return _total([layer.multiply_adds for layer in self.layers])

    @property
    def gain(self) -> float:
        """Multiply-adds before, divided by those after; 1 if there are none."""
        before, after = self.multiply_adds
        return before / after if after else 1.0

    def __str__(self) -> str:
        """A table of the layers, and what was left alone."""
        rows: list[tuple[str, ...]] = [
            ("layer", "units", "left", "parameters", "left", "multiply-adds", "left")
        ]
        rows += [
            _row(layer.name, layer.units, layer.parameters, layer.multiply_adds)
            for layer in self.layers
        ]
        rows.append(_row("all", self.units, self.parameters, self.multiply_adds))
        before, after = self.size
        lines = [
            f"{self.gain:.3g} times fewer multiply-adds; {before:,} bytes -> {after:,}",
            tables.plain(rows),
            *(f"left alone: {one}" for one in self.left_alone),
        ]
        return "\n".join(lines)

    def __repr__(self) -> str:
        """One line."""
        (units, units_left), (products, left) = self.units, self.multiply_adds
        return f"<Compaction: {units} -> {units_left} units, {products} -> {left} multiply-adds>"


def _total(pairs: list[tuple[int, int]]) -> tuple[int, int]:
    return sum(before for before, _ in pairs), sum(after for _, after in pairs)


def _row(name: str, *pairs: tuple[int, int]) -> tuple[str, ...]:
    return (name, *(f"{number:,}" for pair in pairs for number in pair))
