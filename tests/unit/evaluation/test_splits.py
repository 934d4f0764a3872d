"""Splits: disjoint, complete, deterministic, cold where they say so, and as near to the fractions as groups allow."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from small_graphs import IS_A, PALLIATES, RESEMBLES, TREATED_BY, TREATS, build, pairs

from medgraph.data.schema import EdgeType
from medgraph.errors import SchemaError
from medgraph.evaluation.splits import EdgeSplit, split_edges

INTERACTS = EdgeType("Gene", "interacts", "Gene")
FRACTIONS = st.sampled_from([(0.8, 0.1, 0.1), (0.5, 0.2, 0.3), (0.6, 0.0, 0.4)])
SEEDS = st.integers(0, 1000)


def as_set(links: np.ndarray) -> set[tuple[int, int]]:
    return set(map(tuple, links.T.tolist()))


def check_parts(split: EdgeSplit, graph, edge_type) -> None:
    parts = [as_set(split.part(name)) for name in ("train", "valid", "test")]
    stored = as_set(graph.edge_index(edge_type))
    if split.symmetric:
        stored = {(min(pair), max(pair)) for pair in stored}
    assert set.union(*parts) == stored
    assert sum(map(len, parts)) == len(stored) == sum(split.report.links)
    left = as_set(split.graph.edge_index(edge_type))
    if split.symmetric:
        left = {(min(pair), max(pair)) for pair in left}
    assert left == parts[0]


@settings(max_examples=40, deadline=None)
@given(pairs(15, 12), FRACTIONS, SEEDS)
def test_by_edge_meets_the_fractions_within_one_link(drawn, fractions, seed) -> None:
    graph = build({"Compound": 15, "Disease": 12}, {TREATS: drawn})
    split = split_edges(graph, TREATS, fractions=fractions, seed=seed)
    check_parts(split, graph, TREATS)
    wanted = np.array(fractions) * sum(split.report.links)
    assert np.abs(np.array(split.report.links) - wanted).max() <= 1


@settings(max_examples=40, deadline=None)
@given(pairs(25, 20), FRACTIONS, SEEDS, st.sampled_from(["source", "target"]))
def test_cold_nodes_are_in_one_part_only(drawn, fractions, seed, by) -> None:
    graph = build({"Compound": 25, "Disease": 20}, {TREATS: drawn})
    split = split_edges(graph, TREATS, by=by, fractions=fractions, seed=seed)
    check_parts(split, graph, TREATS)
    end = 0 if by == "source" else 1
    held = [set(split.part(name)[end].tolist()) for name in ("train", "valid", "test")]
    assert not held[0] & held[1]
    assert not held[0] & held[2]
    assert not held[1] & held[2]
    cold = split.report.cold_source if by == "source" else split.report.cold_target
    assert cold == split.report.held_out
    largest = np.bincount(np.unique(drawn, axis=1)[end]).max()
    wanted = np.array(fractions) * sum(split.report.links)
    assert np.abs(np.array(split.report.links) - wanted).max() <= largest


@settings(max_examples=40, deadline=None)
@given(pairs(30, 30, least=40), SEEDS, st.sampled_from(["edge", "source", "target", "area"]), st.booleans())
def test_among_nodes_of_one_type(drawn, seed, by, symmetric) -> None:
    drawn = drawn[:, drawn[0] != drawn[1]]
    if symmetric:
        drawn = np.unique(np.sort(drawn, axis=0), axis=1)
    graph = build({"Gene": 30}, {INTERACTS: drawn}, [INTERACTS] if symmetric else [])
    areas = {f"GENE:{i}": f"area {i // 2}" for i in range(30)}
    split = split_edges(graph, INTERACTS, by=by, seed=seed, areas=areas if by == "area" else None)
    check_parts(split, graph, INTERACTS)
    train, test = split.train, split.test
    assert not as_set(train) & as_set(test[::-1])
    if by != "edge":
        group = np.arange(30) // (2 if by == "area" else 1)
        for pool, held_out in ((train, np.concatenate([split.valid, test], axis=1)), (split.valid, test)):
            assert (~np.isin(group[held_out], group[pool]).all(axis=0)).all()


def test_large_nodes_are_held_out_as_often_as_small_ones() -> None:
    drawn = [list(range(40)) + list(range(60)), [0] * 40 + list(range(1, 61))]  # one disease has 40 of 100 links
    graph = build({"Compound": 60, "Disease": 61}, {TREATS: drawn})
    parts = [split_edges(graph, TREATS, by="target", fractions=(0.5, 0.0, 0.5), seed=seed) for seed in range(60)]
    assert 18 <= sum(0 in split.test[1] for split in parts) <= 42  # binomial(60, 0.5): 3 sd
    assert all(split.report.links == (50, 0, 50) for split in parts)


def test_deterministic_under_seed() -> None:
    rng = np.random.default_rng(0)
    graph = build({"Compound": 30, "Disease": 30}, {TREATS: rng.integers(30, size=(2, 200))})
    for by in ("edge", "source", "target"):
        first, again, other = (split_edges(graph, TREATS, by=by, seed=seed) for seed in (4, 4, 5))
        np.testing.assert_array_equal(first.test, again.test)
        assert first.graph.fingerprint == again.graph.fingerprint
        assert as_set(first.test) != as_set(other.test)


def test_row_order_does_not_matter() -> None:
    rng = np.random.default_rng(0)
    drawn = rng.integers(30, size=(2, 100))
    a = split_edges(build({"Compound": 30, "Disease": 30}, {TREATS: drawn}), TREATS)
    b = split_edges(build({"Compound": 30, "Disease": 30}, {TREATS: drawn[:, ::-1]}), TREATS)
    np.testing.assert_array_equal(a.test, b.test)


def test_known_pairs() -> None:
    graph = build({"Gene": 4}, {INTERACTS: [[0, 1, 2], [1, 2, 3]]}, [INTERACTS])
    split = split_edges(graph, INTERACTS, fractions=(1 / 3, 1 / 3, 1 / 3))
    known = split.known()
    assert known.sum() == 6
    assert (known == known.T).all()
    assert split.known("train").sum() == 2
    assert (split.known("train") | split.known("valid", "test") == known).all()


def test_by_area_with_a_mapping() -> None:
    graph = build({"Compound": 10, "Disease": 10}, {TREATS: [list(range(10)), list(range(10))]})
    areas = {f"DISEASE:{i}": "heart" if i < 4 else "skin" for i in range(8)} | {"DISEASE:99": "eye"}
    split = split_edges(graph, TREATS, by="area", areas=areas, fractions=(0.4, 0.2, 0.4), seed=1)
    assert split.report.areas == 4  # heart, skin, and two diseases on their own
    assert (split.report.without_area, split.report.unused_areas) == (2, 1)
    group = np.array([0] * 4 + [1] * 4 + [2, 3])
    assert not set(group[split.train[1]]) & set(group[split.test[1]])
    with pytest.raises(SchemaError, match=r"for example 'DOID:1'.* look like 'DISEASE:0'"):
        split_edges(graph, TREATS, by="area", areas={"DOID:1": "heart"})
    with pytest.raises(SchemaError, match="needs areas="):
        split_edges(graph, TREATS, by="area")


def test_by_area_along_a_hierarchy_a_similarity_and_a_membership() -> None:
    treats = [list(range(12)), list(range(12))]
    chapter = EdgeType("Disease", "in", "Chapter")
    graph = build(
        {"Compound": 12, "Disease": 12, "Chapter": 4},
        {
            TREATS: treats,
            IS_A: [[1, 2, 4, 5, 7, 8, 10, 11], [0, 1, 3, 4, 6, 7, 9, 10]],  # four chains of three
            chapter: [list(range(12)), [i // 3 for i in range(12)]],
        },
    )
    for along in (IS_A, chapter):
        split = split_edges(graph, TREATS, by="area", areas=along, fractions=(0.5, 0.25, 0.25))
        assert split.report.areas == 4
        assert split.report.links == (6, 3, 3)
        assert not set(split.train[1] // 3) & set(split.test[1] // 3)
    with pytest.raises(SchemaError, match="does not say what belongs together"):
        split_edges(graph, TREATS, by="area", areas=TREATS)


def test_one_giant_component_is_cut_into_communities() -> None:
    cliques = [(a, b) for first in range(0, 20, 5) for a in range(first, first + 5) for b in range(a + 1, first + 5)]
    bridges = [(4, 5), (9, 10), (14, 15)]
    graph = build(
        {"Compound": 20, "Disease": 20},
        {TREATS: [list(range(20)), list(range(20))], RESEMBLES: np.array(cliques + bridges).T},
        [RESEMBLES],
    )
    split = split_edges(graph, TREATS, by="area", areas=RESEMBLES, fractions=(0.5, 0.25, 0.25))
    assert split.report.areas == 4
    assert not set(split.train[1] // 5) & set(split.test[1] // 5)


def test_by_time() -> None:
    treats = [[0, 1, 2, 3, 4, 0], [0, 1, 2, 3, 4, 0]]
    columns = {TREATS: {"date": ["2001", "2001-05", "2003-01-01", "2005", "2009", "2010"]}}  # (0, 0) first in 2001
    graph = build({"Compound": 5, "Disease": 5}, {TREATS: treats}, columns=columns)
    split = split_edges(graph, TREATS, by="time", fractions=(0.6, 0.2, 0.2))
    assert [split.part(p)[0].tolist() for p in ("train", "valid", "test")] == [[0, 1, 2], [3], [4]]
    years = {TREATS: {"year": [2001, 2001, 2001, 2002, 2003, 2001]}}
    split = split_edges(build({"Compound": 5, "Disease": 5}, {TREATS: treats}, columns=years), TREATS, by="time")
    assert split.train[0].tolist() == [0, 1, 2]
    for columns, message in (
        ({}, 'needs a column "date" or "year"'),
        ({"year": [1, 2, None, 4, 5, 6]}, "1 of 6 .* have no year"),
        ({"date": ["5 May 2001"] * 6}, "'5 May 2001' .* is no ISO 8601 date"),
        ({"year": [2001] * 6}, "leave train empty"),
    ):
        with pytest.raises(SchemaError, match=message):
            split_edges(
                build({"Compound": 5, "Disease": 5}, {TREATS: treats}, columns={TREATS: columns}), TREATS, by="time"
            )


def test_refusals(clinic) -> None:
    unchecked = getattr(split_edges, "__wrapped__", split_edges)  # where types are checked at run time, less that
    for options, message in (
        ({"by": "sources"}, "by='sources'; expected one of edge, source, .*Nearest: source"),
        ({"fractions": (0.8, 0.1, 0.2)}, "sum to 1"),
        ({"fractions": (0.0, 0.5, 0.5)}, "train > 0"),
        ({"fractions": (0.5, 0.5)}, "sum to 1"),
        ({"also_remove": [RESEMBLES]}, "does not join the pairs.*palliates"),
    ):
        with pytest.raises(SchemaError, match=message):
            unchecked(clinic, TREATS, **options)
    with pytest.raises(SchemaError, match="is not an edge type"):
        split_edges(clinic, EdgeType("Compound", "cures", "Disease"))
    with pytest.raises(SchemaError, match="no part of a split"):
        split_edges(clinic, TREATS, fractions=(0.5, 0.25, 0.25)).part("dev")
    empty = build({"Compound": 2, "Disease": 2}, {TREATS: [[], []]})
    for by in ("edge", "source"):
        with pytest.raises(SchemaError, match=r"0 Compound-treats-Disease links .* leave train empty"):
            split_edges(empty, TREATS, by=by)


def test_inverse_twins_leave_and_near_synonyms_leave_on_request(clinic) -> None:
    held_out_pairs = 0
    for seed in range(10):
        split = split_edges(clinic, TREATS, fractions=(0.4, 0.2, 0.4), seed=seed)
        held_out = as_set(split.valid) | as_set(split.test)
        assert not held_out & as_set(split.graph.edge_index(TREATED_BY)[::-1])
        palliates = as_set(clinic.edge_index(PALLIATES))
        assert as_set(split.graph.edge_index(PALLIATES)) == palliates
        assert split.report.same_pair == {PALLIATES: len(held_out & palliates)}
        assert split.report.inverse_twins == {TREATED_BY: len(held_out & {(0, 0), (1, 1), (3, 3)})}
        strict = split_edges(clinic, TREATS, fractions=(0.4, 0.2, 0.4), seed=seed, also_remove=[PALLIATES])
        assert as_set(strict.graph.edge_index(PALLIATES)) == palliates - held_out
        held_out_pairs += len(held_out & palliates)
    assert held_out_pairs > 0


def test_a_directed_inverse_among_one_type_is_recognised_by_its_pairs() -> None:
    part_of, has_part, regulates = (EdgeType("Gene", r, "Gene") for r in ("part_of", "has_part", "regulates"))
    forward = np.array([range(10), range(1, 11)])
    graph = build(
        {"Gene": 11},
        {part_of: forward, has_part: forward[::-1], regulates: np.concatenate([forward[::-1, :3]], axis=1)},
    )
    split = split_edges(graph, part_of, fractions=(0.6, 0.2, 0.2))
    held_out = as_set(split.valid) | as_set(split.test)
    assert not held_out & as_set(split.graph.edge_index(has_part)[::-1])
    assert split.report.inverse_twins == {has_part: 4}
    assert split.report.same_pair == {regulates: len(held_out & as_set(forward[:, :3]))}
