"""Pulumi programs, one module per kind of unit: thin, without decisions."""
