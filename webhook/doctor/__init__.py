"""What `warmpod doctor` does: gather evidence about a live installation, judge it, and say what to do.

Gathering talks to the API server and judges nothing; judging is pure. So every broken installation is a value.
"""
