"""qi-learn: a local model that learns from the way you work, and proves it before it ships.

Public are the names in `__all__`, and nothing else of the package's modules. What else is stable
(the command line, `--json`, the spool and others): docs/versioning.md.
"""

__all__ = ["__version__"]

__version__ = "0.2.0"
