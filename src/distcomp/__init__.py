"""distcomp: data-parallel computation that packs tasks by the memory they really use."""

__version__ = "0.1.0"
