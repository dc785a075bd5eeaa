"""An OpenTelemetry collector that keeps what it is sent, for tests to look at."""

import concurrent.futures
import threading
import time

import grpc
from opentelemetry.proto.collector.logs.v1 import logs_service_pb2, logs_service_pb2_grpc
from opentelemetry.proto.collector.metrics.v1 import metrics_service_pb2, metrics_service_pb2_grpc
from opentelemetry.proto.collector.trace.v1 import trace_service_pb2, trace_service_pb2_grpc


def attributes(of):
    """Key-values as a dict of plain Python values."""
    return {kv.key: getattr(kv.value, kv.value.WhichOneof("value")) for kv in of}


class Collector:
    """`silent`: accepts requests and never answers them."""

    def __init__(self, port, silent=False, credentials=None):
        self.port = port
        self.lock = threading.Lock()
        self.requests = {"metrics": [], "logs": [], "traces": []}
        self.headers = []
        self.silent = silent
        self.released = threading.Event()
        self.server = grpc.server(
            concurrent.futures.ThreadPoolExecutor(max_workers=8),
            options=[("grpc.so_reuseport", 0)])
        metrics_service_pb2_grpc.add_MetricsServiceServicer_to_server(
            Service(self, "metrics", metrics_service_pb2.ExportMetricsServiceResponse), self.server)
        logs_service_pb2_grpc.add_LogsServiceServicer_to_server(
            Service(self, "logs", logs_service_pb2.ExportLogsServiceResponse), self.server)
        trace_service_pb2_grpc.add_TraceServiceServicer_to_server(
            Service(self, "traces", trace_service_pb2.ExportTraceServiceResponse), self.server)
        address = f"127.0.0.1:{port}"
        if credentials:
            self.server.add_secure_port(address, credentials)
        else:
            self.server.add_insecure_port(address)
        self.server.start()

    def stop(self):
        self.released.set()
        self.server.stop(grace=None).wait()

    def took(self, signal, request, context):
        with self.lock:
            self.requests[signal].append(request)
            self.headers.append(dict(context.invocation_metadata()))
        if self.silent:
            self.released.wait()

    def kept(self, signal):
        with self.lock:
            return list(self.requests[signal])

    # Metrics.

    def metric(self, name):
        """The metric as it was sent last, or None."""
        for request in reversed(self.kept("metrics")):
            for resource in request.resource_metrics:
                for scope in resource.scope_metrics:
                    for metric in scope.metrics:
                        if metric.name == name:
                            return metric
        return None

    def points(self, name):
        """(labels, data point) of each series of the metric as it was sent last."""
        metric = self.metric(name)
        if metric is None:
            return []
        data = getattr(metric, metric.WhichOneof("data"))
        return [(attributes(point.attributes), point) for point in data.data_points]

    def number(self, name, **labels):
        """The value of the one series with these labels, or None."""
        for found, point in self.points(name):
            if labels.items() <= found.items():
                return getattr(point, point.WhichOneof("value"))
        return None

    # Logs and traces.

    def log_records(self):
        """(body, severity, attributes) of every record."""
        return [(record.body.string_value, record.severity_text, attributes(record.attributes))
                for request in self.kept("logs") for resource in request.resource_logs
                for scope in resource.scope_logs for record in scope.log_records]

    def spans(self):
        return [span for request in self.kept("traces") for resource in request.resource_spans
                for scope in resource.scope_spans for span in scope.spans]

    def resources(self, signal):
        """The attributes of each resource that sent something."""
        field = {"metrics": "resource_metrics", "logs": "resource_logs",
                 "traces": "resource_spans"}[signal]
        return [attributes(resource.resource.attributes) for request in self.kept(signal)
                for resource in getattr(request, field)]


class Service:
    def __init__(self, collector, signal, response):
        self.collector, self.signal, self.response = collector, signal, response

    def Export(self, request, context):
        self.collector.took(self.signal, request, context)
        return self.response()


def await_(wanted, within=15, what="what was waited for"):
    """The first true answer of `wanted`."""
    deadline = time.monotonic() + within
    while not (found := wanted()):
        assert time.monotonic() < deadline, f"{what} did not come within {within} s"
        time.sleep(0.02)
    return found
