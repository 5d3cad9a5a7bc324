"""NVIDIA confidential GPUs: SPDM measurements, device chain, reference integrity manifests (RIM), OCSP answers."""
