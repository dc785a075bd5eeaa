//! Files that the configuration of a bridge names. They are read at each attempt, since tokens and
//! certificates are renewed, and read once more by `config check`. Blocks; for no event loop.

use std::path::Path;

use crate::config::{Bridge, is_readable_by_all, must_be_regular};
use crate::net::dial::ClientTls;

/// The password, or `None` if there is none. One line end of the file does not belong to it; spaces
/// may.
///
/// # Errors
/// What cannot be used, with its key, and why.
pub(super) fn password(name: &str, bridge: &Bridge) -> Result<Option<Vec<u8>>, String> {
    let Some(file) = &bridge.password_file else {
        let password = bridge.password.reveal();
        return Ok((!password.is_empty()).then(|| password.as_bytes().to_vec()));
    };
    let fails = |error: &dyn std::fmt::Display| {
        format!("bridges.{name}.password_file: cannot use {}: {error}", file.display())
    };
    must_be_regular(file).map_err(|error| fails(&error))?;
    let mut password = std::fs::read(file).map_err(|error| fails(&error))?;
    for end in [b'\n', b'\r'] {
        password.pop_if(|last| *last == end);
    }
    if password.len() > usize::from(u16::MAX) {
        return Err(fails(&"a password has at most 65535 bytes"));
    }
    Ok(Some(password))
}

/// How the servers of a bridge are verified, and who it is to them.
pub(super) fn client_tls(bridge: &Bridge) -> ClientTls {
    let tls = bridge.tls.clone().unwrap_or_default();
    ClientTls {
        ca_file: tls.ca_file,
        certificate_file: tls.certificate_file,
        key_file: tls.key_file,
        server_name: Some(tls.server_name).filter(|name| !name.is_empty()),
        alpn: tls.alpn.to_vec(),
    }
}

/// What an operator should know of the files of a bridge: those that cannot be used, for which it
/// would not connect, and secrets that everyone may read.
pub fn warnings(name: &str, bridge: &Bridge) -> Vec<String> {
    let mut warnings = exposed(name, bridge);
    warnings.extend(password(name, bridge).err());
    if bridge.addresses.iter().any(|address| address.scheme().is_tls())
        && let Err(error) = client_tls(bridge).check()
    {
        warnings.push(format!("bridges.{name}: {error}"));
    }
    warnings
}

/// Secrets that everyone on this machine may read.
pub(super) fn exposed(name: &str, bridge: &Bridge) -> Vec<String> {
    let key_file = bridge.tls.as_ref().and_then(|tls| tls.key_file.as_deref());
    let named = [("password_file", bridge.password_file.as_deref()), ("tls.key_file", key_file)];
    let exposed = named.into_iter().filter_map(|(key, path): (&str, Option<&Path>)| {
        let path = path.filter(|path| is_readable_by_all(path))?;
        Some(format!(
            "every user of this machine may read bridges.{name}.{key} ({}): take that right away \
             (chmod o-r; for a Secret of Kubernetes, defaultMode: 0440)",
            path.display()
        ))
    });
    exposed.collect()
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;
    use crate::config::List;

    fn with_password(path: &Path) -> Bridge {
        Bridge {
            addresses: List(vec!["mqtts://a".parse().unwrap()]),
            password_file: Some(path.to_owned()),
            ..Bridge::default()
        }
    }

    #[test]
    fn one_line_end_is_no_part_of_a_password() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("password");
        for (text, password_in_it) in
            [("a", "a"), ("a\n", "a"), ("a\r\n", "a"), ("a \n\n", "a \n"), ("", ""), ("\n", "")]
        {
            std::fs::write(&path, text).unwrap();
            let read = password("up", &with_password(&path)).unwrap();
            assert_eq!(read.as_deref(), Some(password_in_it.as_bytes()), "{text:?}");
        }
    }

    #[test]
    fn a_file_that_cannot_be_used_is_named_with_its_key() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("password");
        let problem = password("up", &with_password(&path)).unwrap_err();
        assert!(problem.starts_with("bridges.up.password_file: cannot use "), "{problem}");
        assert!(problem.contains("password: "), "{problem}");
        let mut bridge = with_password(&path);
        std::fs::write(&path, vec![b'a'; 65_536]).unwrap();
        let ca_file = Some(directory.path().join("ca.pem"));
        bridge.tls = Some(crate::config::BridgeTls { ca_file, ..Default::default() });
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).unwrap();
        let found = warnings("up", &bridge);
        assert_eq!(found.len(), 2, "{found:?}");
        assert!(found[0].contains("at most 65535 bytes"), "{found:?}");
        assert!(found[1].starts_with("bridges.up: ") && found[1].contains("ca.pem"), "{found:?}");
    }

    #[test]
    fn a_password_that_everyone_may_read_is_told() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("password");
        std::fs::write(&path, "secret").unwrap();
        for (mode, told) in [(0o644, 1), (0o640, 0)] {
            std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).unwrap();
            let found = exposed("up", &with_password(&path));
            assert_eq!(found.len(), told, "{found:?}");
            assert!(found.iter().all(|text| text.contains("bridges.up.password_file")));
        }
    }
}
