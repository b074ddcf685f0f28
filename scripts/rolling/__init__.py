"""Rollouts and deaths of replicas behind a load balancer, and what became of every request."""
