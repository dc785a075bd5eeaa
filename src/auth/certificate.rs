//! The method `certificate`: the user name is in the client certificate, which the transport
//! has verified.

use super::{Answer, Identity, Request};
use crate::config::{CertificateName, Method};
use crate::peer::ClientCertificate;
use crate::protocol::ReasonCode;

/// The user name in a certificate. `None` if it has none there, or an empty one.
pub(super) fn user_name(of: CertificateName, certificate: &ClientCertificate) -> Option<&str> {
    let name = match of {
        CertificateName::Cn => certificate.common_name.as_deref(),
        CertificateName::San => certificate.alternative_names.first().map(|name| &**name),
        CertificateName::Subject => Some(&*certificate.subject),
    };
    name.filter(|name| !name.is_empty())
}

/// A client without a certificate is not this method's. One whose certificate has no user name
/// is refused: it has shown who it is, and nobody knows that name.
pub(super) fn ask(of: CertificateName, request: &Request<'_>) -> Answer {
    let Some(certificate) = request.certificate else { return Answer::NotMine };
    match user_name(of, certificate) {
        Some(name) => Answer::Allow(Identity {
            username: Some(name.into()),
            method: Some(Method::Certificate),
            ..Identity::default()
        }),
        None => Answer::Refuse(ReasonCode::NotAuthorized),
    }
}
