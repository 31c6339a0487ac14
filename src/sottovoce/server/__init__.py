"""The server: registrar, proxy and built-in numbers of one domain."""
