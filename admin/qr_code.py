"""QR codes, drawn by the server: what they hold never leaves this machine but in the page itself."""

import segno
from markupsafe import Markup


def svg(text: str) -> Markup:
    """A QR code as SVG, dark on white in either theme, without a size of its own; text must be shown beside it."""
    drawn = segno.make(text, error="m", micro=False)
    drawing = drawn.svg_inline(omitsize=True, dark="#000", light="#fff", border=4, svgclass="sw-qr", lineclass=None)
    return Markup(drawing)  # noqa: S704 — of squares alone: no text is in it
