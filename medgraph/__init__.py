"""What medicine knows, as one graph and one vector space, and answers with them.

Loaders bring data in, stores keep the graph, embeddings turn it into vectors, heads turn vectors into predictions,
evaluation judges them, explain says why, explore shows it. Names load on first use: importing medgraph loads no torch.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from medgraph.data.affinities import Affinities
    from medgraph.data.cohort import Cohort
    from medgraph.data.crosswalk import crosswalk
    from medgraph.data.graph import KnowledgeGraph, Provenance
    from medgraph.data.schema import EdgeType, Schema
    from medgraph.data.synergies import Synergies
    from medgraph.embeddings.back_off import back_off
    from medgraph.embeddings.cooccurrence import PPMI
    from medgraph.embeddings.decoders import Bilinear, ComplEx, DistMult, InnerProduct
    from medgraph.embeddings.embedding import Embedding
    from medgraph.embeddings.joint import JointSequences
    from medgraph.embeddings.skipgram import SkipGram
    from medgraph.embeddings.skipgram_gensim import GensimBackend
    from medgraph.embeddings.skipgram_torch import TorchBackend
    from medgraph.embeddings.vgae import VGAE
    from medgraph.embeddings.vgae_sampled import SampledVGAE
    from medgraph.embeddings.visits import VisitSequences
    from medgraph.embeddings.walks import MetapathWalks, Node2VecWalks, RelationBalancedWalks, UniformWalks
    from medgraph.errors import MedgraphError
    from medgraph.evaluation.cohort_leaks import cohort_leaks
    from medgraph.evaluation.protocol import evaluate_links
    from medgraph.evaluation.report import Report
    from medgraph.evaluation.splits import EdgeSplit, split_edges
    from medgraph.evaluation.summary import combine
    from medgraph.explain.attribution import explain_risk
    from medgraph.explain.interaction import explain_interaction
    from medgraph.explain.paths import explain_paths
    from medgraph.explore.binding import binding
    from medgraph.explore.maps import map_embedding
    from medgraph.explore.neighbourhood import neighbourhood
    from medgraph.explore.timeline import timeline
    from medgraph.heads.interaction.baselines.als import ALS
    from medgraph.heads.interaction.baselines.kronrls import KronRLS
    from medgraph.heads.interaction.baselines.means import PairMeans
    from medgraph.heads.interaction.baselines.neighbours import PairNeighbours
    from medgraph.heads.interaction.deepdta import DeepDTA
    from medgraph.heads.interaction.knowledge import KnowledgeDTA
    from medgraph.heads.interaction.lstm import PairLSTM
    from medgraph.heads.interaction.mlp import FingerprintMLP
    from medgraph.heads.interaction.screen import screen
    from medgraph.heads.interaction.stacking.stack import InteractionStack
    from medgraph.heads.interaction.synergy.head import DeepSynergy
    from medgraph.heads.repurposing.baselines import DegreePrior, NearestNeighbour
    from medgraph.heads.repurposing.kernels import SharedNeighbours
    from medgraph.heads.repurposing.path_counts import BoostedPathCounts, MetapathCounts
    from medgraph.heads.repurposing.predictor import LinkPredictor
    from medgraph.heads.repurposing.vectors import VectorKernel, VectorNeighbour, VectorRidge
    from medgraph.heads.risk.cnn import Deepr
    from medgraph.heads.risk.deep_patient import DeepPatient
    from medgraph.heads.risk.grud import GRUD
    from medgraph.heads.risk.lstm import VisitGRU, VisitLSTM
    from medgraph.heads.risk.privacy import DifferentialPrivacy
    from medgraph.heads.risk.retain import RETAIN
    from medgraph.heads.risk.survival import DynamicDeepHit
    from medgraph.loading import list_loaders, load
    from medgraph.stores import open_store
    from medgraph.stores.remote import link_loader, neighbour_loader, remote_backend

__version__ = "0.1.0"

_HOME = {
    "ALS": "medgraph.heads.interaction.baselines.als",
    "Affinities": "medgraph.data.affinities",
    "Bilinear": "medgraph.embeddings.decoders",
    "BoostedPathCounts": "medgraph.heads.repurposing.path_counts",
    "Cohort": "medgraph.data.cohort",
    "ComplEx": "medgraph.embeddings.decoders",
    "DeepDTA": "medgraph.heads.interaction.deepdta",
    "DeepPatient": "medgraph.heads.risk.deep_patient",
    "DeepSynergy": "medgraph.heads.interaction.synergy.head",
    "Deepr": "medgraph.heads.risk.cnn",
    "DegreePrior": "medgraph.heads.repurposing.baselines",
    "DifferentialPrivacy": "medgraph.heads.risk.privacy",
    "DistMult": "medgraph.embeddings.decoders",
    "DynamicDeepHit": "medgraph.heads.risk.survival",
    "EdgeSplit": "medgraph.evaluation.splits",
    "EdgeType": "medgraph.data.schema",
    "Embedding": "medgraph.embeddings.embedding",
    "FingerprintMLP": "medgraph.heads.interaction.mlp",
    "GRUD": "medgraph.heads.risk.grud",
    "GensimBackend": "medgraph.embeddings.skipgram_gensim",
    "InnerProduct": "medgraph.embeddings.decoders",
    "InteractionStack": "medgraph.heads.interaction.stacking.stack",
    "JointSequences": "medgraph.embeddings.joint",
    "KnowledgeDTA": "medgraph.heads.interaction.knowledge",
    "KnowledgeGraph": "medgraph.data.graph",
    "KronRLS": "medgraph.heads.interaction.baselines.kronrls",
    "LinkPredictor": "medgraph.heads.repurposing.predictor",
    "MedgraphError": "medgraph.errors",
    "MetapathCounts": "medgraph.heads.repurposing.path_counts",
    "MetapathWalks": "medgraph.embeddings.walks",
    "NearestNeighbour": "medgraph.heads.repurposing.baselines",
    "Node2VecWalks": "medgraph.embeddings.walks",
    "PPMI": "medgraph.embeddings.cooccurrence",
    "PairLSTM": "medgraph.heads.interaction.lstm",
    "PairMeans": "medgraph.heads.interaction.baselines.means",
    "PairNeighbours": "medgraph.heads.interaction.baselines.neighbours",
    "Provenance": "medgraph.data.graph",
    "RETAIN": "medgraph.heads.risk.retain",
    "RelationBalancedWalks": "medgraph.embeddings.walks",
    "Report": "medgraph.evaluation.report",
    "SampledVGAE": "medgraph.embeddings.vgae_sampled",
    "Schema": "medgraph.data.schema",
    "SharedNeighbours": "medgraph.heads.repurposing.kernels",
    "SkipGram": "medgraph.embeddings.skipgram",
    "Synergies": "medgraph.data.synergies",
    "TorchBackend": "medgraph.embeddings.skipgram_torch",
    "UniformWalks": "medgraph.embeddings.walks",
    "VGAE": "medgraph.embeddings.vgae",
    "VectorKernel": "medgraph.heads.repurposing.vectors",
    "VectorNeighbour": "medgraph.heads.repurposing.vectors",
    "VectorRidge": "medgraph.heads.repurposing.vectors",
    "VisitGRU": "medgraph.heads.risk.lstm",
    "VisitLSTM": "medgraph.heads.risk.lstm",
    "VisitSequences": "medgraph.embeddings.visits",
    "back_off": "medgraph.embeddings.back_off",
    "binding": "medgraph.explore.binding",
    "cohort_leaks": "medgraph.evaluation.cohort_leaks",
    "combine": "medgraph.evaluation.summary",
    "crosswalk": "medgraph.data.crosswalk",
    "evaluate_links": "medgraph.evaluation.protocol",
    "explain_interaction": "medgraph.explain.interaction",
    "explain_paths": "medgraph.explain.paths",
    "explain_risk": "medgraph.explain.attribution",
    "link_loader": "medgraph.stores.remote",
    "list_loaders": "medgraph.loading",
    "load": "medgraph.loading",
    "map_embedding": "medgraph.explore.maps",
    "neighbour_loader": "medgraph.stores.remote",
    "neighbourhood": "medgraph.explore.neighbourhood",
    "open_store": "medgraph.stores",
    "remote_backend": "medgraph.stores.remote",
    "screen": "medgraph.heads.interaction.screen",
    "split_edges": "medgraph.evaluation.splits",
    "timeline": "medgraph.explore.timeline",
}

__all__ = [
    "ALS",
    "GRUD",
    "PPMI",
    "RETAIN",
    "VGAE",
    "Affinities",
    "Bilinear",
    "BoostedPathCounts",
    "Cohort",
    "ComplEx",
    "DeepDTA",
    "DeepPatient",
    "DeepSynergy",
    "Deepr",
    "DegreePrior",
    "DifferentialPrivacy",
    "DistMult",
    "DynamicDeepHit",
    "EdgeSplit",
    "EdgeType",
    "Embedding",
    "FingerprintMLP",
    "GensimBackend",
    "InnerProduct",
    "InteractionStack",
    "JointSequences",
    "KnowledgeDTA",
    "KnowledgeGraph",
    "KronRLS",
    "LinkPredictor",
    "MedgraphError",
    "MetapathCounts",
    "MetapathWalks",
    "NearestNeighbour",
    "Node2VecWalks",
    "PairLSTM",
    "PairMeans",
    "PairNeighbours",
    "Provenance",
    "RelationBalancedWalks",
    "Report",
    "SampledVGAE",
    "Schema",
    "SharedNeighbours",
    "SkipGram",
    "Synergies",
    "TorchBackend",
    "UniformWalks",
    "VectorKernel",
    "VectorNeighbour",
    "VectorRidge",
    "VisitGRU",
    "VisitLSTM",
    "VisitSequences",
    "back_off",
    "binding",
    "cohort_leaks",
    "combine",
    "crosswalk",
    "evaluate_links",
    "explain_interaction",
    "explain_paths",
    "explain_risk",
    "link_loader",
    "list_loaders",
    "load",
    "map_embedding",
    "neighbour_loader",
    "neighbourhood",
    "open_store",
    "remote_backend",
    "screen",
    "split_edges",
    "timeline",
]


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'medgraph' has no attribute {name!r}")
    value = getattr(import_module(_HOME[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
