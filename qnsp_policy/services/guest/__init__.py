"""The agent inside the attester: evidence, key broker, sealed artefact into memory, workload, gateway.

In: a configuration file, a folder of the kernel's TSM interface (or a simulator's), sealed artefacts on untrusted storage.
Out: a running, attested endpoint; nothing secret ever touches a disk. Every failure is loud and ends what was being served.
"""
