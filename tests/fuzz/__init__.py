"""Damaged files and bodies by the thousand: `make fuzz`, `make fuzz-upload`."""
