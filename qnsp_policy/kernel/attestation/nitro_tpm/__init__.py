"""AWS NitroTPM: attestation documents of measured-boot instances, and the TPM 2.0 quote by the key that they carry."""
