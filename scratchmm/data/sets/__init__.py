"""Readers of real data sets and of the user's own tables, and downloads."""
