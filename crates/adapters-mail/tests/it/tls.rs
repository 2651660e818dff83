//! Certificates of an authority of our own.

use std::{path::PathBuf, sync::Arc};

use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use tempfile::TempDir;
use tokio_rustls::{
    TlsAcceptor,
    rustls::{
        ServerConfig,
        pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer},
    },
};

/// An authority, and a server's certificate by it.
pub(crate) struct Authority {
    pub(crate) acceptor: TlsAcceptor,
    /// The authority's certificate.
    pub(crate) pem: PathBuf,
    _folder: TempDir,
}

impl Authority {
    /// Vouches for `name`.
    pub(crate) fn of(name: &str) -> Self {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let certificate = params.self_signed(&key).unwrap();
        let issuer = Issuer::new(params, key);
        let server_key = KeyPair::generate().unwrap();
        let server =
            CertificateParams::new(vec![name.to_owned()]).unwrap().signed_by(&server_key, &issuer).unwrap();
        let config = ServerConfig::builder().with_no_client_auth().with_single_cert(
            vec![server.der().clone()],
            PrivateKeyDer::from(PrivatePkcs8KeyDer::from(server_key.serialize_der())),
        );
        let folder = tempfile::tempdir().unwrap();
        let pem = folder.path().join("authority.pem");
        std::fs::write(&pem, certificate.pem()).unwrap();
        Self { acceptor: TlsAcceptor::from(Arc::new(config.unwrap())), pem, _folder: folder }
    }
}
