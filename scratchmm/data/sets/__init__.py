"""What is read: real data sets, tables of the user's own, and downloads."""
