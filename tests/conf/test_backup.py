"""The file of a backup: its manifest, its members, and the address that a program is given."""

import io
import random
import tarfile
from dataclasses import asdict, replace
from pathlib import Path

import orjson
import pytest

from conf.backup import DUMP, FORMAT, Manifest, Part, counts_off, split_password, unpacked, write_archive
from conf.errors import BackupFault
from conf.schema import SCHEMA_VERSION

MANIFEST = Manifest(FORMAT, "2026-09-15T12:00:00Z", SCHEMA_VERSION, 1, {"account": 3})


class TestPassword:
    @pytest.mark.parametrize(
        ("url", "public", "password"),
        [
            ("postgresql://u:p%40q@h:1/d", "postgresql://u@h:1/d", "p@q"),
            ("postgresql://u@h/d", "postgresql://u@h/d", None),
            ("postgresql://h/d?password=p&sslmode=require", "postgresql://h/d?sslmode=require", "p"),
            ("postgresql://u@/d?host=%2Frun%2Fx&port=5432", "postgresql://u@/d?host=%2Frun%2Fx&port=5432", None),
            ("postgresql://u@/d?host=/run/x", "postgresql://u@/d?host=%2Frun%2Fx", None),
            ("postgresql:///d", "postgresql:///d", None),
            ("postgresql://u:@h/d", "postgresql://u@h/d", ""),
        ],
    )
    def test_password_leaves_the_url(self, url: str, public: str, password: str | None) -> None:
        assert split_password(url) == (public, password)


class TestManifest:
    def test_manifest_is_read_back(self) -> None:
        assert Manifest.from_json(orjson.dumps(asdict(MANIFEST))) == MANIFEST

    @pytest.mark.parametrize("data", [b"", b"x", b"[]", b"{}", b'{"format": 1}', b'{"format": 1, "more": 2}', b'"x"'])
    def test_other_text_is_no_manifest(self, data: bytes) -> None:
        with pytest.raises(BackupFault, match="no manifest"):
            Manifest.from_json(data)

    def test_manifest_of_newer_code_is_refused(self) -> None:
        with pytest.raises(BackupFault, match="format 2"):
            Manifest.from_json(orjson.dumps(asdict(replace(MANIFEST, format=2))))
        newer = replace(MANIFEST, schema_version=SCHEMA_VERSION + 1)
        assert Manifest.from_json(orjson.dumps(asdict(newer))) == newer
        with pytest.raises(BackupFault, match="install a newer one"):
            Manifest.from_json(orjson.dumps(asdict(replace(newer, compat_version=SCHEMA_VERSION + 1))))


def test_counts_that_differ_are_named() -> None:
    assert counts_off({"account": 1, "cdr": 2}, {"account": 1, "cdr": 3}) == ["cdr has 3 rows instead of 2"]
    assert counts_off({"account": 1}, {}) == ["account has 0 rows instead of 1"]


class TestArchive:
    @pytest.fixture
    def part(self, tmp_path: Path) -> Part:
        (tmp_path / "dump").write_bytes(b"whole and more")
        return Part(DUMP, tmp_path / "dump", 5)

    def test_parts_come_back_as_long_as_they_were_told_to_be(self, part: Part, tmp_path: Path) -> None:
        file = tmp_path / "file"
        write_archive(file, MANIFEST, [Part("journal/sip-1/0000000001.journal", part.path, 14), part])
        assert file.stat().st_mode & 0o777 == 0o600
        with unpacked(file, tmp_path) as backup:
            assert backup.manifest == MANIFEST
            assert backup.names == ("journal/sip-1/0000000001.journal", DUMP)
            assert (backup.directory / DUMP).read_bytes() == b"whole"
            assert (backup.directory / DUMP).stat().st_mode & 0o777 == 0o600
            assert backup.directory.stat().st_mode & 0o777 == 0o700
        assert not backup.directory.exists()

    def test_nothing_is_left_when_a_part_cannot_be_read(self, part: Part, tmp_path: Path) -> None:
        with pytest.raises(OSError, match="unexpected end of data"):
            write_archive(tmp_path / "file", MANIFEST, [replace(part, size=1000)])
        assert [path.name for path in tmp_path.iterdir()] == ["dump"]

    def test_other_file_is_never_replaced(self, part: Part, tmp_path: Path) -> None:
        (tmp_path / "file").write_text("mine")
        with pytest.raises(BackupFault, match="already"):
            write_archive(tmp_path / "file", MANIFEST, [part])
        assert (tmp_path / "file").read_text() == "mine"

    def test_fault_in_the_body_stays_what_it_is(self, part: Part, tmp_path: Path) -> None:
        write_archive(tmp_path / "file", MANIFEST, [part])
        with pytest.raises(EOFError), unpacked(tmp_path / "file", tmp_path):
            raise EOFError

    def test_bit_that_only_the_checksum_tells_of_is_refused(self, tmp_path: Path) -> None:
        (tmp_path / "dump").write_bytes(random.Random(7).randbytes(20_000))
        write_archive(tmp_path / "file", MANIFEST, [Part(DUMP, tmp_path / "dump", 20_000)])
        data = bytearray((tmp_path / "file").read_bytes())
        data[10_000] ^= 1  # of what does not compress and so stands there as it is
        (tmp_path / "file").write_bytes(data)
        with pytest.raises(BackupFault, match="damaged"), unpacked(tmp_path / "file", tmp_path):
            pass

    @pytest.mark.parametrize("kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.DIRTYPE, tarfile.CHRTYPE])
    def test_member_that_is_no_file_is_refused(self, tmp_path: Path, kind: bytes) -> None:
        with tarfile.open(tmp_path / "file", "w:gz") as archive:
            for name, data in (("manifest.json", orjson.dumps(asdict(MANIFEST))), (DUMP, b"")):
                member = tarfile.TarInfo(name)
                member.size = len(data)
                if name == DUMP:
                    member.type, member.linkname = kind, "/etc/hostname"
                archive.addfile(member, io.BytesIO(data))
        with pytest.raises(BackupFault, match="not a file"), unpacked(tmp_path / "file", tmp_path):
            pass

    def test_backup_without_a_database_is_refused(self, tmp_path: Path) -> None:
        write_archive(tmp_path / "file", MANIFEST, [])
        with pytest.raises(BackupFault, match="no database"), unpacked(tmp_path / "file", tmp_path):
            pass
