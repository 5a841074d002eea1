"""What is agreed of the general suites: names that mean something, and how many texts do."""

from __future__ import annotations

ORDINARY = "python_stdlib"
"""The suite of ordinary code, which is there on every machine."""
SPILL_OVER = ("spill_over_header", "spill_over_plain")
"""The suites in which a learned style turns up where it does not belong."""
FEW = 8
"""Texts below which a suite by itself says nothing either way."""
