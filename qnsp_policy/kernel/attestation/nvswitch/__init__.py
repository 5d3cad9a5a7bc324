"""NVSwitch of a protected-PCIe node: the SPDM report of nvidia_gpu with the switch's own fields and one BIOS RIM."""
