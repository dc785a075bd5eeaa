//! The OpenTelemetry resource, by its semantic conventions.

use argon2::password_hash::rand_core::{OsRng, RngCore as _};
use opentelemetry::KeyValue;
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::resource::{EnvResourceDetector, TelemetryResourceDetector};

use super::settings::Variables;

/// The attributes of this process. `OTEL_RESOURCE_ATTRIBUTES` adds to them and takes
/// precedence; `OTEL_SERVICE_NAME` takes precedence over both.
pub(super) fn resource(variables: Variables<'_>) -> Resource {
    let mut attributes = vec![
        KeyValue::new("service.name", env!("CARGO_PKG_NAME")),
        KeyValue::new("service.version", env!("CARGO_PKG_VERSION")),
        // A new one at each start, as the conventions recommend for a service without a stable
        // id. An operator with a stable id sets it in OTEL_RESOURCE_ATTRIBUTES.
        KeyValue::new("service.instance.id", random_uuid()),
        KeyValue::new("process.pid", i64::from(std::process::id())),
    ];
    attributes.extend(host_name(variables).map(|name| KeyValue::new("host.name", name)));
    let builder = Resource::builder_empty()
        .with_detector(Box::new(TelemetryResourceDetector))
        .with_attributes(attributes)
        .with_detector(Box::new(EnvResourceDetector::new()));
    match variables("OTEL_SERVICE_NAME") {
        Some(name) => builder.with_service_name(name).build(),
        None => builder.build(),
    }
}

/// The part that a scrape shows as `target_info`: only what does not change between starts,
/// since Prometheus has its own `instance`.
pub fn scraped() -> Resource {
    Resource::builder()
        .with_service_name(env!("CARGO_PKG_NAME"))
        .with_attribute(KeyValue::new("service.version", env!("CARGO_PKG_VERSION")))
        .build()
}

/// The host name from the kernel, or else from the environment.
fn host_name(variables: Variables<'_>) -> Option<String> {
    std::fs::read_to_string("/proc/sys/kernel/hostname")
        .ok()
        .map(|name| name.trim().to_owned())
        .filter(|name| !name.is_empty())
        .or_else(|| variables("HOSTNAME"))
}

/// A version 4 UUID (RFC 9562): 122 random bits.
fn random_uuid() -> String {
    let mut bytes = [0_u8; 16];
    OsRng.fill_bytes(&mut bytes);
    let number = u128::from_be_bytes(bytes);
    // Section 4.2 and 4.1: four bits of version, two of variant.
    let number = number & !(0xf << 76) | (4 << 76);
    let number = number & !(0b11 << 62) | (0b10 << 62);
    let hex = format!("{number:032x}");
    let part = |from: usize, to: usize| hex.get(from..to).unwrap_or_default();
    [part(0, 8), part(8, 12), part(12, 16), part(16, 20), part(20, 32)].join("-")
}

#[cfg(test)]
mod tests {
    use opentelemetry::Key;

    use super::*;

    #[test]
    fn the_conventions_are_followed() {
        let resource = resource(&|_| None);
        for key in [
            "service.name",
            "service.version",
            "service.instance.id",
            "host.name",
            "process.pid",
            "telemetry.sdk.name",
            "telemetry.sdk.language",
            "telemetry.sdk.version",
        ] {
            assert!(resource.get(&Key::new(key)).is_some(), "{key}");
        }
    }

    #[test]
    fn an_instance_id_is_a_random_uuid() {
        let (one, other) = (random_uuid(), random_uuid());
        assert_ne!(one, other);
        let shape: Vec<usize> = one.split('-').map(str::len).collect();
        assert_eq!(shape, [8, 4, 4, 4, 12], "{one}");
        assert_eq!(one.as_bytes()[14], b'4', "{one}");
        assert!(b"89ab".contains(&one.as_bytes()[19]), "{one}");
    }
}
