"""Real data, where it is given: tests that need it are skipped elsewhere."""

import os
from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def real_data():
    """A function from a set's name to the folder that holds the set's folder."""
    beside = Path(__file__).resolve().parents[2].parent / "shared" / "data"
    root = Path(os.environ.get("SCRATCHMM_DATA") or beside)

    def find(name: str) -> Path:
        if not (root / name).is_dir():
            pytest.skip(f"no real data {name} in {root}")
        return root

    return find
