"""qi-learn: a local model that learns from the way you work, and proves it before it ships."""

__version__ = "0.2.0"
