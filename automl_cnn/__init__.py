"""From a folder of labelled images to an audited, leak-free, quantized classifier."""

__version__ = "0.1.0"
