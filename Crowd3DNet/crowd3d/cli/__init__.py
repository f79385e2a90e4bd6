"""The commands: arguments, one-line errors, exit codes."""
