"""Intel DCAP quotes, the core that TDX and SGX share: layout, PCK certificates, PCS collateral, TCB status, verification."""
