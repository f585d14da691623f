"""The demo: a good release and a bad one, on a cluster, with the daemon and the shipped policies, told as it happens."""
