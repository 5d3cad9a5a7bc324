"""Intel SGX quotes; layout, collateral and status are the shared core `dcap`."""
