"""What of a salt or a mixture is the molecule?"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import Any

from medgraph.data.chemistry import chem

__all__ = ["neutral", "parent"]

# Acids, bases and solvents that drugs are made into salts and solvates with, neutral and without stereo.
_COUNTER_IONS = """
    OC=O CC(=O)O OC(=O)C(F)(F)F CCC(=O)O OC(=O)C(=O)O OC(=O)CC(=O)O OC(=O)CCC(=O)O OC(=O)C=CC(=O)O OC(=O)CCCCC(=O)O
    OC(=O)CC(O)C(=O)O OC(=O)C(O)C(O)C(=O)O OC(=O)CC(O)(CC(=O)O)C(=O)O CC(O)C(=O)O OCC(O)C(O)C(O)C(O)C(=O)O
    OC(=O)c1ccccc1 OC(=O)c1ccccc1O OC(=O)c1cc2ccccc2c(Cc2c(O)c(C(=O)O)cc3ccccc23)c1O OC(=O)c1cc2ccccc2cc1O
    CS(=O)(=O)O CCS(=O)(=O)O OCCS(=O)(=O)O O=S(=O)(O)CCS(=O)(=O)O OS(=O)(=O)C(F)(F)F OS(=O)(=O)c1ccccc1
    Cc1ccc(S(=O)(=O)O)cc1 OS(=O)(=O)c1ccc2ccccc2c1 CCCCCCCCCCCCCCCCCC(=O)O CCCCCCCCCCCCCCCC(=O)O NCCO OCCNCCO
    OCCN(CCO)CCO NC(CO)(CO)CO CN(C)CCO CNCC(O)C(O)C(O)C(O)CO NCCN CCN(CC)CC CC(C)(C)N C1CCC(CC1)NC1CCCCC1
    NCCCCC(N)C(=O)O NC(CCCNC(=N)N)C(=O)O CO CCO CC(C)O CC(C)=O CC#N CN(C)C=O CS(C)=O ClCCl CCOC(C)=O C1CCOC1
    C1COCCO1 Cc1ccccc1
"""


def parent(molecule: Any, fragments: Sequence[Any]) -> tuple[Any, str]:
    """The fragment that is the molecule, by the rules in `Standardiser`; or none, and what this is a mixture of."""
    organic = [f for f in fragments if any(atom.GetAtomicNum() == 6 for atom in f.GetAtoms())]
    if len(organic) < 2:
        return organic[0] if organic else molecule, ""
    distinct = {chem().MolToSmiles(fragment): fragment for fragment in organic}
    free = {text: f for text, f in distinct.items() if _plain(f) not in _counter_ions()} or distinct
    ranked = sorted(free.items(), key=lambda item: (-item[1].GetNumHeavyAtoms(), item[0]))
    sizes = [fragment.GetNumHeavyAtoms() for _, fragment in ranked]
    if len(ranked) > 1 and 2 * sizes[1] > sizes[0] and _plain(ranked[0][1]) != _plain(ranked[1][1]):
        return None, f"it is a mixture of molecules of {sizes[0]} and {sizes[1]} heavy atoms."
    return ranked[0][1], ""


def neutral(molecule: Any) -> Any:
    """The same with hydrogen added to or taken from acids and bases until no charge is left that need not be."""
    found = _uncharger().uncharge(molecule)
    chem().AssignStereochemistry(found, cleanIt=True, force=True)  # what was stereo may be symmetric now
    return found


def _plain(fragment: Any) -> str:
    """The SMILES of its neutral form without stereo."""
    text: str = chem().MolToSmiles(neutral(chem().Mol(fragment)), isomericSmiles=False)
    return text


@cache
def _counter_ions() -> frozenset[str]:
    return frozenset(chem().MolToSmiles(chem().MolFromSmiles(text)) for text in _COUNTER_IONS.split())


@cache
def _uncharger() -> Any:
    from rdkit.Chem.MolStandardize import rdMolStandardize

    return rdMolStandardize.Uncharger()
