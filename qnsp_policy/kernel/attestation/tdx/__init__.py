"""Intel TDX quotes; layout, collateral and status are the shared core `dcap`."""
