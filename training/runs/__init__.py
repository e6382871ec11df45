"""Run folders of all training commands: listed and compared."""
