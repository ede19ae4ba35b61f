"""QR codes as SVG that the content policy lets through."""

import re
from xml.etree import ElementTree

import segno

from admin.qr_code import svg


def test_drawing_is_the_code_of_the_text_and_has_no_style() -> None:
    text = "otpauth://totp/softswitch:anna1?secret=GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ&issuer=softswitch"
    drawn = ElementTree.fromstring(str(svg(text)))
    assert drawn.get("class") == "sw-qr"
    assert "style" not in str(svg(text))
    modules = len(segno.make(text, error="m", micro=False).matrix)
    assert drawn.get("viewBox") == f"0 0 {modules + 8} {modules + 8}"
    dark = [path for path in drawn.iter() if path.get("stroke") == "#000"]
    assert len(dark) == 1
    # The runs of dark modules, added up, are the dark modules of the matrix.
    runs = sum(int(length) for length in re.findall(r"h(\d+)", dark[0].get("d") or ""))
    assert runs == sum(map(sum, segno.make(text, error="m", micro=False).matrix))
