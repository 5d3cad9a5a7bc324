"""Evidence -> verified claims -> attestation result; one folder per evidence kind; offline, clock injected (RFC 9334)."""
