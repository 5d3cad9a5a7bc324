"""Sealed artefacts: the file format `qnsp.sealed/v1` and the envelope `qnsp.sealed-key/v1` of its data key."""
