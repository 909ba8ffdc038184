"""Runs `fit` in forked children, so that the test can kill many without importing torch each time.

Read from stdin, a line a child: the folder. The child's process id goes to stdout; after its end
(by whatever cause) its exit status.
"""

import os
import sys
import time

import torch
from torch import nn

from scratchmm.training.fit import fit

STEPS = 40


def batch_at(step):
    generator = torch.Generator().manual_seed(step)
    time.sleep(0.003)  # long enough to be killed in
    return torch.randn(8, 5, generator=generator), torch.randint(3, (8,), generator=generator)


def loss(model, batch):
    inputs, labels = batch
    noise = torch.randn_like(inputs) * 0.1  # as dropout does: from the global generator
    return nn.functional.cross_entropy(model(inputs + noise), labels)


def train(folder):
    torch.manual_seed(int(time.time() * 1e6) % 2**31)  # a resumed run owes nothing to these weights
    if not os.path.exists(os.path.join(folder, "checkpoint.pt")):
        torch.manual_seed(5)
    model = nn.Sequential(
        nn.Linear(5, 16), nn.BatchNorm1d(16), nn.GELU(), nn.Dropout(0.3), nn.Linear(16, 3)
    )
    fit(model, batch_at, loss, steps=STEPS, learning_rate=0.02, folder=folder, save_every=4)


def main():
    for line in sys.stdin:
        child = os.fork()
        if child == 0:
            train(line.strip())
            os._exit(0)
        print(child, flush=True)
        print(os.waitpid(child, 0)[1], flush=True)


if __name__ == "__main__":
    main()
