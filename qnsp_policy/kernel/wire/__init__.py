"""Messages that two parties exchange, bytes <-> types in both directions, no I/O."""
