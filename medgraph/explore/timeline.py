"""When did what move this patient's risk? Events before the prediction, each with what it adds to the log-odds."""

from __future__ import annotations

import html
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from jaxtyping import Float

from medgraph.errors import SchemaError
from medgraph.explore.picture import Picture, plain
from medgraph.heads.risk.attribution import Attribution

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from plotly.graph_objects import Figure as InteractiveFigure

__all__ = ["Timeline", "timeline"]

_UP, _DOWN, _GREY = "#D55E00", "#0072B2", "#5f6368"  # Okabe & Ito (2008)
_AXIS = "days before the prediction time"
_LONGEST = 38  # letters of a name in the still picture


class _Row(NamedTuple):
    name: str
    days: Float[np.ndarray, " m"]
    contribution: Float[np.ndarray, " m"]

    @property
    def total(self) -> float:
        return float(self.contribution.sum())


@dataclass(frozen=True, eq=False, repr=False)
class Timeline(Picture):
    """Above: the log-odds as visits add up. Below: the codes that move them most, each event where it happened.

    Time is told in days before the prediction, never as a date, and the picture knows no subject.

    Args:
        attribution: what each event adds.
        names: code -> what to call it; other codes stand as they are.
        max_codes: rows; the codes that move least share one more.
    """

    attribution: Attribution
    names: Mapping[str, str] = field(default_factory=dict)
    max_codes: int = 15

    def __post_init__(self) -> None:
        if self.max_codes < 1:
            raise SchemaError(f"max_codes={self.max_codes}; expected at least 1.")

    def __repr__(self) -> str:
        return f"Timeline({self.attribution.output}: {len(self.attribution.codes)} events)"

    @property
    def title(self) -> str:
        """The risk in words."""
        why = self.attribution
        risk = "" if why.probability is None else f": {why.probability:.1%}"
        within = "" if why.within is None else f" within {why.within:g} days"
        moved = why.logit - why.rest
        return (
            f"{why.output}{risk}{within}\nlog-odds {why.logit:+.2f} = {why.rest:+.2f} without any event "
            f"{'+' if moved >= 0 else '−'} {abs(moved):.2f} by {len(why.codes):,} events"
        )

    def rows(self) -> list[_Row]:
        """The codes from the one that moves most to the one that moves least, and what is left."""
        why = self.attribution
        codes = np.array(why.codes, dtype=object)
        found = []
        for code in dict.fromkeys(why.codes):
            mine = codes == code
            found.append(_Row(self.names.get(code, code) or code, why.days[mine], why.contribution[mine]))
        found.sort(key=lambda row: -abs(row.total))
        rest = found[self.max_codes :]
        if len(rest) > 1:
            joined = (np.concatenate([row.days for row in rest]), np.concatenate([row.contribution for row in rest]))
            return [*found[: self.max_codes], _Row(f"{len(rest):,} other codes", *joined)]
        return found

    def steps(self) -> tuple[Float[np.ndarray, " v"], Float[np.ndarray, " v+1"]]:
        """Days of each visit, and the log-odds before the first and after each."""
        why = self.attribution
        visits = np.unique(why.visit)
        days = np.array([why.days[why.visit == visit].min() for visit in visits], dtype=np.float64)
        added = np.array([why.contribution[why.visit == visit].sum() for visit in visits], dtype=np.float64)
        return days, why.rest + np.concatenate([[0.0], np.cumsum(added)])

    def figure(self) -> Figure:
        """As a matplotlib figure."""
        from matplotlib.figure import Figure as New
        from matplotlib.lines import Line2D

        rows = self.rows()
        days, levels = self.steps()
        below = 0.3 * max(len(rows), 1)
        figure = New(figsize=(11, 3.4 + below), layout="constrained")
        grid = figure.add_gridspec(2, 2, height_ratios=[2.0, below], width_ratios=[4, 1])
        above = figure.add_subplot(grid[0, 0])
        events = figure.add_subplot(grid[1, 0], sharex=above)
        totals = figure.add_subplot(grid[1, 1], sharey=events)
        figure.suptitle(plain(self.title), fontsize=11, x=0.01, ha="left")

        edge = self._oldest()
        above.step([edge, *days, 0], [levels[0], *levels[1:], levels[-1]], where="post", color=_GREY, lw=1.4)
        for day, before, after in zip(days, levels[:-1], levels[1:], strict=True):
            colour = _UP if after >= before else _DOWN
            above.plot([day, day], [before, after], color=colour, lw=4, solid_capstyle="butt")
        above.axhline(levels[0], color=_GREY, lw=0.7, ls=":")
        above.set_ylabel("log-odds")
        above.tick_params(labelbottom=False)
        above.margins(y=0.15)

        largest = max((float(np.abs(row.contribution).max()) for row in rows), default=0.0) or 1.0
        for place, row in enumerate(rows):
            events.axhline(place, color="#e8eaed", lw=0.8, zorder=0)
            colours = [_UP if c >= 0 else _DOWN for c in row.contribution.tolist()]
            size = 12 + 180 * np.abs(row.contribution) / largest
            events.scatter(row.days, np.full(row.days.size, place), size, colours, alpha=0.75, lw=0, zorder=2)
            totals.barh(place, row.total, color=_UP if row.total >= 0 else _DOWN, height=0.6)
            totals.annotate(
                f"{row.total:+.2f}",
                (max(row.total, 0.0), place),
                xytext=(4, 0),
                textcoords="offset points",
                va="center",
                fontsize=7,
                color=_GREY,
            )
        names = [row.name if len(row.name) <= _LONGEST else f"{row.name[: _LONGEST - 1]}…" for row in rows]
        events.set_yticks(range(len(rows)), [plain(name) for name in names], fontsize=8)
        events.set_ylim(max(len(rows), 1) - 0.4, -0.6)
        events.set_xlim(edge, -0.015 * edge)
        events.set_xlabel(_AXIS)
        if not rows:
            events.text(0.5, 0.5, "no known event", transform=events.transAxes, ha="center", color=_GREY)
        totals.axvline(0, color=_GREY, lw=0.7)
        totals.margins(x=0.3)
        totals.set_xlabel("sum of a code")
        totals.tick_params(left=False, labelleft=False)
        marks = [Line2D([], [], marker="o", ls="", color=c, label=t) for c, t in ((_UP, "raises"), (_DOWN, "lowers"))]
        corner = figure.add_subplot(grid[0, 1])
        corner.set_axis_off()
        corner.legend(handles=marks, frameon=False, loc="upper left")
        for axes in (above, events, totals):
            axes.spines[["top", "right"]].set_visible(False)
        return figure

    def interactive(self) -> InteractiveFigure:
        """As a plotly figure: hover for codes, days and what they add."""
        import plotly.graph_objects as go
        from plotly.subplots import make_subplots

        rows = self.rows()
        days, levels = self.steps()
        edge = self._oldest()
        figure = make_subplots(
            2, 2, shared_xaxes="columns", shared_yaxes="rows", column_widths=[0.8, 0.2], row_heights=[0.3, 0.7],
            specs=[[{}, None], [{}, {}]], horizontal_spacing=0.02, vertical_spacing=0.04,
        )  # fmt: skip
        figure.add_scatter(
            x=[edge, *days, 0],
            y=[levels[0], *levels[1:], levels[-1]],
            mode="lines",
            line={"shape": "hv", "color": _GREY},
            hovertemplate="%{x:.0f} days before: log-odds %{y:.2f}<extra></extra>",
            row=1,
            col=1,
        )
        largest = max((float(np.abs(row.contribution).max()) for row in rows), default=0.0) or 1.0
        labels = [f"{place + 1}. {html.escape(row.name)}" for place, row in enumerate(rows)]  # told apart by number
        for label, row in zip(labels, rows, strict=True):
            figure.add_scatter(
                x=row.days,
                y=[label] * row.days.size,
                mode="markers",
                marker={
                    "size": 5 + 17 * np.sqrt(np.abs(row.contribution) / largest),
                    "color": [_UP if c >= 0 else _DOWN for c in row.contribution.tolist()],
                    "opacity": 0.75,
                },
                customdata=row.contribution,
                hovertemplate=f"<b>{html.escape(row.name)}</b><br>%{{x:.0f}} days before<br>%{{customdata:+.3f}}"
                "<extra></extra>",
                row=2,
                col=1,
            )
        figure.add_trace(
            go.Bar(
                x=[row.total for row in rows],
                y=labels,
                orientation="h",
                marker={"color": [_UP if row.total >= 0 else _DOWN for row in rows]},
                hovertemplate="%{y}<br>%{x:+.3f}<extra></extra>",
            ),
            row=2,
            col=2,
        )
        figure.update_xaxes(range=[edge, -0.015 * edge], col=1)
        figure.update_xaxes(title=_AXIS, row=2, col=1)
        figure.update_xaxes(title="sum of a code", row=2, col=2)
        figure.update_yaxes(title="log-odds", row=1, col=1)
        figure.update_yaxes(autorange="reversed", row=2)
        figure.update_layout(
            template="plotly_white",
            title={"text": html.escape(self.title).replace("\n", "<br>"), "font": {"size": 15}},
            showlegend=False,
            width=1100,
            height=330 + 26 * max(len(rows), 1),
        )
        return figure

    def _oldest(self) -> float:
        return 1.03 * float(self.attribution.days.max(initial=1.0))


def timeline(attribution: Attribution, names: Mapping[str, str] | None = None, max_codes: int = 15) -> Timeline:
    """When did what move this patient's risk?

    Args:
        attribution: of `explain` of a risk head.
        names: code -> what to call it; other codes stand as they are.
        max_codes: rows; the codes that move least share one more.

    Raises:
        SchemaError: no row at all.
    """
    return Timeline(attribution, names or {}, max_codes)
