"""The first configuration: what can be chosen on this machine, and the file that is made of the choices."""
