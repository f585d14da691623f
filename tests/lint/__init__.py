"""The checks on the code itself that no tool brings, and their tests."""
