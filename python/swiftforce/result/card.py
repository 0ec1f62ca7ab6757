"""The card that a notebook shows of a result: HTML with styles of its own and nothing else.

No script, no style sheet and no picture, which viewers of notebooks take out; colours that are
read on light and on dark; text in the colour of what is around it.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Callable, Sequence
from html import escape
from typing import Any

from swiftforce.result import trust
from swiftforce.result.records import Layer, PruningRecord, Step
from swiftforce.result.summary import (
    DensityScale,
    percent,
    share_of_scores,
    total_removed,
    total_revived,
)
from swiftforce.show import tables

#: With more layers than that, their bars stand side by side, and the table has to be opened. There
#: it has so many rows, and so many bars stand side by side.
_ROWS, _OPENED, _BARS = 24, 300, 240
#: With more steps than that, some are left out of the charts.
_COLUMNS = 60

_BLUE, _GREY, _RED, _AMBER = "#3a86c8", "rgba(128,128,128,0.7)", "#d64545", "#d9822b"
_FAINT, _LINE = "rgba(128,128,128,0.16)", "rgba(128,128,128,0.45)"
_SMALL = "font-size:0.85em;opacity:0.75"


def html_of(pruning: PruningRecord[Any]) -> str:
    """The card of a result."""
    scale = DensityScale(pruning)
    many = len(pruning.layers) > _ROWS
    parts = [
        _head(pruning),
        _concerns(trust.texts(pruning)),
        _strip(pruning.layers, scale) if many else _table(pruning.layers, scale),
        _charts(pruning) if pruning.steps > 1 else "",
        *(_block(escape(text), _SMALL) for text in share_of_scores(pruning)),
    ]
    style = (
        f"max-width:48em;border:1px solid {_LINE};border-radius:6px;padding:0.8em 1.1em;"
        "line-height:1.45;color:inherit;text-align:left;overflow-wrap:anywhere"
    )
    return _block("".join(parts), style)


def _head(pruning: PruningRecord[Any]) -> str:
    removed = f'<span style="font-size:1.6em">{percent(pruning.sparsity)}</span> removed'
    steps = f"{pruning.steps} steps, {pruning.schedule} schedule" if pruning.steps > 1 else "1 step"
    about = (
        f"{pruning.keep:,} of {pruning.size:,} weights kept by <b>{escape(pruning.method)}</b>, "
        f"{escape(steps)}"
    )
    return _block(f"<b>{removed}</b> &ensp; {about}", "")


def _concerns(texts: Sequence[str]) -> str:
    if not texts:
        return _block("no warnings", _SMALL)
    items = "".join(f"<li>{_text(text)}</li>" for text in texts)
    style = f"border-left:4px solid {_AMBER};padding-left:0.7em;margin:0.5em 0"
    return _block(f'<b>warnings</b><ul style="margin:0;padding-left:1.2em">{items}</ul>', style)


# ------------------------------------------------------------------------------ layers


def _table(layers: Sequence[Layer], scale: DensityScale) -> str:
    """A row for each layer."""
    cell = "padding:1px 8px 1px 0;border:none;background:none;vertical-align:middle"
    left, right = f"{cell};text-align:left", f"{cell};text-align:right;white-space:nowrap"
    heading = (
        f'<th style="{left}">layer</th><th style="{right}">kept</th>'
        f'<th style="{right}">density</th><th style="{left};width:45%">{_axis(scale)}</th>'
    )
    rows = [f'<tr style="background:none">{heading}</tr>']
    for layer in layers:
        rows.append(
            f'<tr style="background:none" title="{_title(layer)}">'
            f'<td style="{left}">{_text(layer.name)}</td>'
            f'<td style="{right}">{layer.kept:,} of {layer.size:,}</td>'
            f'<td style="{right}">{_percent(layer)}</td>'
            f'<td style="{left}">{_bar(layer, scale)}</td></tr>'
        )
    style = "width:100%;border:none;border-collapse:collapse;margin:0.6em 0;font-size:0.92em"
    return f'<table style="{style}">{"".join(rows)}</table>'


def _axis(scale: DensityScale) -> str:
    """The powers of ten above the bars."""
    ticks = "".join(f"<span>{percent(tick)}</span>" for tick in scale.ticks)
    style = "display:flex;justify-content:space-between;font-weight:normal;" + _SMALL
    return f'<div style="{style}">{ticks}</div>'


def _bar(layer: Layer, scale: DensityScale) -> str:
    if layer.collapsed:
        return f'<b style="color:{_RED}">nothing is left</b>'
    if not layer.size:
        return "no weights"
    filled = f"width:{100 * scale.place(layer.density):.1f}%;height:0.8em;background:{_BLUE}"
    return f'<div style="background:{_FAINT}"><div style="{filled}"></div></div>'


def _strip(layers: Sequence[Layer], scale: DensityScale) -> str:
    """A column for each layer, the notable ones in words, and all of them to be opened."""
    some = math.ceil(len(layers) / _BARS)
    columns = [_column_of(layers[i : i + some], scale) for i in range(0, len(layers), some)]
    caption = f"density of {len(layers)} layers, {percent(scale.ticks[0])} to 100 %, logarithmic"
    if some > 1:
        caption += f"; each column is the sparsest of {some} layers"
    if empty := sum(layer.collapsed for layer in layers):
        caption += f'; <b style="color:{_RED}">{empty} with nothing left</b>'
    which = "all" if len(layers) <= _OPENED else f"the first {_OPENED} of"
    return (
        _block(_row(columns, "5em"), "margin-top:0.6em")
        + _block(f"{caption}<br>{_notable(layers)}", _SMALL)
        + f'<details style="margin:0.3em 0"><summary>{which} {len(layers)} layers</summary>'
        + _block(_table(layers[:_OPENED], scale), "max-height:24em;overflow-y:auto")
        + "</details>"
    )


def _column_of(layers: Sequence[Layer], scale: DensityScale) -> str:
    """A column for layers that stand in one place, as high as the sparsest of them."""
    sparsest = min(layers, key=lambda layer: layer.density)
    if sparsest.collapsed:
        return _column(1.0, _RED, _title(sparsest))
    return _column(scale.place(sparsest.density), _BLUE, _title(sparsest))


def _notable(layers: Sequence[Layer]) -> str:
    """The sparsest and the densest layer that something is left of."""
    kept = [layer for layer in layers if layer.kept]
    if not kept:
        return ""
    order = sorted(kept, key=lambda layer: layer.density)
    return "<br>".join(
        f"{which}: {_text(layer.name)}, {percent(layer.density)}"
        for which, layer in (("sparsest", order[0]), ("densest", order[-1]))
    )


def _percent(layer: Layer) -> str:
    return percent(layer.density) if layer.size else ""


def _title(layer: Layer) -> str:
    """What is said of a layer under the pointer."""
    text = f"{layer.name} {layer.shape}: {layer.kept:,} of {layer.size:,} weights kept"
    return _text(f"{text}, {percent(layer.density)}")


# ------------------------------------------------------------------------------ steps


def _charts(pruning: PruningRecord[Any]) -> str:
    """The course of the search: weights kept, weights removed and brought back, saliency."""
    first, last = pruning.history[0], pruning.history[-1]
    charts = [
        _chart(
            pruning.history,
            lambda step: math.log1p(step.keep),
            "kept",
            f"{pruning.size:,} &rarr; {pruning.keep:,}",
        ),
        _chart(
            pruning.history,
            lambda step: math.log1p(step.removed),
            "removed",
            f"{total_removed(pruning):,}",
            color=_GREY,
        ),
        _chart(
            pruning.history,
            lambda step: math.log1p(step.revived),
            "brought back",
            f"{total_revived(pruning):,}",
        ),
        _chart(
            pruning.history,
            lambda step: step.saliency,
            "saliency",
            f"{first.saliency:.3g} &rarr; {last.saliency:.3g}",
        ),
    ]
    style = "display:flex;flex-wrap:wrap;align-items:flex-end;gap:0.4em 1.2em;margin:0.6em 0 0.2em"
    caption = f"steps 1 to {pruning.steps}; numbers of weights are logarithmic"
    if pruning.degenerate or any(step.degenerate for step in pruning.history):
        caption += f'; <b style="color:{_AMBER}">positions, not scores, chose some weights</b>'
    return _block("".join(charts), style) + _block(caption, _SMALL)


def _chart(
    history: Sequence[Step],
    value: Callable[[Step], float],
    name: str,
    total: str,
    *,
    color: str = _BLUE,
) -> str:
    """A column for each step, amber where positions chose weights."""
    count = min(len(history), _COLUMNS)
    shown = [history[round(i * (len(history) - 1) / (count - 1))] for i in range(count)]
    # A sum beyond the largest float64 is as high as can be, and all others are nothing to it.
    top = min(max(value(step) for step in shown), sys.float_info.max) or 1.0
    columns = [
        _column(min(1.0, value(step) / top), _AMBER if step.degenerate else color, _told(step))
        for step in shown
    ]
    return _block(_block(f"{name}: {total}", _SMALL) + _row(columns, "2.6em"), "flex:1 1 9em")


def _told(step: Step) -> str:
    """What is said of a step under the pointer."""
    return (
        f"step {step.step}: {step.keep:,} kept, {step.removed:,} removed, "
        f"{step.revived:,} brought back, saliency {step.saliency:.6g}"
    )


# ------------------------------------------------------------------------------ pieces


def _row(columns: Sequence[str], height: str) -> str:
    """Columns that stand on one line."""
    # A gap is a share of the row, so that many columns leave room for themselves.
    gap = f"{min(0.4, 20 / len(columns)):.2f}%"
    style = (
        f"display:flex;align-items:flex-end;gap:0 {gap};height:{height};"
        f"border-bottom:1px solid {_LINE}"
    )
    return _block("".join(columns), style)


def _column(height: float, color: str, title: str) -> str:
    """A column of that share of its row's height; what is not zero can be seen."""
    style = f"flex:1 1 0;height:{100 * height:.1f}%;background:{color}"
    if height > 0:
        style += ";min-height:1px"
    return f'<div style="{style}" title="{title}"></div>'


def _text(text: str) -> str:
    """A text that tells names of tensors, which may hold anything."""
    return escape(tables.printable(text))


def _block(content: str, style: str) -> str:
    return f'<div style="{style}">{content}</div>' if style else f"<div>{content}</div>"
