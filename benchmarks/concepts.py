"""Do vectors of codes learned from histories put together what belongs together, beside counting?

    python benchmarks/concepts.py shared/data [--cohorts synthea omop mimic] [--seeds 3]
    python benchmarks/concepts.py FOLDER --speed      of a MEDS data set, such as benchmarks/meds.py makes: one epoch

- Synthea: is a condition that a drug (or a procedure) was recorded for, its REASONCODE, among the ten conditions that
  are nearest to it? Settings of the tuned skip-gram were chosen on one half of the drugs and procedures (every other
  one, sorted); its figures stand apart.
- ATC: are two drugs that share a class of the third level (C07A) nearer than two that share none? A drug is known by
  the names of ATC's substances in its description.
- Eunomia: is an ancestor or descendant (CONCEPT_ANCESTOR) among the ten nearest? MIMIC-III demo, 100 patients: is the
  nearest diagnosis of the same CCS category? There a graph of ICD-9-CM's headings (no CCS in it) is joined.
- overlap: of the ten nearest, how many are the same with another seed.

Scores are means over seeds, with the lowest and highest where they differ; in the heading stand how many queries, or
pairs of one class, the cohort has codes for, of how many there are. All vectors are asked the same: a code that one has
no vector for counts as zeros there.
"""

from __future__ import annotations

import argparse
import os
import re
import resource
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from itertools import combinations
from pathlib import Path

import numpy as np

from medgraph.data.cohort import Cohort
from medgraph.data.comma_separated import find_table
from medgraph.data.graph import KnowledgeGraph
from medgraph.embeddings.back_off import parents_of
from medgraph.embeddings.cooccurrence import PPMI
from medgraph.embeddings.embedding import Embedding
from medgraph.embeddings.joint import JointSequences
from medgraph.embeddings.skipgram import SkipGram
from medgraph.embeddings.visits import VisitCorpus, VisitSequences
from medgraph.embeddings.walks import UniformWalks
from medgraph.evaluation import concepts as judge
from medgraph.evaluation.concepts import ConceptScore, ConceptVectors
from medgraph.loading import load

TUNED = {"vector_size": 64, "window": 20, "negative": 2, "alpha": 0.2, "epochs": 60}
Judge = Callable[[ConceptVectors], ConceptScore]
Pairs = list[tuple[str, str]]


def of(embedding: Embedding) -> ConceptVectors:
    return ConceptVectors(embedding.ids, embedding.vectors)


def counted(cohort: Cohort) -> Iterator[tuple[str, ConceptVectors]]:
    """Baselines that have no seed."""
    for context in ("visit", "subject"):
        model = PPMI(vector_size=100).fit(VisitSequences(cohort, context=context))
        yield f"{context} PPMI, value", ConceptVectors(model.ids, model.matrix_, given=True)
        yield f"{context} PPMI, cosine", ConceptVectors(model.ids, model.matrix_)
        yield f"{context} PPMI-SVD 100", of(model.embedding_)


def learned(cohort: Cohort, seed: int, graph: KnowledgeGraph | None) -> Iterator[tuple[str, ConceptVectors]]:
    """Skip-gram as it comes, and tuned."""
    visits = {context: VisitSequences(cohort, context=context) for context in ("visit", "visits", "subject")}
    for context in ("visit", "visits"):
        yield f"skip-gram, {context}, defaults", of(SkipGram(seed=seed).fit(visits[context]).embedding_)
    same = SkipGram(**{**TUNED, "epochs": 10}, seed=seed)  # five to six times as many tokens
    yield "skip-gram, visits, settings as tuned", of(same.fit(visits["visits"]).embedding_)
    model = SkipGram(**TUNED, seed=seed).fit(visits["subject"])
    yield "skip-gram, subject, tuned", of(model.embedding_)
    yield "the same, in + out", of(model.summed_embedding_)
    yield "scrambled", judge.scrambled(of(model.embedding_), seed)
    if graph is not None:
        walks = UniformWalks(10, 10)
        settings = {**TUNED, "walks": walks, "epochs": 20}
        yield "skip-gram, graph alone", of(SkipGram(**settings, seed=seed).fit(graph).embedding_)
        both = SkipGram(**settings, seed=seed).fit(JointSequences(graph, visits["subject"]))
        yield "skip-gram, subject and graph", of(both.embedding_)


def table(name: str, cohort: Cohort, judges: dict[str, Judge], seeds: int, graph: KnowledgeGraph | None) -> None:
    start = time.perf_counter()
    rows: dict[str, list[ConceptVectors]] = {method: [vectors] for method, vectors in counted(cohort)}
    for seed in range(seeds):
        for method, vectors in learned(cohort, seed, graph):
            rows.setdefault(method, []).append(vectors)
    known = of(SkipGram(epochs=1).fit(VisitSequences(cohort)).embedding_).ids  # every code of a history
    rows = {method: [space.over(known) for space in spaces] for method, spaces in rows.items()}
    scores = {m: {what: [ask(v) for v in spaces] for what, ask in judges.items()} for m, spaces in rows.items()}
    first = next(iter(scores.values()))
    print(
        f"\n## {name}: {cohort!r}, {seeds} seeds, {time.perf_counter() - start:.0f} s, load {os.getloadavg()[0]:.1f}\n"
    )
    print("| vectors |", " | ".join(f"{w} ({s[0].used:,} of {s[0].asked:,})" for w, s in first.items()), "| overlap |")
    print("|---|" + "---|" * (len(judges) + 1))
    for method, spaces in rows.items():
        steady = [judge.neighbour_overlap(a, b).value for a, b in combinations(spaces, 2)]
        shown = [spread([score.value for score in scores[method][what]]) for what in judges]
        print(f"| {method} | {' | '.join(shown)} | {f'{np.mean(steady):.2f}' if steady else ''} |", flush=True)


def spread(values: list[float]) -> str:
    low, high = min(values), max(values)
    return f"{np.mean(values):.3f}" + (f" ({low:.3f}-{high:.3f})" if low < high else "")


def hits(pairs: Pairs, pool: Iterable[str] | None = None) -> Judge:
    return lambda vectors: judge.pair_hits(vectors, pairs, pool)


def atc(cohort: Cohort, codes: KnowledgeGraph) -> Judge:
    """Classes of the drugs whose description names a substance of ATC."""
    drugs = codes.nodes["DrugCode"]
    named: dict[str, set[str]] = {}
    for id_, name in zip(drugs["id"].to_pylist(), drugs["name"].to_pylist(), strict=True):
        if id_.startswith("ATC:") and len(id_) == len("ATC:C07AB03") and name:
            named.setdefault(name.lower(), set()).add(id_[4:8])
    listed = cohort.codes
    classes = {}
    for code, text in zip(listed["code"].to_pylist(), listed["description"].to_pylist(), strict=True):
        if code.startswith("RXNORM:") and text:
            words = re.findall(r"[a-z][a-z-]+", text.lower())
            runs = {" ".join(words[i : i + n]) for n in (1, 2, 3) for i in range(len(words))}
            if found := set().union(*(named[run] for run in runs & named.keys())):
                classes[code] = found
    return lambda vectors: judge.class_auroc(vectors, classes)


def reasons(folder: Path, name: str, prefix: str, cohort: Cohort) -> tuple[Pairs, Pairs]:
    """(drug or procedure, what it was recorded for), in halves; only what the cohort holds."""
    source = find_table(folder, name)
    assert source is not None
    rows = source.table(["code", "reasoncode"])
    both = zip(rows["code"].to_pylist(), rows["reasoncode"].to_pylist(), strict=True)
    found = {(f"{prefix}:{code}", f"SNOMEDCT:{reason}") for code, reason in both if reason}
    known = set(cohort.shards.codes)
    return judge.halves(sorted(pair for pair in found if known.issuperset(pair)))


def synthea(folder: Path, codes: KnowledgeGraph, seeds: int) -> None:
    cohort = load("synthea", path=folder)
    source = find_table(folder, "conditions")
    assert source is not None
    pool = {f"SNOMEDCT:{code}" for code in source.table(["code"])["code"].to_pylist()}
    judges: dict[str, Judge] = {}
    for what, name, prefix in (("drug", "medications", "RXNORM"), ("procedure", "procedures", "SNOMEDCT")):
        tuned, other = reasons(folder, name, prefix, cohort)
        judges[f"{what} -> reason, hits@10"] = hits(other, pool)
        judges["[half tuned on]" + " " * len(judges)] = hits(tuned, pool)
    judges["same ATC-3 class, AUROC"] = atc(cohort, codes)
    table("Synthea", cohort, judges, seeds, None)


def omop(folder: Path, codes: KnowledgeGraph, seeds: int) -> None:
    cohort = load("omop", path=folder)
    near = {tuple(pair) for child, above in ancestors(folder) for pair in ((child, above), (above, child))}
    judges = {"ancestor or descendant, hits@10": hits(sorted(near)), "same ATC-3 class, AUROC": atc(cohort, codes)}
    table("Eunomia", cohort, judges, seeds, None)


def ancestors(folder: Path) -> Iterator[tuple[str, str]]:
    """(descendant, ancestor) as codes."""
    prefix = {"SNOMED": "SNOMEDCT", "RxNorm": "RXNORM"}
    tables = [find_table(folder, name) for name in ("concept", "concept_ancestor")]
    assert tables[0] is not None
    assert tables[1] is not None
    columns = tables[0].table(["concept_id", "vocabulary_id", "concept_code"])
    code = {
        id_: f"{prefix[vocabulary]}:{own}"
        for id_, vocabulary, own in zip(*(columns[c].to_pylist() for c in columns.column_names), strict=True)
        if vocabulary in prefix
    }
    rows = tables[1].table(["descendant_concept_id", "ancestor_concept_id"])
    for below, above in zip(*(rows[c].to_pylist() for c in rows.column_names), strict=True):
        if below != above and below in code and above in code:
            yield code[below], code[above]


def mimic(folder: Path, codes: KnowledgeGraph, seeds: int) -> None:
    cohort = load("mimic", path=folder)
    mine = [code for code in cohort.shards.codes if code.startswith("ICD9CM:") and code in codes]
    category = {
        code: [up for up in above if up.startswith("CCS:")]
        for code, above in parents_of(codes, ("in_category",)).items()
        if code in set(mine)
    }
    parents = parents_of(codes, ("is_a",))
    wanted, level = dict.fromkeys(mine), mine
    while level:
        level = [up for code in level for up in parents.get(code, ()) if up not in wanted]
        wanted.update(dict.fromkeys(level))
    headings = codes.subgraph(wanted, edge_types=[e for e in codes.edge_types if e.relation == "is_a"])
    grouped = {code: groups for code, groups in category.items() if groups}
    judges: dict[str, Judge] = {
        "nearest in the same CCS": lambda vectors: judge.neighbour_precision(vectors, grouped),
        "5 nearest": lambda vectors: judge.neighbour_precision(vectors, grouped, 5),
    }
    table("MIMIC-III demo", cohort, judges, seeds, headings)


def speed(folder: Path) -> None:
    """One epoch over the train part: tokens a second, and memory."""
    cohort = load("meds", path=folder)
    visits = VisitSequences(cohort.train if cohort.splits else cohort)
    before, start = peak_mb(), time.perf_counter()
    tokens = len(VisitCorpus(visits))
    read = time.perf_counter()
    SkipGram(vector_size=64, epochs=1, device="cpu").fit(visits)
    taken = time.perf_counter() - read
    print(f"{visits.cohort!r}: {tokens:,} tokens; read in {read - start:.1f} s")
    print(f"read and one epoch in {taken:.1f} s, {tokens / taken:,.0f} tokens/s; load {os.getloadavg()[0]:.1f}")
    print(f"peak {peak_mb():,} MB, {before:,} MB before")


def peak_mb() -> int:
    unit = 1 if sys.platform == "darwin" else 1024  # ru_maxrss is in bytes on macOS, in KiB on Linux
    return round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 1e6)


COHORTS = {"synthea": ("synthea1k", synthea), "omop": ("eunomia_gibleed", omop), "mimic": ("mimic3demo", mimic)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path, help="the folder of shared data sets")
    parser.add_argument("--cohorts", nargs="+", choices=COHORTS, default=list(COHORTS))
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--speed", action="store_true", help="`data` is a MEDS folder: how fast, how much memory?")
    given = parser.parse_args()
    if given.speed:
        return speed(given.data)
    codes = load("clinical_codes", path=given.data / "codes")
    for name in given.cohorts:
        folder, run = COHORTS[name]
        run(given.data / "ehr" / folder, codes, given.seeds)


if __name__ == "__main__":
    main()
