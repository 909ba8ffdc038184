"""Training: one loop, its optimizer and schedule, checkpoints that survive a kill, the curve."""
