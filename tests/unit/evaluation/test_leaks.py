"""The leak report, counted by hand on a small graph and by brute force on random ones."""

from __future__ import annotations

import json

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from small_graphs import IS_A, RESEMBLES, TREATS, build, pairs

from medgraph.evaluation.leaks import LeakReport, count_leaks
from medgraph.evaluation.splits import split_edges


def report_by_hand(clinic) -> LeakReport:
    train, valid, test = (np.array(part) for part in ([[0, 1, 4, 2], [1, 1, 4, 2]], [[5], [5]], [[0, 3], [0, 3]]))
    held_out = np.concatenate([valid, test], axis=1)
    return count_leaks(clinic, clinic.without({TREATS: held_out}), TREATS, (train, valid, test), (), "edge")


def test_counts_by_hand(clinic) -> None:
    report = report_by_hand(clinic)
    assert report.links == (4, 1, 2)
    assert report.duplicates == 1
    assert list(report.same_pair.values()) == [1]  # palliates (0, 0)
    assert list(report.inverse_twins.values()) == [2]  # (0, 0), (3, 3)
    # (0, 0): 0 resembles 1 and (0, 1) is trained. (5, 5): 5 resembles 4, but only compound 4 treats it.
    assert report.neighbours[RESEMBLES] == 1
    # (3, 3): 3 is_a 4, its sibling is 2; compound 3 has neither.
    assert report.neighbours[IS_A] == 0
    assert (report.cold_source, report.cold_target, report.cold_both) == (2, 3, 2)


def test_siblings_share_a_parent(clinic) -> None:
    graph = build({"Compound": 2, "Disease": 6}, {TREATS: [[0, 0, 1], [2, 3, 5]], IS_A: [[2, 3, 5], [4, 4, 0]]})
    parts = np.array([[0], [2]]), np.array([[1], [5]]), np.array([[0], [3]])
    report = count_leaks(graph, graph, TREATS, parts, (), "edge")
    assert report.neighbours == {IS_A: 1}  # (0, 3): its sibling 2 is trained


def test_isolated_nodes_are_named() -> None:
    graph = build({"Compound": 2, "Disease": 2}, {TREATS: [[0, 1], [0, 1]]})
    split = split_edges(graph, TREATS, fractions=(0.5, 0.0, 0.5))
    lost = int(split.test[0, 0])
    assert split.report.isolated == (f"COMPOUND:{lost}", f"DISEASE:{lost}")


@settings(max_examples=30, deadline=None)
@given(pairs(8, 10), pairs(10, 10, least=3, most=12), st.booleans(), st.integers(0, 99))
def test_neighbours_equal_brute_force(drawn, relatives, symmetric, seed) -> None:
    if not symmetric:
        relatives = np.sort(relatives, axis=0)  # acyclic: a hierarchy
    relatives = relatives[:, relatives[0] != relatives[1]]
    along = RESEMBLES if symmetric else IS_A
    graph = build({"Compound": 8, "Disease": 10}, {TREATS: drawn, along: relatives}, [along] if symmetric else [])
    split = split_edges(graph, TREATS, fractions=(0.6, 0.2, 0.2), seed=seed)
    train = set(map(tuple, split.train.T.tolist()))
    edges = set(map(tuple, relatives.T.tolist()))
    count = 0
    for c, d in np.concatenate([split.valid, split.test], axis=1).T.tolist():
        near = {b for a, b in edges if a == d} | {a for a, b in edges if b == d}
        if not symmetric:
            parents = {b for a, b in edges if a == d}
            near |= {a for a, b in edges if b in parents}
        count += any((c, other) in train for other in near)
    assert split.report.neighbours[along] == count


def test_prints_as_one_table_and_as_json(clinic) -> None:
    report = report_by_hand(clinic)
    text = str(report)
    assert "Compound-treats-Disease by edge: 4 train, 1 valid, 2 test" in text
    assert "inverse twins: Disease-treated_by-Compound" in text
    assert "also_remove= takes them out" in text
    assert "1 duplicate edges share" in text
    assert json.loads(json.dumps(report.to_dict()))["inverse_twins"] == {"Disease-treated_by-Compound": 2}
