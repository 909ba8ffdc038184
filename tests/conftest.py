"""For all tests: an example of hypothesis may take as long as a busy machine needs."""

from hypothesis import settings

settings.register_profile("no deadline", deadline=None)
settings.load_profile("no deadline")
