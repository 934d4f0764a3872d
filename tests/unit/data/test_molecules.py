"""Structures in one form: salts, stereo, charges, what RDKit says; fingerprints and similarities against RDKit."""

from __future__ import annotations

import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rdkit import Chem, DataStructs
from rdkit.Chem import rdFingerprintGenerator

from medgraph.data.molecules import Standardiser, inchikey, morgan, scaffold, tanimoto
from medgraph.errors import MissingExtraError, SchemaError

ASPIRIN, CAFFEINE, IMATINIB = (
    "CC(=O)Oc1ccccc1C(=O)O",
    "Cn1cnc2c1c(=O)n(C)c(=O)n2C",
    "Cc1ccc(NC(=O)c2ccc(CN3CCN(C)CC3)cc2)cc1Nc1nccc(-c2cccnc2)n1",
)
DRUGS = [ASPIRIN, CAFFEINE, IMATINIB, "CCO", "C[C@H](N)C(=O)O", "C1CCCCC1", "O=C(O)c1ccccc1O", "CN(C)C(=N)NC(=N)N"]


class TestStandardForm:
    @pytest.mark.parametrize(
        ("given", "expected"),
        [
            ("OC(=O)c1ccccc1OC(C)=O", ASPIRIN),
            ("CC(=O)Oc1ccccc1C(=O)[O-].[Na+]", ASPIRIN),
            ("CC(=O)OC1=CC=CC=C1C(=O)O", ASPIRIN),
            (f"{ASPIRIN} aspirin", ASPIRIN),
            (f"{ASPIRIN} |c:1|", ASPIRIN),
            ("[CH3:7]C(=O)Oc1ccccc1C(=O)O", ASPIRIN),
            (f"{IMATINIB}.CS(=O)(=O)O", IMATINIB),  # mesylate
            (f"{IMATINIB}.OC(=O)/C=C\\C(=O)O", IMATINIB),  # maleate, whatever its stereo
            (f"{IMATINIB}.OC(=O)/C=C/C(=O)O", IMATINIB),
            (f"{IMATINIB}.Cl.Cl.O", IMATINIB),
            (f"{IMATINIB}.{IMATINIB}.OS(=O)(=O)O", IMATINIB),
            # metformin's counter-ion pamoic acid is three times its size, and still a counter-ion
            (
                "CN(C)C(=N)NC(=N)N.OC(=O)c1cc2ccccc2c(Cc2c(O)c(C(=O)O)cc3ccccc23)c1O",
                "CN(C)C(=N)NC(=N)N",
            ),
            ("OC(=O)C(O)C(O)C(=O)O.Cl", "O=C(O)C(O)C(O)C(=O)O"),  # nothing else is left
            ("[NH3+]CC(=O)[O-]", "NCC(=O)O"),
            ("C[N+](C)(C)CCO", "C[N+](C)(C)CCO"),  # cannot be neutral
            ("O=[N+]([O-])c1ccccc1", "O=[N+]([O-])c1ccccc1"),
            ("[2H]C([2H])([2H])O", "[2H]C([2H])([2H])O"),
            ("[Ca+2]", "[Ca+2]"),
            ("N.N.Cl[Pt]Cl", "Cl[Pt]Cl.N.N"),
        ],
    )
    def test_rules(self, given: str, expected: str) -> None:
        assert Standardiser().canonical(given) == Chem.CanonSmiles(expected)

    def test_stereo_is_kept_or_not(self) -> None:
        left, right, open_ = "C[C@H](N)C(=O)O", "C[C@@H](N)C(=O)O", "CC(N)C(=O)O"
        assert len({Standardiser().canonical(text) for text in (left, right, open_)}) == 3
        assert {Standardiser(stereo=False).canonical(text) for text in (left, right, open_)} == {open_}

    @pytest.mark.parametrize("stereo", [True, False])
    def test_the_quick_way_gives_the_same(self, stereo: bool) -> None:
        rules = Standardiser(stereo=stereo)
        for text in [*DRUGS, "C[C@H](N)C(=O)[O-].[Na+]", "[2H]C(F)(Cl)O", "C(", "", f"{ASPIRIN}.{CAFFEINE}"]:
            found = rules.structure(text)
            assert rules.attempt(text) == (found.canonical, found.problem)

    def test_charges_and_salts_can_be_kept(self) -> None:
        assert Standardiser(charges="keep").canonical("[NH3+]CC(=O)[O-]") == "[NH3+]CC(=O)[O-]"
        assert Standardiser(salts="keep", charges="keep").canonical("[Na+].CC(=O)[O-]") == "CC(=O)[O-].[Na+]"

    def test_neutral_stereo_goes_where_it_means_nothing_any_more(self) -> None:
        once = Standardiser().canonical("O=C([O-])[C@H](O)/C=C(\\O)[O-]")
        assert Standardiser().canonical(once) == once

    @pytest.mark.parametrize(
        ("given", "says"),
        [
            ("c1ccccc1(", "RDKit: SMILES Parse Error"),
            ("C(C)(C)(C)(C)C", "valence for atom # 0 C, 5"),
            ("c1cccc1", "kekulize"),
            ("", "no SMILES"),
            ("  ", "no SMILES"),
            ("*CC", "dummy atom"),
            (f"{IMATINIB}.{CAFFEINE}{CAFFEINE}", "mixture of molecules of 37 and 28 heavy atoms"),
            (f"{ASPIRIN}.{CAFFEINE}", "mixture of molecules of 14 and 13 heavy atoms"),
        ],
    )
    def test_errors_say_what_is_wrong(self, given: str, says: str, capfd: pytest.CaptureFixture[str]) -> None:
        with pytest.raises(SchemaError, match=says.replace("#", "\\#")):
            Standardiser().canonical(given)
        assert capfd.readouterr() == ("", "")

    def test_several_fragments_can_be_refused(self) -> None:
        with pytest.raises(SchemaError, match="2 fragments"):
            Standardiser(salts="refuse").canonical("CC(=O)[O-].[Na+]")

    def test_a_long_smiles_is_not_repeated_whole(self) -> None:
        with pytest.raises(SchemaError) as caught:
            Standardiser().canonical("C" * 5000 + "(")
        assert len(str(caught.value)) < 400

    def test_a_table_goes_on_after_bad_rows(self) -> None:
        found = Standardiser().table(["CCO", "C(", None, "OCC", f"{ASPIRIN}.{CAFFEINE}"])
        assert found.canonical == ["CCO", None, None, "CCO", None]
        assert [problem is None for problem in found.problem] == [True, False, False, True, False]
        assert dict(found.counts) == {
            "SMILES that RDKit cannot read": 1,
            "empty SMILES": 1,
            "mixtures of molecules": 1,
        }

    def test_no_rows(self) -> None:
        assert Standardiser().table([]).canonical == []

    @pytest.mark.parametrize("options", [{"salts": "drop"}, {"charges": "zero"}])
    def test_unknown_words(self, options: dict[str, str]) -> None:
        with pytest.raises(SchemaError, match="not '"):
            Standardiser(**options)

    @settings(max_examples=60, deadline=None)
    @given(st.sampled_from(DRUGS), st.integers(0, 1 << 30))
    def test_any_spelling_gives_one_form(self, smiles: str, seed: int) -> None:
        molecule = Chem.MolFromSmiles(smiles)
        order = np.random.default_rng(seed).permutation(molecule.GetNumAtoms()).tolist()
        other = Chem.MolToSmiles(Chem.RenumberAtoms(molecule, order), canonical=False)
        assert Standardiser().canonical(other) == Standardiser().canonical(smiles)

    @settings(max_examples=100, deadline=None)
    @given(st.text("CNOcn1(=)[]@+-.#H*F2", max_size=12))
    def test_whatever_comes_is_a_form_or_an_error(self, text: str) -> None:
        found = Standardiser().table([text])
        assert (found.canonical[0] is None) == (found.problem[0] is not None)
        if found.canonical[0]:
            assert Chem.MolFromSmiles(found.canonical[0]) is not None

    def test_without_rdkit_it_says_what_to_install(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setitem(sys.modules, "rdkit", None)
        with pytest.raises(MissingExtraError, match=r"medgraph\[chem\]"):
            Standardiser().canonical("C")


class TestMorgan:
    @pytest.mark.parametrize(("radius", "bits", "chirality"), [(2, 2048, False), (3, 1024, True), (0, 64, False)])
    @pytest.mark.parametrize("counts", [False, True])
    def test_it_is_rdkits(self, radius: int, bits: int, chirality: bool, counts: bool) -> None:
        generator = rdFingerprintGenerator.GetMorganGenerator(radius=radius, fpSize=bits, includeChirality=chirality)
        call = generator.GetCountFingerprintAsNumPy if counts else generator.GetFingerprintAsNumPy
        expected = np.stack([call(Chem.MolFromSmiles(text)) for text in DRUGS])
        found = morgan(DRUGS, radius, bits, counts, chirality)
        assert found.dtype == np.float32
        np.testing.assert_array_equal(found.toarray(), expected)

    def test_similarity_is_rdkits(self) -> None:
        generator = rdFingerprintGenerator.GetMorganGenerator(radius=2, fpSize=2048)
        prints = [generator.GetFingerprint(Chem.MolFromSmiles(text)) for text in DRUGS]
        expected = [DataStructs.BulkTanimotoSimilarity(one, prints[:3]) for one in prints]
        np.testing.assert_allclose(tanimoto(morgan(DRUGS, counts=True), morgan(DRUGS[:3])), expected, rtol=1e-12)

    def test_blocks_and_empty_rows(self) -> None:
        many = morgan(["CCO", "CCN"] * 600)
        assert tanimoto(many, many)[1198:, :2].tolist() == tanimoto(many[:2], many[:2]).tolist()
        none = many[:1] * 0
        none.eliminate_zeros()
        assert tanimoto(none, many[:1]).tolist() == [[0.0]]
        assert morgan([]).shape == (0, 2048)

    def test_bad_input(self) -> None:
        with pytest.raises(SchemaError, match=r"Row 1: 'C\(': RDKit"):
            morgan(["C", "C("])
        with pytest.raises(SchemaError, match="Row 0: there is no SMILES"):
            morgan([""])
        with pytest.raises(SchemaError, match="1 bit"):
            morgan(["C"], bits=0)
        with pytest.raises(SchemaError, match="64 and 32 bits"):
            tanimoto(morgan(["C"], bits=64), morgan(["C"], bits=32))


class TestNames:
    def test_scaffolds(self) -> None:
        assert scaffold(ASPIRIN) == "c1ccccc1"
        assert scaffold("CCO") == ""
        assert scaffold("C[C@H]1CCCN(Cc2ccccc2)C1") == scaffold("C[C@@H]1CCCN(Cc2ccccc2)C1") == "c1ccc(CN2CCCCC2)cc1"
        assert scaffold("O=C1CCCCC1") == "O=C1CCCCC1"  # what is doubly bound to a ring stays

    @pytest.mark.parametrize(
        ("smiles", "key"),
        [  # as PubChem has them
            (ASPIRIN, "BSYNRYMUTXBXSQ-UHFFFAOYSA-N"),
            (CAFFEINE, "RYYVLZVUVIJVGH-UHFFFAOYSA-N"),
            ("C[C@H](N)C(=O)O", "QNAYBMKLOCPYGJ-REOHGIFDSA-N"),
        ],
    )
    def test_inchikeys(self, smiles: str, key: str) -> None:
        assert inchikey(smiles)[:14] == key[:14]
        if smiles != "C[C@H](N)C(=O)O":
            assert inchikey(smiles) == key

    def test_bad_input(self) -> None:
        for function in (scaffold, inchikey):
            with pytest.raises(SchemaError, match="RDKit"):
                function("C(")
