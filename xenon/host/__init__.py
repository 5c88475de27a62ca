"""What differs between the systems that this runs on.

Each file holds one thing, such as files, memory or signals, for every system.
"""
