"""The simulated engine: an inference server that looks like SGLang 0.5.18 from outside and needs no GPU and no model.

It exists so that the demo and the black-box tests exercise the supervisor with real processes, signals, sockets and log
files. Flags, log lines, HTTP surface, timing, exits and habits (good and bad) are SGLang's; the answers mean nothing.
Start it with `python -m qvl.simulator --model-path NAME --port PORT`; `--sim-…` flags make it slow, sick or dead.

Standard library only, and nothing from the rest of qvl: it stands in for a foreign program.
"""
