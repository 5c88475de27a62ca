"""A personality: what XeLL gives a program that it starts from a USB stick."""
