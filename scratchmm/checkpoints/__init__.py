"""Published weights under our names: one file that reads and verifies, one table a model family."""
