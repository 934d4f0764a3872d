"""Where data come in: one source a file. Installed as `medgraph.loaders`; found by entry point."""

if __name__ != "medgraph.loaders":
    raise ImportError("Import medgraph.loaders, not loaders: this folder is installed under that name.")
