"""The main job on real input: a server, a bus, the daemon, and the commands a newcomer would type."""
