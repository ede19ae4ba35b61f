"""Lines of a deck: headers, faults with their line and column, and what lines become."""

import pytest

from rating.deck import KEPT_FAULTS, LineReader, map_columns, plain
from rating.deck_cell import COLUMNS, NAMES, Adjustment
from rating.errors import InvalidAdjustment, InvalidDeck


class TestHeaders:
    @pytest.mark.parametrize(
        ("headers", "places"),
        [
            (["prefix", "rate_per_minute"], {"prefix": 0, "rate_per_minute": 1}),
            (["Dial Code", "Destination", "Price"], {"prefix": 0, "destination": 1, "rate_per_minute": 2}),
            (["RATE/MIN", "code ", "Description"], {"prefix": 1, "destination": 2, "rate_per_minute": 0}),
            (["Prefix", "ppm", "ppc"], {"prefix": 0, "rate_per_minute": 1, "connection_charge": 2}),
            (["Code", "Rate", "Effective Date"], {"prefix": 0, "rate_per_minute": 1, "valid_from": 2}),
        ],
    )  # fmt: skip
    def test_columns_are_found_by_names_and_synonyms(self, headers: list[str], places: dict[str, int]) -> None:
        assert map_columns(headers, {}) == places

    def test_name_wins_when_a_synonym_is_there_too(self) -> None:
        assert map_columns(["Price", "Rate per minute", "prefix"], {}) == {"prefix": 2, "rate_per_minute": 1}

    def test_mapping_wins_when_another_header_has_the_name(self) -> None:
        places = map_columns(["prefix", "Rate", "New Rate", "Zone"], {"rate_per_minute": "new rate", "destination": ""})
        assert places == {"prefix": 0, "rate_per_minute": 2}

    def test_error_names_both_headers_when_two_mean_one_column(self) -> None:
        with pytest.raises(InvalidDeck, match='"Rate" and "Price" both mean rate_per_minute'):
            map_columns(["prefix", "Rate", "Price"], {})

    @pytest.mark.parametrize(
        ("mapping", "fault"),
        [
            ({"rate_per_minute": "Cost"}, 'the file has no header "Cost"; it has prefix, Rate, Rate'),
            ({"rate_per_minute": "rate"}, 'more than one header "rate"'),
            ({"speed": "Rate"}, 'no column is named "speed"; one is prefix, destination'),
        ],
    )
    def test_error_when_a_mapping_does_not_fit(self, mapping: dict[str, str], fault: str) -> None:
        with pytest.raises(InvalidDeck, match=fault):
            map_columns(["prefix", "Rate", "Rate"], mapping)

    @pytest.mark.parametrize(
        ("headers", "fault"),
        [
            (["Number", "Rate"], "no header means prefix; map one of Number, Rate"),
            (["Code", "Amount"], "no header means rate_per_minute"),
            (["Code", "Rate", "End date"], "not from when"),
        ],
    )
    def test_error_when_a_column_is_missing(self, headers: list[str], fault: str) -> None:
        with pytest.raises(InvalidDeck, match=fault):
            LineReader(headers, {})

    def test_no_synonym_means_two_columns(self) -> None:
        words = [word for column in COLUMNS for word in {*column.synonyms, plain(column.name)}]
        assert len(words) == len(set(words))
        assert all(word == plain(word) for word in words)


class TestLine:
    def test_line_becomes_copy_text(self) -> None:
        lines = LineReader(["Code", "Destination", "Rate", "Note"], {})
        assert lines.columns == ("line", "prefix", "destination", "rate_per_minute")
        assert lines.read(7, [" 44", "UK \\ London", "0.0600 ", "x"]) == "7\t44\tUK \\\\ London\t0.0600\n"
        assert lines.ignored == ["Note"]

    def test_missing_cells_are_empty_when_a_line_is_short(self) -> None:
        lines = LineReader(["Code", "Rate", "Destination"], {})
        assert lines.read(2, ["44", "1"]) == "2\t44\t\t1\n"

    def test_empty_cells_beyond_the_headers_do_no_harm(self) -> None:
        assert LineReader(["Code", "Rate"], {}).read(2, ["44", "1", "", ""]) is not None

    def test_fault_when_a_line_has_more_cells_than_headers(self) -> None:
        lines = LineReader(["Code", "Destination", "Rate"], {})
        assert lines.read(3, ["44", "United Kingdom", " London", "1"]) is None
        assert str(lines.faults[0]) == "line 3: 4 cells below 3 headers; is a cell with commas not quoted?"

    def test_every_bad_cell_of_a_line_is_named_by_its_header(self) -> None:
        lines = LineReader(["Code", "Price", "Status"], {})
        assert lines.read(9, ["+44 20", "0,06", "on"]) is None
        assert [str(fault) for fault in lines.faults] == [
            'line 9, column Code is "+44 20"; it must be up to 30 digits, * and #, or % for every number',
            'line 9, column Price is "0,06"; it must be a number with a point and no other signs, such as 0.06',
            'line 9, column Status is "on"; it must be active or blocked',
        ]

    def test_all_faults_are_counted_and_the_first_kept(self) -> None:
        lines = LineReader(["Code", "Rate"], {})
        for line in range(KEPT_FAULTS + 50):
            lines.read(line, ["44", "x"])
        assert (len(lines.faults), lines.fault_count) == (KEPT_FAULTS, KEPT_FAULTS + 50)

    def test_as_many_faults_are_kept_as_are_asked_for(self) -> None:
        lines = LineReader(["Code", "Rate"], {}, kept=3)
        for line in range(5):
            lines.read(line, ["44", "x"])
        assert (len(lines.faults), lines.fault_count) == (3, 5)

    def test_fault_can_be_shown_when_the_cell_was_no_text(self) -> None:
        lines = LineReader(["Code", "Destination", "Rate"], {})
        assert lines.read(2, ["44", "Z\udcfcrich", "1"]) is None
        assert 'column Destination is "Z?rich"; it must be text in UTF-8' in str(lines.faults[0])

    def test_columns_are_the_same_when_a_constant_takes_the_place_of_cells(self) -> None:
        replace = [Adjustment.parse("rate_per_minute=replace:0.05"), Adjustment.parse("status=replace:blocked")]
        lines = LineReader(["Code", "Rate"], {}, replace)
        assert lines.columns == ("line", "prefix", "rate_per_minute", "status")
        assert lines.read(2, ["44", "not looked at"]) == "2\t44\t0.05\tblocked\n"


class TestAdjustments:
    def test_error_when_the_file_lacks_the_column(self) -> None:
        with pytest.raises(InvalidAdjustment, match="grace cannot be adjusted: the file has no such column"):
            LineReader(["Code", "Rate"], {}, [Adjustment.parse("grace=add:1")])

    def test_error_when_a_column_is_adjusted_twice(self) -> None:
        twice = [Adjustment.parse("rate_per_minute=add:1"), Adjustment.parse("rate_per_minute=multiply:2")]
        with pytest.raises(InvalidAdjustment, match="only once"):
            LineReader(["Code", "Rate"], {}, twice)

    def test_every_column_but_the_prefix_can_be_left_as_it_is(self) -> None:
        for name in NAMES[1:]:
            Adjustment.parse(f"{name}=as is")
