"""The benchmark: the library beside its peers, in one process, in turns. See commands/bench.py."""
