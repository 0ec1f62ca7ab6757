"""The card that a notebook shows of a result: HTML elements with inline styles.

Viewers of notebooks remove scripts, style sheets and images, so there are none. Inline styles also
override the style sheets of notebooks, such as JupyterLab's for tables. Colours are readable on
light and dark backgrounds, and text has the colour of its surroundings.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Callable, Sequence
from html import escape
from typing import Any

from swiftforce.result import trust
from swiftforce.result.layers import Layer
from swiftforce.result.records import PruningRecord, Step
from swiftforce.result.summary import (
    DensityScale,
    damping_summary,
    percent,
    saliency_name,
    scope_summary,
    share_of_scores,
    sparsity_of_cost,
    total_removed,
    total_revived,
)
from swiftforce.show import tables

#: The most rows of a table that is always open. With more layers there is a chart, of at most so
#: many columns, and a table that can be opened, of at most so many rows.
_ROWS, _BARS, _OPENED = 24, 240, 300
#: The most steps in a chart; of more, some are left out.
_COLUMNS = 60
#: The least width of the bars.
_BAR_WIDTH = "8em"

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
        *(
            _block(escape(text), _SMALL)
            for text in (*scope_summary(pruning), *share_of_scores(pruning))
        ),
    ]
    style = (
        f"max-width:56em;border:1px solid {_LINE};border-radius:6px;padding:0.8em 1.1em;"
        "line-height:1.45;color:inherit;text-align:left;overflow-wrap:anywhere"
    )
    return _block("".join(parts), style)


def _head(pruning: PruningRecord[Any]) -> str:
    removed = f'<span style="font-size:1.6em">{percent(pruning.sparsity)}</span> removed'
    steps = f"{pruning.steps} steps, {pruning.schedule} schedule" if pruning.steps > 1 else "1 step"
    steps += damping_summary(pruning)
    about = (
        f"{sparsity_of_cost(pruning)}{pruning.keep:,} of {pruning.size:,} weights kept by "
        f"<b>{_text(pruning.method)}</b>, "
        f"{_text(steps)}"
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
    """A row for each layer: names and numbers stay on one line, bars have the rest of the width."""
    cell = "padding:1px 10px 1px 0;border:none;white-space:nowrap"
    left, right = f"{cell};text-align:left", f"{cell};text-align:right"
    heading = (
        f'<th style="{left}">layer</th><th style="{right}">kept</th>'
        f'<th style="{right}">density</th><th style="{left};width:100%">{_axis(scale)}</th>'
    )
    rows = [f'<tr style="background:none">{heading}</tr>']
    for layer in layers:
        rows.append(
            f'<tr style="background:none" title="{_layer_title(layer)}">'
            f'<td style="{left}">{_text(layer.name)}</td>'
            f'<td style="{right}">{layer.kept:,} of {layer.size:,}</td>'
            f'<td style="{right}">{_percent(layer)}</td>'
            f'<td style="{left}">{_bar(layer, scale)}</td></tr>'
        )
    style = (
        "table-layout:auto;width:100%;border:none;border-collapse:collapse;margin:0;"
        "font-size:0.92em;color:inherit"
    )
    # With very long names it is wider than the card.
    return _block(
        f'<table style="{style}">{"".join(rows)}</table>',
        "max-height:24em;overflow:auto;margin:0.6em 0"
        if len(layers) > _ROWS
        else "overflow-x:auto;margin:0.6em 0",
    )


def _axis(scale: DensityScale) -> str:
    """The powers of ten above the bars."""
    ticks = "".join(f"<span>{percent(tick)}</span>" for tick in scale.ticks)
    style = f"display:flex;justify-content:space-between;gap:0.8em;min-width:{_BAR_WIDTH};"
    style += f"font-weight:normal;{_SMALL}"
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
        + _table(layers[:_OPENED], scale)
        + "</details>"
    )


def _column_of(layers: Sequence[Layer], scale: DensityScale) -> str:
    """A column for a few layers, as high as the density of the sparsest of them."""
    sparsest = min(layers, key=lambda layer: layer.density)
    if sparsest.collapsed:
        return _column(1.0, _RED, _layer_title(sparsest))
    return _column(scale.place(sparsest.density), _BLUE, _layer_title(sparsest))


def _notable(layers: Sequence[Layer]) -> str:
    """The sparsest and the densest of the layers that keep a weight."""
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


def _layer_title(layer: Layer) -> str:
    """The tooltip of a layer."""
    text = f"{layer.name} {layer.shape}: {layer.kept:,} of {layer.size:,} weights kept"
    return _text(f"{text}, {percent(layer.density)}")


# ------------------------------------------------------------------------------ steps


def _charts(pruning: PruningRecord[Any]) -> str:
    """What each step did: weights kept, weights removed and brought back, saliency."""
    first, last = pruning.history[0], pruning.history[-1]
    charts = [
        _chart(
            pruning,
            lambda step: math.log1p(step.keep),
            "kept",
            f"{pruning.size:,} &rarr; {pruning.keep:,}",
        ),
        _chart(
            pruning,
            lambda step: math.log1p(step.removed),
            "removed",
            f"{total_removed(pruning):,}",
            color=_GREY,
        ),
        _chart(
            pruning,
            lambda step: math.log1p(step.revived),
            "brought back",
            f"{total_revived(pruning):,}",
        ),
        _chart(
            pruning,
            lambda step: step.saliency,
            saliency_name(pruning),
            f"{first.saliency:.3g} &rarr; {last.saliency:.3g}",
        ),
    ]
    style = "display:flex;flex-wrap:wrap;align-items:flex-end;gap:0.4em 1.2em;margin:0.6em 0 0.2em"
    caption = f"steps 1 to {pruning.steps}; numbers of weights are logarithmic"
    if pruning.degenerate or any(step.degenerate for step in pruning.history):
        caption += f'; <b style="color:{_AMBER}">positions, not scores, chose some weights</b>'
    return _block("".join(charts), style) + _block(caption, _SMALL)


def _chart(
    pruning: PruningRecord[Any],
    value: Callable[[Step], float],
    name: str,
    total: str,
    *,
    color: str = _BLUE,
) -> str:
    """A column for each step, amber where positions chose weights."""
    history, saliency = pruning.history, saliency_name(pruning)
    count = min(len(history), _COLUMNS)
    shown = [history[round(i * (len(history) - 1) / (count - 1))] for i in range(count)]
    # An infinite sum has the full height, and all others have none.
    top = min(max(value(step) for step in shown), sys.float_info.max) or 1.0
    columns = [
        _column(
            min(1.0, value(step) / top),
            _AMBER if step.degenerate else color,
            _step_title(step, saliency),
        )
        for step in shown
    ]
    return _block(_block(f"{name}: {total}", _SMALL) + _row(columns, "2.6em"), "flex:1 1 9em")


def _step_title(step: Step, saliency: str) -> str:
    """The tooltip of a step."""
    return (
        f"step {step.step}: {step.keep:,} kept, {step.removed:,} removed, "
        f"{step.revived:,} brought back, {saliency} {step.saliency:.6g}"
    )


# ------------------------------------------------------------------------------ pieces


def _row(columns: Sequence[str], height: str) -> str:
    """Columns on one base line."""
    # Gaps are a share of the row, so that they leave enough of it to many columns.
    gap = f"{min(0.4, 20 / len(columns)):.2f}%"
    style = (
        f"display:flex;align-items:flex-end;gap:0 {gap};height:{height};"
        f"border-bottom:1px solid {_LINE}"
    )
    return _block("".join(columns), style)


def _column(height: float, color: str, title: str) -> str:
    """A column of a share of its row's height, at least a pixel unless it is zero."""
    style = f"flex:1 1 0;height:{100 * height:.1f}%;background:{color}"
    if height > 0:
        style += ";min-height:1px"
    return f'<div style="{style}" title="{title}"></div>'


def _text(text: str) -> str:
    """A text with names of tensors, which may hold any characters."""
    return escape(tables.printable(text))


def _block(content: str, style: str) -> str:
    return f'<div style="{style}">{content}</div>' if style else f"<div>{content}</div>"
