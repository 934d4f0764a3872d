"""Quoting and parameters."""

from __future__ import annotations

import numpy as np
import pytest

from medgraph.data.schema import EdgeType
from medgraph.errors import SchemaError, StoreError
from medgraph.stores.cypher import edge_pattern, label, plain_parameters, property_name


def test_labels_are_checked_and_quoted() -> None:
    assert label("Order") == "`Order`"
    assert edge_pattern(EdgeType("A", "of", "B"), edge="e") == "(a:`A`)-[e:`of`]->(b:`B`)"
    for name in ("a b", "a`b", "", "1a", "Gene) DETACH DELETE (n", "x" * 64):
        with pytest.raises(SchemaError):
            label(name)


def test_backticks_of_properties_are_doubled() -> None:
    assert property_name("a`) DELETE n //") == "`a``) DELETE n //`"


def test_parameters_become_plain() -> None:
    given = {"a": np.float32(0.5), "b": np.arange(2), "c": ("x", np.bool_(True)), "d": {"e": np.int8(1)}}
    plain = plain_parameters("RETURN $a, $b, $c, $d", given)
    assert plain == {"a": 0.5, "b": [0, 1], "c": ["x", True], "d": {"e": 1}}
    assert [type(plain["a"]), type(plain["c"][1]), type(plain["d"]["e"])] == [float, bool, int]


def test_a_parameter_that_was_forgotten_is_named() -> None:
    with pytest.raises(StoreError, match=r"\$disease was not given \(given: id\)"):
        plain_parameters("MATCH (d {id: $disease}) RETURN '$name' // $comment", {"id": 1})
