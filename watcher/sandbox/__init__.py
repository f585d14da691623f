"""The embedded cluster, the shop and the vendors' stand-ins that the demo and the tests run on."""
