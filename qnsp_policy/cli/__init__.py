"""Parses, calls a workflow, prints, exits: one file per command. Exit codes and printing live here only."""
