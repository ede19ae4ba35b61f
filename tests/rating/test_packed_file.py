"""Files of packed tables: what is written is read, and what is not whole is refused."""

from array import array
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rating.errors import InvalidPackedFile
from rating.packed_file import Head, PackedFile, read_head, write_packed

HEAD = Head("ratecard", 7, 12, 3)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "card.pack"
    write_packed(path, HEAD, {"texts": b"abc", "empty": b"", "numbers": array("Q", [1, 70_000, 2])})
    return path


@given(st.lists(st.integers(0, 2**64 - 1)), st.binary())
def test_sections_are_read_as_they_were_written(
    tmp_path_factory: pytest.TempPathFactory, numbers: list[int], body: bytes
) -> None:
    path = tmp_path_factory.getbasetemp() / "any.pack"
    write_packed(path, HEAD, {"body": body, "numbers": array("Q", numbers), "more": body})
    file = PackedFile(path, "ratecard")
    assert file.section("numbers").tolist() == numbers
    assert bytes(file.section("body")) == bytes(file.section("more")) == body


@pytest.mark.parametrize(("greatest", "width"), [(255, 1), (256, 2), (65_535, 2), (65_536, 4), (2**32, 8)])
def test_numbers_are_as_wide_as_the_greatest_needs(tmp_path: Path, greatest: int, width: int) -> None:
    write_packed(tmp_path / "a", HEAD, {"numbers": array("Q", [0, greatest])})
    section = PackedFile(tmp_path / "a", "ratecard").section("numbers")
    assert (section.itemsize, section.tolist()) == (width, [0, greatest])


def test_head_is_read_without_the_rows(path: Path) -> None:
    assert read_head(path) == PackedFile(path, "ratecard").head == HEAD


def test_nothing_but_the_file_is_left(path: Path) -> None:
    assert list(path.parent.iterdir()) == [path]


def test_mapped_file_stays_readable_when_another_takes_its_place(path: Path) -> None:
    file = PackedFile(path, "ratecard")
    write_packed(path, HEAD, {"texts": b"other"})
    path.unlink()
    assert bytes(file.section("texts")) == b"abc"


class TestBroken:
    """What is not whole is refused."""

    def test_every_changed_byte_is_noticed(self, path: Path) -> None:
        whole = path.read_bytes()
        for place in range(len(whole)):
            path.write_bytes(whole[:place] + bytes([whole[place] ^ 1]) + whole[place + 1 :])
            with pytest.raises(InvalidPackedFile):
                PackedFile(path, "ratecard")

    def test_every_cut_is_noticed(self, path: Path) -> None:
        whole = path.read_bytes()
        for size in range(len(whole)):
            path.write_bytes(whole[:size])
            with pytest.raises(InvalidPackedFile):
                PackedFile(path, "ratecard")
            with pytest.raises(InvalidPackedFile):
                read_head(path)

    def test_error_names_file_and_fault(self, path: Path) -> None:
        whole = path.read_bytes()
        for content, fault in (
            (b"", "is no file of packed rows"),
            (b"x" * 100, "is no file of packed rows"),
            (whole[:8] + b"\x09" + whole[9:], "has format 9, this code reads 1"),
            (whole + b"\0", f"has {len(whole) + 1} bytes of {len(whole)}"),
            (whole[:-1] + b"\x01", "is damaged: its checksum is"),
        ):
            path.write_bytes(content)
            with pytest.raises(InvalidPackedFile, match=rf"card\.pack {fault}"):
                PackedFile(path, "ratecard")

    def test_file_of_another_table_is_refused(self, path: Path) -> None:
        with pytest.raises(InvalidPackedFile, match="is of the table ratecard, not of device"):
            PackedFile(path, "device")

    def test_nothing_is_left_when_a_file_cannot_be_written(self, tmp_path: Path) -> None:
        (tmp_path / "card.pack" / "in the way").mkdir(parents=True)
        with pytest.raises(OSError, match="directory"):
            write_packed(tmp_path / "card.pack", HEAD, {})
        assert [path.name for path in tmp_path.iterdir()] == ["card.pack"]
