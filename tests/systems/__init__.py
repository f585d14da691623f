"""Tests of the adapters to outside systems, on real HTTP."""
