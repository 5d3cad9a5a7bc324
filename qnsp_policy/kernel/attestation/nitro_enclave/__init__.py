"""AWS Nitro enclaves: attestation documents (COSE_Sign1, ES384) under the AWS Nitro Enclaves root G1."""
