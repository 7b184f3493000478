"""Integers for a graph: scales, kernels and biases, chosen by measurement."""
