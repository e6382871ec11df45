"""The decoded signal: channels mixed down, its level, and where it is audible."""
