"""What a program spends its time and its instructions on: measured while it runs in a console."""
