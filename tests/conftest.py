"""For all tests: generated examples have no time limit each, since a busy machine is not a defect."""

from hypothesis import settings

settings.register_profile("qvl", deadline=None)
settings.load_profile("qvl")
