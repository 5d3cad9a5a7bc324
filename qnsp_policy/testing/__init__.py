"""Fakes of our own ports and workspaces to try things on; shipped for users' tests, imported by nothing but tests."""
