"""Codes of both revisions as records write them."""

from __future__ import annotations

import datetime

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from medgraph.data.icd import read_icd, read_icd_column
from medgraph.data.identifiers import normalise
from medgraph.errors import MalformedInputError, SchemaError


@pytest.mark.parametrize(
    ("spelling", "wanted"),
    [
        ("25000", "ICD9CM:250.00"),
        (" 250.00 ", "ICD9CM:250.00"),
        ("250.", "ICD9CM:250"),
        ("00845", "ICD9CM:008.45"),
        ("e812.0", "ICD9CM:E812.0"),
        ("E119", "ICD10CM:E11.9"),
        ("i25.10", "ICD10CM:I25.10"),
        ("S72001A", "ICD10CM:S72.001A"),
        ("QA0", "ICD10CM:QA0"),
        ("ICD9CM:V1082", "ICD9CM:V10.82"),
        ("icd-9-cm v10.82", "ICD9CM:V10.82"),
        ("ICD10CM/V10.82", "ICD10CM:V10.82"),
        ("icd9_4019", "ICD9CM:401.9"),
        ("DIAGNOSIS//ICD//9//4019", "ICD9CM:401.9"),
        ("DIAGNOSIS//ICD//10//I10", "ICD10CM:I10"),
        ("PROCEDURE//ICD//9//3605", "ICD9CM:36.05"),
        ("PROCEDURE//ICD//10//02703ZZ", "ICD10PCS:02703ZZ"),
        ("ICD9Proc:3605", "ICD9CM:36.05"),
        ("ICD9CM:36.05", "ICD9CM:36.05"),
    ],
)
def test_spellings(spelling: str, wanted: str) -> None:
    assert read_icd(spelling) == wanted
    assert normalise(wanted) == wanted


def test_an_undotted_procedure_is_one_only_where_it_is_said() -> None:
    assert read_icd("3605") == "ICD9CM:360.5"
    assert read_icd("3605", procedure=True) == "ICD9CM:36.05"
    assert read_icd("02703zz", procedure=True) == "ICD10PCS:02703ZZ"


@pytest.mark.parametrize(("on", "wanted"), [("2015-09-30", "ICD9CM:V10.82"), ("2015-10-01", "ICD10CM:V10.82")])
def test_a_day_decides_between_the_revisions(on: str, wanted: str) -> None:
    assert read_icd("V1082", on=on) == wanted
    assert read_icd("V1082", on=datetime.date.fromisoformat(on)) == wanted
    assert read_icd("V1082", on=datetime.datetime.fromisoformat(on + "T23:59:59")) == wanted


def test_a_form_of_one_revision_needs_no_day() -> None:
    assert read_icd("25000", on="2020-01-01") == "ICD9CM:250.00"
    assert read_icd("I10", on="2010-01-01") == "ICD10CM:I10"


@pytest.mark.parametrize("code", ["V10.82", "E8120", "v10"])
def test_either_revision_without_prefix_or_day_is_refused(code: str) -> None:
    with pytest.raises(MalformedInputError, match="or give its day"):
        read_icd(code)


@pytest.mark.parametrize("code", ["", "hypertension", "2500000", "ICD9CM:", "ICD9CM:E11.9X", "9", "NoDx", "250..0"])
def test_what_is_none_is_refused(code: str) -> None:
    with pytest.raises(MalformedInputError, match="expected one such as"):
        read_icd(code)


def test_a_bad_day_is_refused() -> None:
    with pytest.raises(MalformedInputError, match="is no day"):
        read_icd("V10", on="yesterday")


def test_columns() -> None:
    days = [datetime.date(2012, 1, 1), datetime.date(2018, 1, 1), None, None]
    found = read_icd_column(pa.array(["V1082", "V1082", "V1082", None]), days)
    assert found.to_pylist() == ["ICD9CM:V10.82", "ICD10CM:V10.82", None, None]
    assert read_icd_column(["V1082", "x"], "2012-01-01").to_pylist() == ["ICD9CM:V10.82", None]
    with pytest.raises(SchemaError, match="2 codes with 1 days"):
        read_icd_column(["V10", "V11"], [None])


@given(st.text(max_size=12))
def test_any_text_is_a_normal_code_or_refused(text: str) -> None:
    try:
        found = read_icd(text)
    except MalformedInputError:
        return
    assert normalise(found) == found
    assert found.startswith("ICD")
