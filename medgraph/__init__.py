"""What medicine knows, as one graph and one vector space, and answers with them."""

__version__ = "0.1.0"
