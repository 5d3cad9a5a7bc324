"""What a guest proves itself with: the kernel's TSM folder (SEV-SNP, TDX), `/dev/nsm` (Nitro enclaves), `/dev/tpmrm0` (NitroTPM).

In: a path and report data. Out: an `AttesterReport`, unverified. Assurance follows from the root that verifies it, never from the path:
a simulator offers the same surfaces (a folder, a unix socket) and its root is nobody's.
"""
