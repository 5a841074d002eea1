"""Benchmarks that are part of the product: what it learns, what it forgets."""
