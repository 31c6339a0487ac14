"""Sockets: the only layer between the protocol machines and the network."""
