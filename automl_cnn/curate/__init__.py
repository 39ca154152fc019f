"""Audit and split brought together: what a reviewer's decisions, copies, labels and groups make of a set of images."""
