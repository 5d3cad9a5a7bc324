"""What runs: key broker, gateway, guest, supervisor. They see the kernel, the model and trust; never each other."""
