"""Davis: 68 kinase inhibitors against 442 kinases, every pair measured.

Davis et al. (2011), Comprehensive analysis of kinase inhibitor selectivity, doi:10.1038/nbt.1990; in DeepDTA's files
and folds (Öztürk et al. 2018, doi:10.1093/bioinformatics/bty593).
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from medgraph.data.affinities import Affinities
from medgraph.data.deepdta_folder import DeepDTAFolder
from medgraph.data.graph import Provenance
from medgraph.data.molecules import Standardiser
from medgraph.errors import LoaderError, MalformedInputError
from medgraph.loading import Loader, sha256_of

__all__ = ["LOADER", "load"]

_LIMIT = 5.0
_MATRICES = (
    "drug-target_interaction_affinities_Kd__Davis_et_al.2011v1.txt",
    "drug-target_interaction_affinities_Kd__Davis_et_al.2011.txt",
)


def load(path: Path | None = None, standardiser: Standardiser | None = None) -> Affinities:
    """Davis as affinities in pKd = -log10(Kd / 1e9), Kd in nmol/l; 5 where no binding was seen at 10 umol/l.

    Two thirds of the pairs are such bounds (`censored`). The 442 targets have 379 distinct sequences: mutants carry
    that of the wild type, so a split by target must group them (`group=True`, the default). Nothing is cut.

    Args:
        path: the folder of `ligands_iso.txt`, `proteins.txt`, `Y.tsv` and the files of folds, each perhaps compressed.
            DeepDTA keeps Y as a Python pickle, which is not read: write it as text first.
        standardiser: how structures are brought to one form.

    Raises:
        LoaderError: no such folder or files, or only the pickle.
        MalformedInputError: a file breaks its format; named with the place.
    """
    if path is None:
        raise LoaderError(
            "Loader 'davis' needs path=, a folder with DeepDTA's files (github.com/hkmztrk/DeepDTA, data/davis) and "
            "the values as text, Y.tsv: the published Y is a Python pickle, which is neither downloaded nor read."
        )
    folder = DeepDTAFolder(path, _MATRICES)
    drugs, ligand_file = folder.drugs("ligands_iso", standardiser or Standardiser())
    targets, protein_file = folder.targets()
    concentration, value_file = folder.matrix(drugs.num_rows, targets.num_rows)
    measured = ~np.isnan(concentration)
    bad = measured & ~((concentration > 0) & np.isfinite(concentration))
    if bad.any():
        row, column = (int(place) for place in np.argwhere(bad)[0])
        problem = f"a Kd of {concentration[row, column]:g} nM; expected a positive number."
        raise MalformedInputError(problem, value_file, row + 1, f"{column + 1}")
    drug, target = np.nonzero(measured)
    value = -np.log10(concentration[drug, target] / 1e9)
    folds, fold_files = folder.folds(value.size)
    files = (ligand_file, protein_file, value_file, *fold_files)
    return Affinities(
        drugs,
        targets,
        drug,
        target,
        value,
        unit="pKd",
        limit=_LIMIT,
        folds=folds,
        notes=("Targets that are mutants carry the sequence of the wild type.",),
        provenance=(
            Provenance("Davis", "2011", LOADER.licence, LOADER.url, " ".join(sha256_of(file) for file in files)),
        ),
    )


LOADER = Loader(
    name="davis",
    summary="68 kinase inhibitors against 442 kinases, 30,056 pKd, with DeepDTA's folds. Needs path=.",
    licence="public benchmark (Davis et al. 2011)",
    url="https://github.com/hkmztrk/DeepDTA",
    load=load,
)
