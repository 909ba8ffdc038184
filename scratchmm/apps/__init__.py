"""Applications: what a user does with trained models, one folder each."""
