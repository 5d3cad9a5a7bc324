"""AMD SEV-SNP attestation reports: byte layout (`abi`), certificate table, pinned roots, verification of signature and chain."""
