"""Measurements: figures here are ratios against something measured in the same run."""
