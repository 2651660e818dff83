//! An issuer in this process: its keys, its tokens, and the server that publishes its keys.

use std::{
    collections::BTreeSet,
    sync::{
        Arc, LazyLock, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use adapters_jwks::{Algorithm, FetchSettings, IssuerSettings, Issuers, JwksVerifier};
use aws_lc_rs::{
    encoding::{AsDer, PublicKeyX509Der},
    rand::SystemRandom,
    rsa,
    signature::{
        ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair, KeyPair, RSA_PKCS1_SHA256,
        RsaEncoding, RsaKeyPair,
    },
};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD as BASE64};
use conformance::ManualClock;
use ports::{Clock, Denial, ErrorKind, ExternalToken, ExternalVerifier, denial};
use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    sync::Semaphore,
    task::JoinHandle,
};

pub(crate) const ISSUER: &str = "https://issuer.example";
pub(crate) const AUDIENCE: &str = "clarity-api";
pub(crate) const CLIENT: &str = "phone-app";

enum Pair {
    Rsa(Box<RsaKeyPair>),
    P256(EcdsaKeyPair),
    Ed25519(Ed25519KeyPair),
}

/// A key pair and the id that it is published under.
pub(crate) struct Signer {
    pub(crate) id: String,
    pub(crate) algorithm: Algorithm,
    pair: Pair,
}

impl Signer {
    pub(crate) fn generate(algorithm: Algorithm, id: &str) -> Self {
        let pair = match algorithm {
            Algorithm::Rs256 => Pair::Rsa(Box::new(RsaKeyPair::generate(rsa::KeySize::Rsa2048).unwrap())),
            Algorithm::Es256 => Pair::P256(EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).unwrap()),
            Algorithm::EdDsa => Pair::Ed25519(Ed25519KeyPair::generate().unwrap()),
        };
        Self { id: id.to_owned(), algorithm, pair }
    }

    pub(crate) fn jwk(&self) -> Value {
        let key = match &self.pair {
            Pair::Rsa(pair) => {
                let (modulus, exponent) = self.rsa_components(pair);
                json!({ "kty": "RSA", "n": BASE64.encode(modulus), "e": BASE64.encode(exponent) })
            }
            Pair::P256(pair) => {
                let point = pair.public_key().as_ref();
                json!({ "kty": "EC", "crv": "P-256", "x": BASE64.encode(&point[1..33]), "y": BASE64.encode(&point[33..]) })
            }
            Pair::Ed25519(pair) => {
                json!({ "kty": "OKP", "crv": "Ed25519", "x": BASE64.encode(pair.public_key().as_ref()) })
            }
        };
        merged(key, json!({ "kid": self.id, "alg": self.algorithm.as_str(), "use": "sig" }))
    }

    #[expect(clippy::unused_self, reason = "reads better at the call")]
    fn rsa_components(&self, pair: &RsaKeyPair) -> (Vec<u8>, Vec<u8>) {
        let public = pair.public_key();
        let modulus = public.modulus().big_endian_without_leading_zero().to_vec();
        (modulus, public.exponent().big_endian_without_leading_zero().to_vec())
    }

    /// What attackers take for a secret: the public key in each of its forms.
    pub(crate) fn public_forms(&self) -> Vec<Vec<u8>> {
        let (der, raw) = match &self.pair {
            Pair::Rsa(pair) => {
                let der: PublicKeyX509Der<'_> = pair.public_key().as_der().unwrap();
                (der.as_ref().to_vec(), self.rsa_components(pair).0)
            }
            Pair::P256(pair) => {
                let der: PublicKeyX509Der<'_> = pair.public_key().as_der().unwrap();
                (der.as_ref().to_vec(), pair.public_key().as_ref().to_vec())
            }
            Pair::Ed25519(pair) => {
                let der: PublicKeyX509Der<'_> = pair.public_key().as_der().unwrap();
                (der.as_ref().to_vec(), pair.public_key().as_ref().to_vec())
            }
        };
        let lines: Vec<String> = base64::engine::general_purpose::STANDARD
            .encode(&der)
            .as_bytes()
            .chunks(64)
            .map(|line| String::from_utf8(line.to_vec()).unwrap())
            .collect();
        let pem = format!("-----BEGIN PUBLIC KEY-----\n{}\n-----END PUBLIC KEY-----\n", lines.join("\n"));
        vec![
            pem.trim_end().as_bytes().to_vec(),
            pem.into_bytes(),
            der,
            self.jwk().to_string().into_bytes(),
            BASE64.encode(&raw).into_bytes(),
            raw,
        ]
    }

    pub(crate) fn signature(&self, message: &[u8]) -> Vec<u8> {
        match &self.pair {
            Pair::Rsa(_) => self.rsa_signature(&RSA_PKCS1_SHA256, message),
            Pair::P256(pair) => pair.sign(&SystemRandom::new(), message).unwrap().as_ref().to_vec(),
            Pair::Ed25519(pair) => pair.sign(message).as_ref().to_vec(),
        }
    }

    pub(crate) fn rsa_signature(&self, encoding: &'static dyn RsaEncoding, message: &[u8]) -> Vec<u8> {
        let Pair::Rsa(pair) = &self.pair else { panic!("not an RSA key") };
        let mut signature = vec![0; pair.public_modulus_len()];
        pair.sign(encoding, &SystemRandom::new(), message, &mut signature).unwrap();
        signature
    }

    /// The private half in PKCS#8, for other libraries.
    pub(crate) fn pkcs8(&self) -> Vec<u8> {
        use aws_lc_rs::encoding::Pkcs8V1Der;
        match &self.pair {
            Pair::Rsa(pair) => {
                AsDer::<aws_lc_rs::encoding::Pkcs8V1Der<'_>>::as_der(&**pair).unwrap().as_ref().to_vec()
            }
            Pair::P256(pair) => pair.to_pkcs8v1().unwrap().as_ref().to_vec(),
            Pair::Ed25519(pair) => {
                let der: Pkcs8V1Der<'_> = pair.as_der().unwrap();
                der.as_ref().to_vec()
            }
        }
    }

    pub(crate) fn header(&self) -> Value {
        json!({ "alg": self.algorithm.as_str(), "typ": "at+jwt", "kid": self.id })
    }

    pub(crate) fn sign(&self, header: &str, claims: &str) -> String {
        self.sign_parts(&BASE64.encode(header), &BASE64.encode(claims))
    }

    /// Signs parts that are encoded already, however.
    pub(crate) fn sign_parts(&self, header: &str, claims: &str) -> String {
        let message = format!("{header}.{claims}");
        let signature = BASE64.encode(self.signature(message.as_bytes()));
        format!("{message}.{signature}")
    }

    pub(crate) fn token(&self, claims: &Value) -> String {
        self.sign(&self.header().to_string(), &claims.to_string())
    }
}

/// One key of each kind, made once: the making of an RSA key takes longer than all the rest.
pub(crate) static SIGNERS: LazyLock<[Signer; 3]> = LazyLock::new(|| {
    [
        Signer::generate(Algorithm::Rs256, "rsa-1"),
        Signer::generate(Algorithm::Es256, "ec-1"),
        Signer::generate(Algorithm::EdDsa, "okp-1"),
    ]
});

pub(crate) fn merged(mut base: Value, members: Value) -> Value {
    let Value::Object(members) = members else { panic!("members are an object") };
    base.as_object_mut().unwrap().extend(members);
    base
}

/// The claims of a good access token.
pub(crate) fn claims(clock: &ManualClock) -> Value {
    let now = clock.now().as_second();
    json!({
        "iss": ISSUER,
        "sub": "3f2b8c1e-anna",
        "aud": AUDIENCE,
        "client_id": CLIENT,
        "token_use": "access",
        "scope": "openid profile",
        "jti": "9d0c7f1e-0001",
        "iat": now,
        "nbf": now,
        "exp": now + 3_600,
    })
}

/// What the server does with the requests that follow.
#[derive(Clone)]
pub(crate) enum Reply {
    /// These keys.
    Keys(Vec<Value>),
    /// The status line's number, further header lines and the body.
    Raw(u16, String, Vec<u8>),
    /// Takes the request and says nothing.
    Silence,
    /// A body without an end.
    Endless,
}

struct Shared {
    reply: Mutex<Reply>,
    asked: AtomicUsize,
    gate: Semaphore,
}

/// A server on loopback.
pub(crate) struct Endpoint {
    pub(crate) url: String,
    shared: Arc<Shared>,
    task: JoinHandle<()>,
}

const OPEN: u32 = 1 << 20;

impl Endpoint {
    pub(crate) async fn start(reply: Reply) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/jwks.json", listener.local_addr().unwrap());
        let shared = Arc::new(Shared {
            reply: Mutex::new(reply),
            asked: AtomicUsize::new(0),
            gate: Semaphore::new(OPEN as usize),
        });
        let serving = Arc::clone(&shared);
        let task = tokio::spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                tokio::spawn(serve(stream, Arc::clone(&serving)));
            }
        });
        Self { url, shared, task }
    }

    pub(crate) fn reply(&self, reply: Reply) {
        *self.shared.reply.lock().unwrap() = reply;
    }

    /// Publishes these signers' keys from now on.
    pub(crate) fn publish(&self, signers: &[&Signer]) {
        self.reply(Reply::Keys(signers.iter().map(|signer| signer.jwk()).collect()));
    }

    /// How often keys were asked for.
    pub(crate) fn asked(&self) -> usize {
        self.shared.asked.load(Ordering::SeqCst)
    }

    /// Holds every reply back until `open`.
    pub(crate) async fn close(&self) {
        self.shared.gate.acquire_many(OPEN).await.unwrap().forget();
    }

    pub(crate) fn open(&self) {
        self.shared.gate.add_permits(OPEN as usize);
    }

    /// Goes away: whoever connects is refused.
    pub(crate) async fn stop(&mut self) {
        self.task.abort();
        let _aborted = (&mut self.task).await;
    }

    /// Waits until keys were asked for so many times.
    pub(crate) async fn until_asked(&self, times: usize) {
        let wait = async {
            while self.asked() < times {
                tokio::task::yield_now().await;
            }
        };
        tokio::time::timeout(Duration::from_mins(1), wait).await.expect("keys are asked for");
    }
}

impl Drop for Endpoint {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn serve(mut stream: TcpStream, shared: Arc<Shared>) {
    let mut request = Vec::new();
    while !request.ends_with(b"\r\n\r\n") {
        if stream.read_buf(&mut request).await.unwrap_or(0) == 0 {
            return;
        }
    }
    shared.asked.fetch_add(1, Ordering::SeqCst);
    let _passed = shared.gate.acquire().await.unwrap();
    let reply = shared.reply.lock().unwrap().clone();
    let (status, headers, body) = match reply {
        Reply::Keys(keys) => (
            200,
            "cache-control: max-age=3600\r\n".to_owned(),
            json!({ "keys": keys }).to_string().into_bytes(),
        ),
        Reply::Raw(status, headers, body) => (status, headers, body),
        Reply::Silence => {
            // Until the other side has had enough.
            let _ended = stream.read(&mut [0; 1]).await;
            return;
        }
        Reply::Endless => {
            stream.write_all(b"HTTP/1.1 200 OK\r\nconnection: close\r\n\r\n").await.unwrap();
            while stream.write_all(&[b' '; 8_192]).await.is_ok() {}
            return;
        }
    };
    let length = body.len();
    let head =
        format!("HTTP/1.1 {status} X\r\ncontent-length: {length}\r\nconnection: close\r\n{headers}\r\n");
    // A client that has seen enough may be gone.
    let _sent = stream.write_all(&[head.into_bytes(), body].concat()).await;
    let _ended = stream.shutdown().await;
}

pub(crate) fn settings(jwks_url: &str) -> IssuerSettings {
    IssuerSettings {
        jwks_url: Some(jwks_url.to_owned()),
        audience: Some(AUDIENCE.to_owned()),
        client_ids: BTreeSet::from([CLIENT.to_owned(), "watch-app".to_owned()]),
        token_use: Some("access".to_owned()),
        fetch: FetchSettings {
            connect_timeout: Duration::from_secs(10),
            timeout: Duration::from_secs(20),
            interval: Duration::from_secs(30),
        },
        ..IssuerSettings::new("example", ISSUER)
    }
}

/// An issuer that publishes one key of each kind, and the verifier that knows it.
pub(crate) struct Home {
    pub(crate) endpoint: Endpoint,
    pub(crate) clock: Arc<ManualClock>,
    pub(crate) issuers: Arc<Issuers>,
}

impl Home {
    pub(crate) async fn new() -> Self {
        Self::with(|_| {}).await
    }

    pub(crate) async fn with(change: impl FnOnce(&mut IssuerSettings)) -> Self {
        let endpoint = Endpoint::start(Reply::Keys(SIGNERS.iter().map(Signer::jwk).collect())).await;
        let clock = Arc::new(ManualClock::default());
        let mut settings = settings(&endpoint.url);
        change(&mut settings);
        let verifier = JwksVerifier::new(settings, Arc::clone(&clock) as _).unwrap();
        Self { endpoint, clock, issuers: Arc::new(Issuers::new(vec![verifier]).unwrap()) }
    }

    pub(crate) fn claims(&self) -> Value {
        claims(&self.clock)
    }

    pub(crate) async fn verify(&self, token: &str) -> ports::Result<Option<Arc<ExternalToken>>> {
        self.issuers.verify(token).await
    }

    /// Whether a token is believed. A token that is not is never an error of ours.
    pub(crate) async fn believes(&self, token: &str) -> bool {
        match self.verify(token).await {
            Ok(found) => found.is_some(),
            Err(error) => {
                assert_eq!(error.kind(), ErrorKind::PermissionDenied, "{error:?}");
                assert_eq!(denial(&error), Some(Denial::InvalidToken));
                false
            }
        }
    }

    pub(crate) async fn said(&self, claims: &Value) -> Option<Arc<ExternalToken>> {
        self.verify(&SIGNERS[2].token(claims)).await.ok().flatten()
    }
}
