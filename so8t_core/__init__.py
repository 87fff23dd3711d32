"""SO8T: from public Japanese web pages to an exported SO(8)-rotated Phi-3 chat model."""

__version__ = "0.1.0"
