"""Charts of fine-tuning: one value epoch by epoch."""

from __future__ import annotations

from collections.abc import Sequence

from automl_cnn.report.charts.plot import Plot, axis


def epochs_chart(epochs: Sequence[float], values: Sequence[float], name: str, best_epoch: float | None = None) -> str:
    """One value an epoch as a line; the chosen epoch is marked."""
    across = axis("epoch", epochs if len(epochs) > 1 else [0, 1], whole=True, about=6)
    plot = Plot(across, axis(name, values, padding=0.08))
    pairs = list(zip(epochs, values, strict=True))
    marks = [plot.line(pairs)]
    for x, y in pairs:
        kept = x == best_epoch
        note = f"epoch {x:g}: {y:.4f}{', which was kept' if kept else ''}"
        marks.append(plot.dot(x, y, "best" if kept else "dot", note, 5 if kept else 3))
    chosen = f"; epoch {best_epoch:g} was kept" if best_epoch is not None else ""
    return plot.draw(f"{name} by epoch, from {values[0]:.3f} to {values[-1]:.3f}{chosen}", marks)
