"""The notebook runs, is stored with its outputs, and tells nothing of the machine it was run on."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

nbformat = pytest.importorskip("nbformat")
NOTEBOOKS = sorted((Path(__file__).resolve().parents[2] / "notebooks").glob("*.ipynb"))
PICTURES = {"01_repurposing": 2, "02_neo4j": 1, "03_risk": 2, "04_interaction": 1}
SAYS = {
    "01_repurposing": "breast cancer",
    "02_neo4j": "Nothing here is called 'Diseases'",
    "03_risk": "The strongest interaction: chronic kidney disease x ibuprofen",
    "04_interaction": "The strongest window is HWHC",
}


def test_each_is_known() -> None:
    assert [path.stem for path in NOTEBOOKS] == sorted(PICTURES) == sorted(SAYS)


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.name)
def test_it_reads_as_a_page(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    notebook = nbformat.reads(text, as_version=4)
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    assert len(text) < 1_000_000
    assert [cell.execution_count for cell in code] == list(range(1, len(code) + 1)), "run from top to bottom"
    outputs = [output for cell in code for output in cell.outputs]
    assert not [output for output in outputs if output.output_type == "error" or output.get("name") == "stderr"]
    assert sum("image/png" in output.get("data", {}) for output in outputs) >= PICTURES[path.stem]
    assert not re.search(r"(/home/|/Users/|/root/|/tmp/|site-packages|\w:\\\\)", text)


@pytest.mark.notebook
@pytest.mark.slow
@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.name)
@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::ResourceWarning", "ignore::UserWarning")
def test_it_runs(path: Path, tmp_path: Path, request: pytest.FixtureRequest) -> None:
    from nbclient import NotebookClient

    if "neo4j" in path.stem:
        request.getfixturevalue("neo4j_url")  # and the environment says where

    notebook = nbformat.read(path, as_version=4)
    NotebookClient(
        notebook, timeout=500, kernel_name="python3", resources={"metadata": {"path": str(tmp_path)}}
    ).execute()
    outputs = [output for cell in notebook.cells for output in cell.get("outputs", [])]
    if path.stem == "01_repurposing":
        assert any("application/vnd.plotly.v1+json" in output.get("data", {}) for output in outputs), "the map moves"
    assert sum("image/png" in output.get("data", {}) for output in outputs) >= PICTURES[path.stem]
    assert any(SAYS[path.stem] in output.get("text", "") for output in outputs)
