"""Pure and reusable: cryptography, ledger, attestation, wire messages, sealed artefacts. Knows nothing of documents."""
