"""`deploy` and `undeploy`: the service on minikube."""
