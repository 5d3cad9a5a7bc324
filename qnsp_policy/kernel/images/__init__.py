"""Enclave images, built from bytes: file trees, OCI layouts, cpio archives, EIF files and their signatures; unified kernel images, read.

Comes in: bytes that were held to their digests. Goes out: bytes, the same on every machine and every day: no time, no owner, no order of
a folder, no compressor's version reaches them. Registers are computed by `kernel.attestation.nitro_enclave.eif`, as for any other image.
"""
