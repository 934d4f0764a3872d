"""KIBA: 2,111 compounds against 229 kinases, Ki, Kd and IC50 united in one score.

Tang et al. (2014), Making sense of large-scale kinase inhibitor bioactivity data sets, doi:10.1021/ci400709d; in the
filtered form and the folds of DeepDTA (Öztürk et al. 2018, doi:10.1093/bioinformatics/bty593).
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

_MATRICES = ("kiba_binding_affinity_v2.txt",)


def load(path: Path | None = None, standardiser: Standardiser | None = None, stereo: bool = True) -> Affinities:
    """KIBA as affinities in KIBA scores, the transformed form that DeepDTA uses: higher binds more strongly.

    Args:
        path: the folder of `ligands_iso.txt`, `proteins.txt`, `Y.tsv` and the files of folds, each perhaps compressed.
            DeepDTA keeps Y as a Python pickle, which is not read; `kiba_binding_affinity_v2.txt` is the same as text.
        standardiser: how structures are brought to one form.
        stereo: read `ligands_iso.txt`; without, `ligands_can.txt`, which knows no stereo, so that several compounds
            have one structure and different scores. Only to compare with those who did.

    Raises:
        LoaderError: no such folder or files, or only the pickle.
        MalformedInputError: a file breaks its format; named with the place.
    """
    if path is None:
        raise LoaderError(
            "Loader 'kiba' needs path=, a folder with DeepDTA's files (github.com/hkmztrk/DeepDTA, data/kiba) and the "
            "values as text, Y.tsv: the published Y is a Python pickle, which is neither downloaded nor read."
        )
    folder = DeepDTAFolder(path, _MATRICES)
    drugs, ligand_file = folder.drugs("ligands_iso" if stereo else "ligands_can", standardiser or Standardiser())
    targets, protein_file = folder.targets()
    scores, value_file = folder.matrix(drugs.num_rows, targets.num_rows)
    if np.isinf(scores).any():
        row, column = (int(place) for place in np.argwhere(np.isinf(scores))[0])
        raise MalformedInputError("a score that is not finite.", value_file, row + 1, f"{column + 1}")
    drug, target = np.nonzero(~np.isnan(scores))
    folds, fold_files = folder.folds(drug.size)
    files = (ligand_file, protein_file, value_file, *fold_files)
    return Affinities(
        drugs,
        targets,
        drug,
        target,
        scores[drug, target],
        unit="KIBA score",
        folds=folds,
        provenance=(
            Provenance("KIBA", "2014", LOADER.licence, LOADER.url, " ".join(sha256_of(file) for file in files)),
        ),
    )


LOADER = Loader(
    name="kiba",
    summary="2,111 compounds against 229 kinases, 118,254 KIBA scores, with DeepDTA's folds. Needs path=.",
    licence="public benchmark (Tang et al. 2014)",
    url="https://github.com/hkmztrk/DeepDTA",
    load=load,
)
