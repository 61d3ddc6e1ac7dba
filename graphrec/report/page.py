"""Small pieces of HTML. Every string is escaped where it enters a page, unless it is ``Html`` already."""

from __future__ import annotations

import html
from collections.abc import Iterable, Sequence

STYLE = """
:root { color-scheme: light; --ink: #1d2733; --quiet: #5a6675; --line: #dfe4ea; --paper: #fff; --accent: #0b6e99; }
* { box-sizing: border-box; }
body { margin: 0; background: #f4f6f8; color: var(--ink); -webkit-text-size-adjust: 100%;
  font: 16px/1.55 system-ui, -apple-system, "Segoe UI", Roboto, "Helvetica Neue", Arial, sans-serif; }
main { max-width: 60rem; margin: 0 auto; padding: 2rem 1rem 4rem; }
header p, .quiet { color: var(--quiet); }
h1 { font-size: 1.9rem; line-height: 1.2; margin: 0 0 .3rem; overflow-wrap: anywhere; }
h2 { font-size: 1.25rem; margin: 0 0 .75rem; }
h3 { font-size: 1rem; margin: 1.5rem 0 .4rem; overflow-wrap: anywhere; }
p { margin: 0 0 .75rem; max-width: 44rem; }
section { background: var(--paper); border: 1px solid var(--line); border-radius: 10px; padding: 1.25rem;
  margin-top: 1.25rem; }
section > :last-child { margin-bottom: 0; }
dl.cards { display: grid; grid-template-columns: repeat(auto-fit, minmax(8.5rem, 1fr)); gap: .75rem;
  margin: 0 0 1.25rem; }
dl.cards div { border-left: 3px solid var(--accent); padding: .1rem 0 .1rem .75rem; }
dl.cards dt { color: var(--quiet); font-size: .85rem; line-height: 1.35; }
dl.cards dd { margin: 0; font-size: 1.45rem; font-weight: 600; font-variant-numeric: tabular-nums; }
.scroll { overflow-x: auto; margin-bottom: .75rem; }
table { border-collapse: collapse; width: 100%; font-size: .92rem; }
caption { text-align: left; color: var(--quiet); padding-bottom: .4rem; }
th, td { padding: .4rem .7rem; border-bottom: 1px solid var(--line); text-align: left; vertical-align: top; }
thead th { color: var(--quiet); font-weight: 600; border-bottom: 2px solid var(--line); }
tbody th { font-weight: 500; }
tr > :first-child { padding-left: 0; }
tr > :last-child { padding-right: 0; }
.number { text-align: right; font-variant-numeric: tabular-nums; white-space: nowrap; }
small { display: block; color: var(--quiet); font-size: .82rem; line-height: 1.35; font-weight: 400; }
.best { font-weight: 700; }
.figures { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(100%, 19rem), 1fr)); gap: 1rem; }
figure { margin: 0 0 .75rem; max-width: 34rem; }
figure img { width: 100%; height: auto; display: block; }
figcaption { color: var(--quiet); font-size: .88rem; }
code { font-family: ui-monospace, SFMono-Regular, Menlo, Consolas, monospace; font-size: .9em;
  overflow-wrap: anywhere; }
@media (max-width: 40rem) {
  main { padding: 1.25rem .6rem 3rem; }
  section { padding: 1rem .8rem; }
  table { font-size: .84rem; }
  th, td { padding: .35rem .35rem; }
  thead th { font-size: .78rem; }
  tbody th:not(.number) { min-width: 5.2rem; }
  small { font-size: .75rem; }
}
@media print { body { background: #fff; } section { break-inside: avoid; } }
"""


class Html(str):
    """Markup that is safe as it stands."""


def safe(value: object) -> Html:
    """A value as markup: strings escaped, numbers written for people, ``None`` as a dash.

    >>> safe("<b>"), safe(12345), safe(0.123456), safe(None)
    ('&lt;b&gt;', '12,345', '0.1235', '–')
    """
    if isinstance(value, Html):
        return value
    if value is None:
        return Html("–")
    if isinstance(value, bool):
        return Html("yes" if value else "no")
    if isinstance(value, int):
        return Html(f"{value:,}")
    if isinstance(value, float):
        return Html(f"{value:,.1f}" if abs(value) >= 100 else f"{value:.4f}" if abs(value) < 10 else f"{value:.2f}")
    return Html(html.escape(str(value)))


def join(parts: Iterable[object], separator: str = "") -> Html:
    """Values as markup, one after the other."""
    return Html(separator.join(safe(part) for part in parts))


def tag(name: str, *inside: object, **attributes: str) -> Html:
    """An element.

    >>> tag("td", "a & b", class_="number")
    '<td class="number">a &amp; b</td>'
    """
    names = {key: key.rstrip("_").replace("_", "-") for key in attributes}
    written = "".join(f' {names[key]}="{html.escape(value)}"' for key, value in attributes.items())
    return Html(f"<{name}{written}>{join(inside)}</{name}>")


def table(caption: str, columns: Sequence[str], rows: Iterable[Sequence[object]]) -> Html:
    """A table whose first column names the rows; cells that hold numbers stand to the right."""
    rows = [list(row) for row in rows]
    numeric = [bool(rows) and all(_is_number(row[place]) for row in rows) for place in range(len(columns))]
    head = [
        tag("th", name, scope="col", **_class("number" if is_number else ""))
        for name, is_number in zip(columns, numeric, strict=True)
    ]
    body = [
        tag(
            "tr",
            tag("th", row[0], scope="row", **_class("number" if numeric[0] else "")),
            *(tag("td", value, **_class("number" if _is_number(value) else "")) for value in row[1:]),
        )
        for row in rows
    ]
    inside = [tag("caption", caption), tag("thead", tag("tr", *head)), tag("tbody", *body)]
    return tag("div", tag("table", *inside), class_="scroll", role="region", tabindex="0", aria_label=caption)


def cards(facts: Iterable[tuple[str, object]]) -> Html:
    """Headline numbers."""
    return tag("dl", *(tag("div", tag("dt", name), tag("dd", value)) for name, value in facts), class_="cards")


def section(title: str, *inside: object) -> Html:
    """A titled part of the page."""
    return tag("section", tag("h2", title), *inside)


def figure(source: str, alt: str, caption: str) -> Html:
    """A picture held in the page itself; ``source`` is a data URI."""
    image = Html(f'<img src="{html.escape(source)}" alt="{html.escape(alt)}">')
    return tag("figure", image, tag("figcaption", caption))


def page(title: str, *inside: object) -> str:
    """A whole page that needs nothing beside it."""
    head = (
        '<meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{safe(title)}</title><style>{STYLE}</style>"
    )
    return f'<!DOCTYPE html>\n<html lang="en"><head>{head}</head>\n<body><main>{join(inside)}</main></body></html>\n'


def _is_number(value: object) -> bool:
    return (
        value is None or (isinstance(value, int | float) and not isinstance(value, bool)) or isinstance(value, Number)
    )


def _class(name: str) -> dict[str, str]:
    return {"class_": name} if name else {}


class Number(Html):
    """Markup that reads as a number (a share, a marked best value)."""
