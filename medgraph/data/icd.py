"""Codes of the International Classification of Diseases as records write them: which revision, which CURIE.

The two revisions share spellings: V10.82 is a history of melanoma in ICD-9-CM and fits ICD-10-CM's transport accidents.
A prefix or a date decides; without either, a code that fits both is refused.
"""

from __future__ import annotations

import datetime
import re
from collections.abc import Sequence
from functools import lru_cache

import pyarrow as pa
import pyarrow.compute as pc

from medgraph.data.identifiers import normalise_column
from medgraph.errors import MalformedInputError, SchemaError

__all__ = ["ICD10_FROM", "dotted_procedures", "read_icd", "read_icd_column"]

ICD10_FROM = datetime.date(2015, 10, 1)  # US claims with a discharge from this day on bear ICD-10-CM
_SAID = re.compile(r"(?i)(?:^|[^A-Z0-9])ICD[-_ /]*(9|10)(?![0-9])[-_ ]?(CM|PCS|PROC|DX)?(?:[:/_ ]+|$)")
_PROCEDURE = re.compile(r"(?i)PROC|PCS")
_FORMS = {
    ("ICD9CM", False): re.compile(
        r"(?:[0-9]{3}|V[0-9]{2})(?:\.?[0-9]{1,2})?\.?|E(?:0[0-3]|[89][0-9])[0-9](?:\.?[0-9])?\.?"
    ),
    ("ICD10CM", False): re.compile(r"[A-Z][0-9A][0-9A-Z](?:\.?[0-9A-Z]{1,4})?\.?"),
    ("ICD9CM", True): re.compile(r"[0-9]{2}(?:\.?[0-9]{1,2})?\.?"),
    ("ICD10PCS", True): re.compile(r"[0-9A-HJ-NP-Z]{7}"),
}


def read_icd(code: str, on: datetime.date | str | None = None, procedure: bool = False) -> str:
    """Which code is meant, and of which revision?

    >>> read_icd("25000"), read_icd("E119"), read_icd("v1082", on="2009-05-17")
    ('ICD9CM:250.00', 'ICD10CM:E11.9', 'ICD9CM:V10.82')
    >>> read_icd("PROCEDURE//ICD//9//3605"), read_icd("3605", procedure=True)
    ('ICD9CM:36.05', 'ICD9CM:36.05')

    Reads any case, blanks, with or without the point, and a revision said in front (`ICD9CM:`, `ICD-10-CM `, MEDS'
    `DIAGNOSIS//ICD//9//`). Procedures of ICD-9-CM have their point after two digits, diagnoses after three: an
    undotted 3605 is a procedure only where `procedure` or the prefix says so.

    Args:
        code: the code.
        on: the day it was given; read only where both revisions have a code of this form.
        procedure: whether it is a procedure.

    Raises:
        MalformedInputError: no ICD code, or one of either revision with neither prefix nor date.
    """
    found, problem = _read(code, None if on is None else _day(on) >= ICD10_FROM, procedure)
    if found is None:
        raise MalformedInputError(problem)
    return found


def read_icd_column(
    codes: pa.Array | pa.ChunkedArray | Sequence[str | None],
    on: pa.Array | pa.ChunkedArray | Sequence[datetime.date | None] | datetime.date | str | None = None,
    procedure: bool = False,
) -> pa.Array:
    """Each row's CURIE, null where `read_icd` would raise.

    Args:
        codes: the codes.
        on: the day each was given, or one day for all.
        procedure: whether they are procedures.

    Raises:
        SchemaError: another number of days than of codes.
    """
    given = [str(code) if code is not None else None for code in _listed(codes)]
    if on is None or isinstance(on, (datetime.date, str)):
        late: list[bool | None] = [None if on is None else _day(on) >= ICD10_FROM] * len(given)
    else:
        late = [None if day is None else _day(day) >= ICD10_FROM for day in _listed(on)]
    if len(late) != len(given):
        raise SchemaError(f"{len(given):,} codes with {len(late):,} days; expected as many.")
    pairs = zip(given, late, strict=True)
    return pa.array([None if code is None else _read(code, new, procedure)[0] for code, new in pairs], pa.string())


def dotted_procedures(codes: pa.Array) -> pa.Array:
    """Procedures of ICD-9-CM with their point: `3605` -> `36.05`."""
    return pc.replace_substring_regex(pc.utf8_trim_whitespace(codes), r"^([0-9]{2})([0-9]{1,2})$", r"\1.\2")


def _listed(column: pa.Array | pa.ChunkedArray | Sequence[object]) -> list[object]:
    return column.to_pylist() if isinstance(column, (pa.Array, pa.ChunkedArray)) else list(column)


def _day(on: object) -> datetime.date:
    if isinstance(on, datetime.datetime):
        return on.date()
    if isinstance(on, datetime.date):
        return on
    try:
        return datetime.date.fromisoformat(str(on)[:10])
    except ValueError:
        raise MalformedInputError(f"{str(on)[:40]!r} is no day; expected one such as 2015-10-01.") from None


@lru_cache(1 << 16)
def _read(code: str, late: bool | None, procedure: bool) -> tuple[str | None, str]:
    """The CURIE, or None and why there is none."""
    local, said = code.strip(), ""
    for prefix in _SAID.finditer(local):
        said = prefix[1]
        procedure = procedure or bool(_PROCEDURE.search(local[: prefix.end()]))
    if said:
        local = re.split(r"//|:|\s", local.rstrip("/: "))[-1] if re.search(r"//|:|\s", local) else _SAID.sub("", local)
    local = local.strip().upper()
    procedure = procedure or re.fullmatch(r"[0-9]{2}\.[0-9]{1,2}", local) is not None
    shown = repr(code if len(code) <= 60 else f"{code[:57]}...")
    fits = [prefix for (prefix, kind), form in _FORMS.items() if kind == procedure and form.fullmatch(local)]
    what = "procedure" if procedure else "diagnosis"
    if said:
        fits = [prefix for prefix in fits if prefix.startswith(f"ICD{said}")]
    elif len(fits) > 1:
        if late is None:
            fit = " and of ".join(fits)
            return (
                None,
                f"{shown} has the form of {fit}; write {fits[0]}:{local} or {fits[1]}:{local}, or give its day.",
            )
        fits = fits[1:] if late else fits[:1]
    if not fits:
        return None, f"{shown} is no {what} of ICD-9-CM or ICD-10; expected one such as ICD9CM:250.00 or ICD10CM:E11.9."
    text = pa.array([local])
    text = dotted_procedures(text) if fits[0] == "ICD9CM" and procedure else text
    found: str | None = normalise_column(text, fits[0])[0].as_py()
    return found, "" if found else f"{shown} is no {fits[0]} code."
