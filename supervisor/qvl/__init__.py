"""qvl: runs SGLang on GPU hosts and keeps it running.

Nothing is imported here, so that `import qvl` costs nothing to the command line and to the shim.
"""

__version__ = "0.1.0"
