"""Addresses of the browser's files."""

from pathlib import Path

import orjson

from admin.assets import SOURCES, STATIC, Assets


def test_address_holds_the_hash_when_the_files_are_built(tmp_path: Path) -> None:
    (tmp_path / "manifest.json").write_bytes(orjson.dumps({"app.css": "app-12345678.css"}))
    assets = Assets.load(tmp_path)
    assert assets.url("app.css") == "/static/vendor/app-12345678.css"


def test_panel_goes_on_with_its_own_files_when_nothing_is_built(tmp_path: Path) -> None:
    assert Assets.load(tmp_path).url("app.css") == "/static/app.css"


def test_every_own_file_of_the_build_exists() -> None:
    for name in ("app.css", "app.js", "charts.js", "forms.js", "theme.js", "favicon.svg", "icons.txt"):
        assert (STATIC / name).is_file()


def test_lock_file_names_no_registry_and_holds_every_hash() -> None:
    lock = orjson.loads((SOURCES / "package-lock.json").read_bytes())
    packages = {name: package for name, package in lock["packages"].items() if name}
    assert packages
    for name, package in packages.items():
        assert "resolved" not in package, name
        assert package["integrity"].startswith("sha512-"), name


def test_versions_are_exact() -> None:
    package = orjson.loads((SOURCES / "package.json").read_bytes())
    for version in (package["dependencies"] | package["devDependencies"]).values():
        assert version.replace(".", "").isdecimal()
