//! What every door for phones does first: read the path, check the pass's secret.

use ::http::header;
use lambda_http::Request;
use passkit::{
    identifiers::{DeviceLibraryIdentifier, PassIdentity},
    secrets::AuthenticationToken,
    web_service::{ClientKind, Scheme, client_kind, parse_authorization},
};

use crate::{
    function::path_parameter,
    http::{Failure, header_text},
};

/// The pass a path names. What is no identifier names no pass, which is answered like a wrong token.
pub fn pass_identity(request: &Request) -> Result<PassIdentity, Failure> {
    let pass_type = path_parameter(request, "passTypeIdentifier").parse().map_err(|_| Failure::Unauthorised)?;
    let serial = path_parameter(request, "serialNumber").parse().map_err(|_| Failure::Unauthorised)?;
    Ok(PassIdentity { pass_type_identifier: pass_type, serial_number: serial })
}

/// The device a path names.
pub fn device(request: &Request) -> Result<DeviceLibraryIdentifier, Failure> {
    let device = path_parameter(request, "deviceLibraryIdentifier");
    device.parse().map_err(|error: passkit::identifiers::InvalidIdentifier| Failure::Malformed(error.to_string()))
}

/// The scheme and the secret that a phone presents.
pub fn authorization(request: &Request) -> Result<(Scheme, AuthenticationToken), Failure> {
    header_text(request, header::AUTHORIZATION).and_then(parse_authorization).ok_or(Failure::Unauthorised)
}

/// The kind of client that sends this.
pub fn kind(request: &Request, scheme: Scheme) -> ClientKind {
    client_kind(scheme, header_text(request, "x-pass-client"), header_text(request, header::USER_AGENT))
}
