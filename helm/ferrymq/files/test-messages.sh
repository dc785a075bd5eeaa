# What `helm test` runs, with HOST, PORT, HTTP_PORT and, if there are any,
# MQTT_USERNAME and MQTT_PASSWORD; with TLS=true over TLS, where /tls has ca.crt and,
# if there are any, client.crt and client.key; TLS_INSECURE=true leaves out the name: a session goes away, a message is acknowledged
# meanwhile, and the session gets it when it comes back.
if [ -n "${NEEDS_PASSWORD:-}" ]; then
    echo "the broker asks for passwords: name a Secret with the keys username and password in tests.messages.existingSecret"
    exit 1
fi
if [ -n "${NEEDS_CERTIFICATE:-}" ]; then
    echo "the broker asks for client certificates: name a Secret with the keys tls.crt and tls.key in tests.messages.tls.clientSecretName"
    exit 1
fi
tls=""
if [ -n "${TLS:-}" ]; then
    tls="--tls-use-os-certs"
    if [ -s /tls/ca.crt ]; then tls="--cafile /tls/ca.crt"; fi
    if [ -s /tls/client.crt ]; then tls="$tls --cert /tls/client.crt --key /tls/client.key"; fi
    if [ -n "${TLS_INSECURE:-}" ]; then tls="$tls --insecure"; fi
    echo "over TLS: $tls"
fi
ready=$(wget -q -O - "http://$HOST:$HTTP_PORT/readyz")
echo "ready: $ready"

id="helm-test-$(date +%s)-$$"
topic="helm-test/$id"
client() {
    command=$1
    shift
    # shellcheck disable=SC2086 # several arguments
    "$command" -h "$HOST" -p "$PORT" $tls ${MQTT_USERNAME:+-u "$MQTT_USERNAME" -P "$MQTT_PASSWORD"} -q 1 -t "$topic" "$@"
}

# -c keeps the session; -E leaves as soon as the subscription is acknowledged.
client mosquitto_sub -i "$id" -c -E
echo "subscribed to $topic, and left"
client mosquitto_pub -m "$id"
echo "published, and acknowledged"
received=$(client mosquitto_sub -i "$id" -c -C 1 -W 30)
# The same client id without -c ends the session.
client mosquitto_sub -i "$id" -E
if [ "$received" != "$id" ]; then
    echo "received '$received' instead of '$id'"
    exit 1
fi
echo "received: what was acknowledged has arrived"
