"""`python -m scratchmm ...`: the command line."""

from scratchmm.commands import main

if __name__ == "__main__":
    raise SystemExit(main())
