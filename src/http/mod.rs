//! Scrapes and probes over HTTP: what Prometheus, Docker and Kubernetes ask for.
