"""Kubernetes: the pods are observed, one scaler is elected, and decisions reach the Deployment by KEDA or directly."""
