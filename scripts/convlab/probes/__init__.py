"""Probes: measurements that test what a model assumes about images."""
