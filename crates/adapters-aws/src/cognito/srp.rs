//! SRP-6a, the client's side, as Cognito does it (`USER_SRP_AUTH`): RFC 5054's group of 3072 bits with 2, SHA-256, numbers as
//! two's complement where they are hashed, and HKDF for the key. Held to the vectors of AWS's own client for JavaScript.
//!
//! Powers with a secret exponent take the same time for each of them.

use aws_lc_rs::{
    digest::{SHA256, digest},
    hmac,
};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use crypto_bigint::{
    U3072, const_monty_params,
    modular::{ConstMontyForm, ConstMontyParams as _},
};
use jiff::Timestamp;
use secrecy::{ExposeSecret as _, SecretString, zeroize::Zeroizing};

const_monty_params!(
    Group,
    U3072,
    "ffffffffffffffffc90fdaa22168c234c4c6628b80dc1cd129024e088a67cc74020bbea63b139b22514a08798e3404dd\
     ef9519b3cd3a431b302b0a6df25f14374fe1356d6d51c245e485b576625e7ec6f44c42e9a637ed6b0bff5cb6f406b7ed\
     ee386bfb5a899fa5ae9f24117c4b1fe649286651ece45b3dc2007cb8a163bf0598da48361c55d39a69163fa8fd24cf5f\
     83655d23dca3ad961c62f356208552bb9ed529077096966d670c354e4abc9804f1746c08ca18217c32905e462e36ce3b\
     e39e772c180e86039b2783a2ec07a28fb5c55df06f4c52c9de2bcbf6955817183995497cea956ae515d2261898fa0510\
     15728e5a8aaac42dad33170d04507a33a85521abdf1cba64ecfb850458dbef0a8aea71575d060c7db3970f85a6e1e4c7\
     abf5ae8cdb0933d71e8c94e04a25619dcee3d2261ad2ee6bf12ffa06d98a0864d87602733ec86a64521f2b18177b200c\
     bbe117577a615d6c770988c0bad946e208e24fa074e5ab3143db5bfce0fd108e4b82d120a93ad2caffffffffffffffff",
    "The group's modulus."
);

type Element = ConstMontyForm<Group, { U3072::LIMBS }>;

const INFO: &[u8] = b"Caldera Derived Key\x01";
const KEY: usize = 16;
/// Of the secret exponent, and of `u` times `x`.
const SECRET_BITS: u32 = 256;
const EXPONENT_BITS: u32 = 2 * SECRET_BITS + 1;

/// What the pool asks for a proof with.
pub(super) struct Asked<'a> {
    pub(super) user_id: &'a str,
    pub(super) salt_hex: &'a str,
    pub(super) public_hex: &'a str,
    pub(super) secret_block: &'a str,
}

/// That someone knows the password.
pub(super) struct Proof {
    pub(super) signature: String,
    pub(super) timestamp: String,
}

pub(super) struct Client {
    secret: U3072,
    public: U3072,
}

impl Client {
    pub(super) fn new(secret: &[u8; 32]) -> Self {
        let secret = number(secret);
        let public = generator().pow_bounded_exp(&secret, SECRET_BITS).retrieve();
        Self { secret, public }
    }

    pub(super) fn public_hex(&self) -> String {
        let text = hex::encode(self.public.to_be_bytes());
        text.trim_start_matches('0').to_owned()
    }

    /// `None` where what was asked is no question.
    pub(super) fn prove(
        &self,
        pool_id: &str,
        asked: &Asked<'_>,
        password: &SecretString,
        now: Timestamp,
    ) -> Option<Proof> {
        let pool = pool_id.split_once('_').map_or(pool_id, |(_, name)| name);
        let block = STANDARD.decode(asked.secret_block).ok()?;
        let key = self.key(pool, asked, password)?;
        let timestamp = now.strftime("%a %b %-d %H:%M:%S UTC %Y").to_string();
        let mut context = hmac::Context::with_key(&hmac::Key::new(hmac::HMAC_SHA256, &key));
        for part in [pool.as_bytes(), asked.user_id.as_bytes(), &block, timestamp.as_bytes()] {
            context.update(part);
        }
        Some(Proof { signature: STANDARD.encode(context.sign()), timestamp })
    }

    /// The key that both sides come to.
    fn key(&self, pool: &str, asked: &Asked<'_>, password: &SecretString) -> Option<Zeroizing<Vec<u8>>> {
        let theirs = parse(asked.public_hex)?;
        let theirs_reduced = Element::new(&theirs);
        if theirs_reduced == Element::ZERO {
            return None;
        }
        let hash = |text: &[u8]| digest(&SHA256, text);
        let multiplier = hash(&[padded(&modulus()), padded(&generator().retrieve())].concat());
        let scrambler = hash(&[padded(&self.public), padded(&theirs)].concat());
        let identity = Zeroizing::new([pool, asked.user_id, ":", password.expose_secret()].concat());
        let salted =
            [padded(&parse(asked.salt_hex)?).as_slice(), hash(identity.as_bytes()).as_ref()].concat();
        let private = number(hash(&salted).as_ref());
        let (multiplier, scrambler) = (number(multiplier.as_ref()), number(scrambler.as_ref()));
        if scrambler == U3072::ZERO {
            return None;
        }
        let verifier = generator().pow_bounded_exp(&private, SECRET_BITS);
        let base = theirs_reduced - Element::new(&multiplier) * verifier;
        let exponent = self.secret.wrapping_add(&scrambler.wrapping_mul(&private));
        let shared = base.pow_bounded_exp(&exponent, EXPONENT_BITS).retrieve();

        let extract = hmac::Key::new(hmac::HMAC_SHA256, &padded(&scrambler));
        let pseudo_random = hmac::sign(&extract, &Zeroizing::new(padded(&shared)));
        let expand = hmac::Key::new(hmac::HMAC_SHA256, pseudo_random.as_ref());
        Some(Zeroizing::new(hmac::sign(&expand, INFO).as_ref()[..KEY].to_vec()))
    }
}

fn modulus() -> U3072 {
    *Group::PARAMS.modulus().as_ref()
}

fn generator() -> Element {
    Element::new(&U3072::from_u8(2))
}

/// Big-endian bytes, at most as many as the group has.
fn number(bytes: &[u8]) -> U3072 {
    let mut all = [0; U3072::BYTES];
    all[U3072::BYTES - bytes.len()..].copy_from_slice(bytes);
    U3072::from_be_slice(&all)
}

fn parse(text: &str) -> Option<U3072> {
    let even = if text.len().is_multiple_of(2) { text.to_owned() } else { format!("0{text}") };
    let bytes = hex::decode(even).ok()?;
    (!bytes.is_empty() && bytes.len() <= U3072::BYTES).then(|| number(&bytes))
}

/// As a number is hashed: as short as it can be without looking negative.
fn padded(number: &U3072) -> Vec<u8> {
    let bytes = number.to_be_bytes();
    let start = bytes.as_ref().iter().position(|byte| *byte != 0).unwrap_or(U3072::BYTES - 1);
    let digits = &bytes.as_ref()[start..];
    if digits[0] >= 0x80 { [&[0], digits].concat() } else { digits.to_vec() }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Vector {
        secret: &'static str,
        public: &'static str,
        asked: Asked<'static>,
        signature: &'static str,
    }

    const POOL: &str = "eu-central-1_AbCdEfGhI";
    const USER: &str = "3f0d4c1e-0d53-4d39-9b0c-3f6e5b5a2c11";
    const PASSWORD: &str = "Correct horse battery 9!";

    /// Made with amazon-cognito-identity-js 6, whose `AuthenticationHelper` was given these secrets.
    const VECTORS: [Vector; 2] = [
        Vector {
            secret: "60975527035cf2ad1989806f0407210bc81edc04e2762a56afd529ddda2d4393",
            public: "fa24c7df648f8144bb7f2b7ae8a37796154b8b72de4177efeadc5d984901635a96c118533b5032493d141511cdfc990e\
                     b9886fb6b4f50609f3cbc614baddc7d8b77de896c588e902d31c1b27d07b2afbd8964aae3f61285d99d02ce24a215f21\
                     817dd2ed93d10ee42c1686ab4b4c6aaf893269ebedebfd52bf5bb7afc0c3b2567bf4185b10d73ede66aa7beafbc82974\
                     6e3934b3c40ffed6e27e0a5423a10812e90a22ddc4a0f28fc63961a6e2542665cc823fadc333d6cec1279e5a4f8be362\
                     4f745381070545ee936c6a2a1bb7b002ebe9b09e2b2a604b10d0d807e2bf7e3121c742aac3311adfc9bdb19353f76a63\
                     2636917cf7d3d3e1de95e5cfee2b30c786f4fc78050ab4012dc3a8510bff950558c70ee9f7ac4f4e4f19d794346aa429\
                     9fbf0a539dc8c66dd94c76fbb0cdc9a0747017b149cfc53d1053b1b0fec724993253c96463308d3c58ce417f1d79dbc4\
                     7c12780e1aa56fbd6f407d36ec4961e3b656c68298a611d59938cf8e9a1b421cef804139bae9c2cc182ed0d1d660c743",
            asked: Asked {
                user_id: USER,
                salt_hex: "b3a9c1d4e5f60718293a4b5c6d7e8f90",
                public_hex: "770719edfb0413535976d0fde79605ae8d4eaabfa21215554a672a3fa8dc1d632bb2eef00f6868d0cd28ecd0d8569986\
                             1866d1aa393e23f16e368e05e2bc87aa9f731598d252785d53b1a230d47d1fff63c3da5e2b2f7c8ec8e2b0512c67cf06\
                             e89481dd80f13bd0c4b20654444120512045b172776107fe8e4ab4929d425ed85fdfb5e27278a95a32fa729613012d19\
                             c61fcdf1b25eb1c6980ce9d5eb84092218c6fae746f97767d086b65d7758a320e3bf8ffe7479b4fff1ce77750033fd15\
                             e96b5c13aaf54d1ec1c688efdf0d08542c0c4212e8753b748db412de53e24fac8cb695def79bb754d3840887ccdbdae5\
                             93d8085d7097dfee3fd9f55542f4c0585be47275442091afae6574dae3638222dd472e68b5b715420c08172ede1f7db0\
                             42a49fd7b0ebd0619bc3a6e7602b9ab8ccd9e41b9c56bd6d6dae0d96f732d72e7408181522a2fe925008756676d84abf\
                             1111e9a1782bbe87a09166f0f775540212227a2cc6bf7d4cad4b6b639e0d0e0e715a644d42bef0f050f37a2fd986609c",
                secret_block: "c2VjcmV0IGJsb2NrIG9mIDDDvw==",
            },
            signature: "RrqhA6AZPOvN+OIVV9p17g/DLRDG7ucTc8siavQRThM=",
        },
        Vector {
            secret: "00000000000000000000000000000000000000000000000000000000000000f7",
            public: "80000000000000000000000000000000000000000000000000000000000000",
            asked: Asked {
                user_id: USER,
                salt_hex: "0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a",
                public_hex: "7c73d93ffa820d401d7bcd7625e8d37270239fc052d8ef4b307ac20e19f703683ee7d66152d27a4e6b2a0c7f822c7e8b\
                             6cb552ea5d99b49c83514711d06a64814a9159d32c5794f8e197ebea6f757868622d3f53acf9040e07e67459f9d7848d\
                             af36ae96828c8f07a148a0562952b1725fb4d5842ea011e09e2400eb2312fc2bd86a1d2b43e7d868d5271591438d03a4\
                             a29d04ec256ecb2512c245fb72a50514372761e008c55b202a5be7cfecda4378497ad8694acaeddbb8689754b875e357\
                             b5c6b0d6ebdbb2d078a0cb0de2793f91aed29079c89ce2de3fe46269745375446d92c997abd604a1cc576cde41a5d5e4\
                             948797a8f85c9dee0fa8b8e54104ebad2a10a14eff31ff4f36cca4ae0f5ba7b3e773ad3f5c1d2969b39af8cf053e68e7\
                             7df08190d0a67c5fbf573b2feb6ee05e32e5de70e17a96a2954798fa96f5e57ee42fad6ed0fa73cc7fe7e80964349cab\
                             60e36301fce732978fb8c1778771f27d546304dcc6f1e09037e2525c4c5cd4783327c17fb21d8c74105baa511ccd746c",
                secret_block: "c2VjcmV0IGJsb2NrIG9mIDHDvw==",
            },
            signature: "m1ZqOxHC/EZz6k6W/IroPwOhtA1EjBf1zpk7GHFEaDE=",
        },
    ];

    fn client(vector: &Vector) -> Client {
        Client::new(&hex::decode(vector.secret).unwrap().try_into().unwrap())
    }

    #[test]
    fn proofs_are_those_of_the_vendors_client() {
        let now = "2026-11-21T14:29:00Z".parse().unwrap();
        for vector in &VECTORS {
            let client = client(vector);
            assert_eq!(client.public_hex(), vector.public);
            let proof = client.prove(POOL, &vector.asked, &PASSWORD.into(), now).unwrap();
            assert_eq!(proof.timestamp, "Sat Nov 21 14:29:00 UTC 2026");
            assert_eq!(proof.signature, vector.signature);
            let wrong = client.prove(POOL, &vector.asked, &"another password".into(), now).unwrap();
            assert_ne!(wrong.signature, vector.signature);
        }
    }

    #[test]
    fn a_question_that_would_give_the_key_away_is_not_answered() {
        let modulus = hex::encode(modulus().to_be_bytes());
        for public_hex in ["0", "00", modulus.as_str(), "", "xyz", &"f".repeat(770)] {
            let asked = Asked { user_id: USER, salt_hex: "0a", public_hex, secret_block: "" };
            let now = Timestamp::UNIX_EPOCH;
            assert!(client(&VECTORS[0]).prove(POOL, &asked, &PASSWORD.into(), now).is_none(), "{public_hex}");
        }
    }

    #[test]
    fn the_day_of_the_month_has_no_leading_zero() {
        let now = "2026-03-05T04:05:06Z".parse().unwrap();
        let proof = client(&VECTORS[0]).prove(POOL, &VECTORS[0].asked, &PASSWORD.into(), now).unwrap();
        assert_eq!(proof.timestamp, "Thu Mar 5 04:05:06 UTC 2026");
    }
}
