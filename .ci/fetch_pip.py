"""Fetch pip's wheel from the package index that pip itself is configured to use; the last resort of .ci/venv.

Usage: fetch_pip.py DIRECTORY, prints the wheel's path. Standard library only.
"""

import base64
import configparser
import hashlib
import html
import os
import re
import ssl
import sys
import urllib.request
from pathlib import Path
from typing import Final
from urllib.parse import unquote, urldefrag, urljoin, urlsplit

DEFAULT_INDEX: Final = "https://pypi.org/simple"

_LINK: Final = re.compile(r'<a\s[^>]*href="([^"]+)"')
_WHEEL: Final = re.compile(r"pip-(\d+(?:\.\d+)*)-py3-none-any\.whl")


def find_index() -> str:
    """Return the index of the environment, of pip's configuration files, or the public one."""
    if index := os.environ.get("PIP_INDEX_URL"):
        return index
    home = Path.home()
    files = ["/etc/xdg/pip/pip.conf", "/etc/pip.conf", home / ".pip/pip.conf", home / ".config/pip/pip.conf"]
    files.append(os.environ.get("PIP_CONFIG_FILE", os.devnull))
    parser = configparser.RawConfigParser()
    parser.read(files)
    for section in ("install", "global"):
        if parser.has_option(section, "index-url"):
            return parser.get(section, "index-url")
    return DEFAULT_INDEX


def read(url: str) -> bytes:
    """Read a page or file, with the user name and password of the URL if it has them."""
    parts = urlsplit(url)
    request = urllib.request.Request(parts._replace(netloc=parts.netloc.rpartition("@")[2]).geturl())  # noqa: S310
    if parts.username:
        secret = f"{unquote(parts.username)}:{unquote(parts.password or '')}".encode()
        request.add_header("Authorization", f"Basic {base64.b64encode(secret).decode()}")
    context = ssl.create_default_context(cafile=os.environ.get("PIP_CERT"))
    with urllib.request.urlopen(request, timeout=60, context=context) as answer:  # noqa: S310 - the user's own index
        content: bytes = answer.read()
    return content


def find_wheel(page: str) -> str:
    """Return the link to the newest release in a page of the simple index."""
    wheels = {}
    for link in _LINK.findall(page):
        if match := _WHEEL.search(link):
            wheels[tuple(int(part) for part in match[1].split("."))] = html.unescape(link)
    if not wheels:
        raise SystemExit("the package index has no pip; install python3-venv and try again")
    return wheels[max(wheels)]


def main(directory: Path) -> None:
    """Fetch the wheel, compare its digest and print where it is."""
    page = find_index().rstrip("/") + "/pip/"
    link, fragment = urldefrag(urljoin(page, find_wheel(read(page).decode())))
    content = read(link)
    algorithm, _, digest = fragment.partition("=")
    if digest and hashlib.new(algorithm, content).hexdigest() != digest:
        raise SystemExit(f"{link} is damaged: its digest is not the one that the index names")
    target = directory / Path(urlsplit(link).path).name
    target.write_bytes(content)
    sys.stdout.write(f"{target}\n")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
