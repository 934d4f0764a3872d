"""Which labels, edge types and symmetries a graph may declare."""

from __future__ import annotations

import pytest

from medgraph.data.schema import EdgeType, Schema, check_label
from medgraph.errors import SchemaError, nearest

TREATS = EdgeType("Compound", "treats", "Disease")
RESEMBLES = EdgeType("Disease", "resembles", "Disease")


def test_types_are_sorted_and_stand_once() -> None:
    schema = Schema(("Disease", "Compound", "Disease"), (RESEMBLES, TREATS, TREATS), frozenset({RESEMBLES}))
    assert schema.node_types == ("Compound", "Disease")
    assert schema.edge_types == (TREATS, RESEMBLES)
    assert schema == Schema(("Compound", "Disease"), (TREATS, RESEMBLES), frozenset({RESEMBLES}))


@pytest.mark.parametrize("label", ["", "1st", "two words", "a-b", "Gene`) DETACH DELETE n //", "é", "x" * 64, 7])
def test_a_label_is_a_plain_name(label: object) -> None:
    with pytest.raises(SchemaError, match="expected a letter"):
        check_label(label)  # type: ignore[arg-type]


@pytest.mark.parametrize("label", ["A", "Compound", "side_effect", "x" * 63, "RO_0002606"])
def test_a_plain_name_is_a_label(label: str) -> None:
    assert check_label(label) == label


def test_an_edge_type_needs_both_its_ends() -> None:
    with pytest.raises(SchemaError, match="'Disease', which is not among"):
        Schema(("Compound",), (TREATS,))


def test_only_edges_within_a_type_can_be_symmetric() -> None:
    with pytest.raises(SchemaError, match="joins two node types"):
        Schema(("Compound", "Disease"), (TREATS,), frozenset({TREATS}))


def test_an_unknown_type_is_answered_with_the_nearest() -> None:
    schema = Schema(("Compound", "Disease"), (TREATS,))
    with pytest.raises(SchemaError, match="Nearest: Compound-treats-Disease"):
        schema.require(EdgeType("Compound", "treat", "Disease"))
    with pytest.raises(SchemaError, match="Nearest: Disease"):
        schema.require_node_type("Diseases")
    assert schema.require(("Compound", "treats", "Disease")) == TREATS  # type: ignore[arg-type]


def test_merge_is_the_union_and_refuses_a_clash_of_symmetry() -> None:
    left = Schema(("Disease",), (RESEMBLES,), frozenset({RESEMBLES}))
    right = Schema(("Compound", "Disease"), (TREATS,))
    assert left.merge(right) == Schema(("Compound", "Disease"), (TREATS, RESEMBLES), frozenset({RESEMBLES}))
    with pytest.raises(SchemaError, match="symmetric in one graph and directed in the other"):
        left.merge(Schema(("Disease",), (RESEMBLES,)))


def test_a_triple_is_an_edge_type_and_its_text_is_not() -> None:
    assert EdgeType.of(("Compound", "treats", "Disease")) == EdgeType("Compound", "treats", "Disease")
    for given in ("Compound-treats-Disease", "abc", ("Compound", "Disease")):
        with pytest.raises(SchemaError, match="is no edge type; expected EdgeType"):
            EdgeType.of(given)


def test_a_slip_of_case_is_nearest() -> None:
    assert nearest("doid:1612", ["DOID:10283", "DOID:1612", "MONDO:1612"]).startswith(" Nearest: DOID:1612")
    many = [f"DOID:{i}" for i in range(30_000)]
    assert "DOID:1612" in nearest("Doid:1612", many)
