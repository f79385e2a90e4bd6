"""The cases of ``torture.py``: damaged inputs, killed runs, changing options, two runs at once, disks that are full or closed."""
