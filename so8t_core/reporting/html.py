"""A report as one HTML page that needs nothing from elsewhere: no script, no font, no picture."""

from __future__ import annotations

from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup, escape

from so8t_core.contract.plain import plain_text
from so8t_core.reporting.catalogue import Catalogue
from so8t_core.reporting.document import Curve, Figure, Outside, Report, Several, Words
from so8t_core.reporting.plots import bar_svg, curve_svg, interval_svg


def to_html(report: Report, catalogue: Catalogue) -> str:
    """The whole page. Everything but our own drawings is escaped by the template."""
    environment = Environment(
        loader=PackageLoader("so8t_core.reporting"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    drawing = _Drawing(catalogue)
    environment.filters.update(
        cell=drawing.cell,
        curve=drawing.curve,
        bar=_bar,
        interval=_interval,
        kind=_kind,
        numeric=_numeric,
    )
    page = environment.get_template("report.html.j2")
    return page.render(report=report, words=catalogue.wording.words) + "\n"


class _Drawing:
    """The template's filters."""

    def __init__(self, catalogue: Catalogue) -> None:
        self._catalogue = catalogue

    def cell(self, cell: Any) -> Markup:
        """A cell's text; a figure tells its origin and exact value when pointed at."""
        match cell:
            case Words():
                return _prose(cell.text)
            case Outside():
                return escape(plain_text(cell.text))
            case Figure():
                return self._figure(cell, plain_text(self._catalogue.value(cell)))
            case Several():
                texts = map(plain_text, self._catalogue.values(cell))
                return escape(cell.joint).join(map(self._figure, cell.figures, texts))
            case _:
                raise TypeError(f"{type(cell).__name__} is no cell")

    def _figure(self, figure: Figure, text: str) -> Markup:
        path = plain_text(".".join(map(str, figure.path)))
        origin = f"{figure.phase}/manifest.json {path} = {plain_text(str(figure.value))}"
        return Markup('<span class="fig" title="{}">{}</span>').format(origin, text)

    def curve(self, curve: Curve) -> Markup:
        """The curve's drawing."""
        title = plain_text(curve.caption.text)
        x_label = self._catalogue.words("step").text
        return Markup(curve_svg(title, curve.points, x_label=x_label))  # noqa: S704 - escapes its texts


def _interval(shares: tuple[float, float, float]) -> Markup:
    return Markup(interval_svg(*shares))  # noqa: S704 - holds numbers alone


def _bar(share: float) -> Markup:
    return Markup(bar_svg(share))  # noqa: S704 - holds a number alone


def _prose(text: str) -> Markup:
    """Our own sentence: what stands between backticks is code."""
    parts = [
        Markup("<code>{}</code>").format(part) if index % 2 else escape(part)
        for index, part in enumerate(text.split("`"))
    ]
    return Markup("").join(parts)


def _kind(block: Any) -> str:
    return type(block).__name__.lower()


def _numeric(cell: Any) -> bool:
    return isinstance(cell, Figure) and not isinstance(cell.value, str)
