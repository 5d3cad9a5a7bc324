"""NVIDIA Remote Attestation Service: its signed verdicts (EAT, RFC 9711), judged against a key set of the day, offline."""
