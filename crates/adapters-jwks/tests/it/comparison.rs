//! Ten thousand changed tokens of a Cognito pool, judged here and by AWS's own verifier (`aws-jwt-verify`): what is believed here
//! is believed there, and where this verifier is stricter, the reason is listed.

use std::{collections::BTreeMap, fs, process::Command, sync::Arc, time::Duration};

use adapters_jwks::{Algorithm, IssuerSettings};
use aws_lc_rs::{
    hmac,
    signature::{RSA_PKCS1_SHA384, RSA_PSS_SHA256},
};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD as BASE64};
use conformance::ManualClock;
use ports::Clock;
use serde_json::{Map, Value, json};

use crate::fixture::{CLIENT, Home, SIGNERS, Signer};

const TOKENS: usize = 10_000;
const POOL: &str = "eu-central-1_AbCdEfGhI";
const ISSUER: &str = "https://cognito-idp.eu-central-1.amazonaws.com/eu-central-1_AbCdEfGhI";

/// A change for which this verifier refuses what AWS's believes, but for some of the things it can be, and why.
type Stricter = (&'static str, &'static [&'static str], &'static str);

/// Nothing that is not here may be judged in another way.
const STRICTER: [Stricter; 22] = [
    ("padding", &[], "one way to write each token"),
    ("the last bits", &[], "one way to write each token"),
    ("claim comes twice", &[], "parsers differ in which of two members they believe"),
    ("header comes twice", &[], "parsers differ in which of two members they believe"),
    ("header nobody knows", &[], "a header asks for nothing unusual"),
    ("header b64 is ", &[], "a header asks for nothing unusual"),
    ("header crit is ", &[], "a header asks for nothing unusual"),
    ("header cty is ", &[], "a header asks for nothing unusual"),
    ("header zip is ", &[], "a header asks for nothing unusual"),
    ("header jku is ", &[], "a header brings no key and names no place for one"),
    ("header jwk is ", &[], "a header brings no key and names no place for one"),
    ("header x5c is ", &[], "a header brings no key and names no place for one"),
    ("header x5u is ", &[], "a header brings no key and names no place for one"),
    ("header x5t is ", &["no text", "another text", "a long text"], "a thumbprint is a text"),
    ("header typ is ", &["missing", "a usual type"], "the type is that of a token, where there is one"),
    (
        "claim aud is ",
        &["missing"],
        "a pool's access tokens have no audience: one that has is for someone else",
    ),
    ("claim iss is the pool's other issuer", &[], "one issuer has one name"),
    ("claim sub is ", &["another text"], "a subject has 1 to 255 characters"),
    ("claim jti is ", &["missing", "another text"], "ids are texts of 1 to 512 characters"),
    ("claim origin_jti is ", &["missing", "another text"], "ids are texts of 1 to 512 characters"),
    (
        "claim cognito:groups is ",
        &["missing", "a list", "a text", "no text", "another text", "a long text", "other groups"],
        "groups are texts",
    ),
    ("claim exp is ", &["in an hour"], TIMES),
];
/// The same for the times that lie behind.
const BEHIND: [&str; 3] = ["claim iat is ", "claim auth_time is ", "claim nbf is "];
const TIMES: &str = "times are whole seconds, none is still to come, and a token lives for a day at most";

fn reason(change: &str) -> Option<&'static str> {
    let stricter = STRICTER.iter().find_map(|(prefix, but, reason)| {
        change.strip_prefix(prefix).filter(|what| !but.contains(what)).map(|_| *reason)
    });
    stricter.or_else(|| {
        let what = BEHIND.iter().find_map(|prefix| change.strip_prefix(prefix))?;
        let is_behind = ["missing", "now", "a second ago"].contains(&what);
        let is_long_ago = ["zero", "a negative number"].contains(&what) && !change.starts_with(BEHIND[0]);
        (!is_behind && !is_long_ago).then_some(TIMES)
    })
}

/// Numbers that look random and are the same in every run.
struct Dice(u64);

impl Dice {
    fn below(&mut self, end: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from((self.0 >> 11) % end as u64).unwrap()
    }

    fn pick<'a, T>(&mut self, all: &'a [T]) -> &'a T {
        &all[self.below(all.len())]
    }
}

/// A token before it is written down.
struct Draft {
    header: Map<String, Value>,
    claims: Map<String, Value>,
    /// Members that are written a second time, in front.
    twice: Vec<(bool, String, Value)>,
    /// What was changed.
    changes: Vec<String>,
}

fn good(clock: &ManualClock) -> Draft {
    let now = clock.now().as_second();
    let header = json!({ "kid": SIGNERS[0].id, "alg": "RS256" });
    let claims = json!({
        "sub": "3f0d4c1e-0d53-4d39-9b0c-3f6e5b5a2c11",
        "cognito:groups": ["clinicians"],
        "iss": ISSUER,
        "version": 2,
        "client_id": CLIENT,
        "origin_jti": "7c4a2f58-6a52-4f0c-8a11-0d1b8d4e5f60",
        "event_id": "0b8d0a3e-7d3c-4b0f-9d2e-5a6b7c8d9e0f",
        "token_use": "access",
        "scope": "aws.cognito.signin.user.admin",
        "auth_time": now - 60,
        "exp": now + 3_600,
        "iat": now - 60,
        "jti": "a1b2c3d4-0000-4000-8000-0123456789ab",
        "username": "3f0d4c1e-0d53-4d39-9b0c-3f6e5b5a2c11",
    });
    let object = |value: Value| value.as_object().unwrap().clone();
    Draft { header: object(header), claims: object(claims), twice: Vec::new(), changes: Vec::new() }
}

const CLAIMS: [&str; 14] = [
    "sub",
    "cognito:groups",
    "iss",
    "client_id",
    "origin_jti",
    "token_use",
    "scope",
    "auth_time",
    "exp",
    "iat",
    "nbf",
    "jti",
    "aud",
    "username",
];
const HEADERS: [&str; 12] =
    ["alg", "kid", "typ", "crit", "jku", "jwk", "x5c", "x5t", "x5u", "b64", "cty", "zip"];

/// What a member may be changed to, each with its name.
fn values(name: &str, now: i64) -> Vec<(&'static str, Value)> {
    let mut all = vec![
        ("null", Value::Null),
        ("true", json!(true)),
        ("a list", json!([])),
        ("a list of numbers", json!([1])),
        ("an object", json!({})),
        ("no text", json!("")),
        ("another text", json!("other")),
        ("a long text", json!("x".repeat(600))),
        ("zero", json!(0)),
        ("a negative number", json!(-1)),
        ("a huge number", json!(1e308)),
        ("a huge whole number", json!(u64::MAX)),
    ];
    all.extend(match name {
        "exp" | "iat" | "nbf" | "auth_time" => vec![
            ("now", json!(now)),
            ("a second ago", json!(now - 1)),
            ("in a second", json!(now + 1)),
            ("in an hour", json!(now + 3_600)),
            ("a fraction", json!(now as f64 - 0.5)),
            ("a later fraction", json!(now as f64 + 1_800.5)),
            ("in two days", json!(now + 172_800)),
            ("a date as text", json!((now + 60).to_string())),
        ],
        "alg" => ["none", "None", "HS256", "RS384", "RS512", "PS256", "ES256", "EdDSA", "rs256"]
            .map(|name| ("another algorithm", json!(name)))
            .to_vec(),
        "kid" => vec![
            ("another key", json!(SIGNERS[1].id)),
            ("an unknown key", json!("unknown")),
            ("a path", json!("../../rsa-1")),
        ],
        "typ" => {
            ["JWT", "jwt", "at+jwt", "application/at+jwt"].map(|name| ("a usual type", json!(name))).to_vec()
        }
        "iss" => vec![
            ("the issuer and a slash", json!(format!("{ISSUER}/"))),
            ("the issuer in capitals", json!(ISSUER.to_uppercase())),
            ("the pool's other issuer", json!(ISSUER.replace("//cognito-idp", "//issuer-cognito-idp"))),
            ("another pool", json!(ISSUER.replace("AbC", "AbD"))),
            ("a list of the issuer", json!([ISSUER])),
        ],
        "client_id" => {
            vec![("a list of the client", json!([CLIENT])), ("a client's beginning", json!(&CLIENT[1..]))]
        }
        "token_use" => vec![("an id token", json!("id")), ("a list of the use", json!(["access"]))],
        "aud" => vec![("the client", json!(CLIENT)), ("a list of the client", json!([CLIENT]))],
        "cognito:groups" => vec![
            ("other groups", json!(["operators", "others"])),
            ("a text", json!("clinicians")),
            ("a mixed list", json!(["clinicians", 1])),
        ],
        _ => Vec::new(),
    });
    all
}

/// One change of a member of the header or of the claims.
fn change(draft: &mut Draft, in_header: bool, dice: &mut Dice, now: i64) {
    let name = if in_header { *dice.pick(&HEADERS) } else { *dice.pick(&CLAIMS) };
    let (part, members) =
        if in_header { ("header", &mut draft.header) } else { ("claim", &mut draft.claims) };
    match dice.below(8) {
        0 => {
            if members.remove(name).is_some() {
                draft.changes.push(format!("{part} {name} is missing"));
            }
        }
        1 if members.contains_key(name) => {
            let (_, other) = dice.pick(&values(name, now)).clone();
            draft.twice.push((in_header, name.to_owned(), other));
            draft.changes.push(format!("{part} comes twice"));
        }
        2 => {
            members.insert("unheard-of".to_owned(), json!({ "of": [1, "two"] }));
            draft.changes.push(format!("{part} nobody knows"));
        }
        _ => {
            let (what, value) = dice.pick(&values(name, now)).clone();
            members.insert(name.to_owned(), value);
            draft.changes.push(format!("{part} {name} is {what}"));
        }
    }
}

/// How the token is signed.
fn sign(draft: &mut Draft, dice: &mut Dice, other: &Signer) -> String {
    let text = |in_header: bool, members: &Map<String, Value>| {
        let twice = draft.twice.iter().filter(|(of_header, ..)| *of_header == in_header);
        let twice: Vec<_> = twice.map(|(_, name, value)| format!("{}:{value},", json!(name))).collect();
        let rest = Value::Object(members.clone()).to_string();
        BASE64.encode(format!("{{{}{}", twice.concat(), &rest[1..]))
    };
    let message = format!("{}.{}", text(true, &draft.header), text(false, &draft.claims));
    let bytes = message.as_bytes();
    let signer = &SIGNERS[0];
    let (what, signature) = match dice.below(16) {
        0 => ("with another key", other.signature(bytes)),
        1 => ("by PSS", signer.rsa_signature(&RSA_PSS_SHA256, bytes)),
        2 => ("by SHA-384", signer.rsa_signature(&RSA_PKCS1_SHA384, bytes)),
        3 => {
            let secret = dice.pick(&signer.public_forms()).clone();
            let tag = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, &secret), bytes);
            ("with the public key as a secret", tag.as_ref().to_vec())
        }
        4 => ("by zeros", vec![0; 256]),
        5 => ("by nothing", Vec::new()),
        _ => ("", signer.signature(bytes)),
    };
    if !what.is_empty() {
        draft.changes.push(format!("signed {what}"));
    }
    format!("{message}.{}", BASE64.encode(signature))
}

/// One change of the text of a token.
fn bend(token: &mut String, changes: &mut Vec<String>, dice: &mut Dice) {
    let mut characters: Vec<char> = token.chars().collect();
    let place = dice.below(characters.len());
    let what = match dice.below(10) {
        0 => {
            characters.remove(place);
            "a character less"
        }
        1 => {
            characters.insert(place, *dice.pick(&['A', '_', '.', '=', '+', '/', ' ', '\n', '\0', 'é']));
            "a character more"
        }
        2 => {
            let last = characters.len() - 1;
            let alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
            let value = alphabet.find(characters[last]).unwrap_or(0);
            characters[last] = alphabet.chars().nth(value ^ (1 << dice.below(2))).unwrap();
            "the last bits"
        }
        3 => {
            characters.extend(['='; 2].iter().take(1 + dice.below(2)));
            "padding"
        }
        4 => {
            let mut parts: Vec<&str> = token.split('.').collect();
            let last = parts.len() - 1;
            parts.swap(dice.below(last + 1), last / 2);
            characters = parts.join(".").chars().collect();
            "parts in another order"
        }
        5 => {
            let mut parts: Vec<&str> = token.split('.').collect();
            parts.remove(dice.below(parts.len()));
            characters = parts.join(".").chars().collect();
            "a part less"
        }
        6 => {
            let part = token.split('.').next().unwrap_or_default();
            characters = format!("{token}.{part}").chars().collect();
            "a part more"
        }
        7 => {
            characters.truncate(place);
            "cut off"
        }
        _ => {
            characters[place] = *dice.pick(&['A', 'z', '0', '-', '_']);
            if place + 1 == characters.len() { "the last bits" } else { "another character" }
        }
    };
    let bent: String = characters.into_iter().collect();
    if bent != *token {
        changes.push(what.to_owned());
        *token = bent;
    }
}

/// The tokens, each with what was changed of it.
fn tokens(clock: &ManualClock) -> Vec<(String, Vec<String>)> {
    let mut dice = Dice(0x9E37_79B9_7F4A_7C15);
    let other = Signer::generate(Algorithm::Rs256, &SIGNERS[0].id);
    let now = clock.now().as_second();
    let token = |index: usize| {
        let mut draft = good(clock);
        let (members, bends) = match index % 10 {
            0..6 => (1, 0),
            6 => (2, 0),
            7 => (0, 1),
            8 => (0, 2),
            _ => (1, 1),
        };
        for _ in 0..members {
            let in_header = dice.below(3) == 0;
            change(&mut draft, in_header, &mut dice, now);
        }
        let mut token = sign(&mut draft, &mut dice, &other);
        for _ in 0..bends {
            bend(&mut token, &mut draft.changes, &mut dice);
        }
        (token, draft.changes)
    };
    (0..TOKENS).map(token).collect()
}

/// What AWS's verifier says of each.
fn their_verdicts(clock: &ManualClock, tokens: &[(String, Vec<String>)]) -> Vec<bool> {
    let folder = tempfile::tempdir().unwrap();
    let (input, output) = (folder.path().join("case.json"), folder.path().join("verdicts"));
    let texts: Vec<&str> = tokens.iter().map(|(token, _)| token.as_str()).collect();
    let keys: Vec<Value> = SIGNERS.iter().map(Signer::jwk).collect();
    let case = json!({
        "pool": POOL, "client": CLIENT, "now_ms": clock.now().as_millisecond(),
        "jwks": { "keys": keys }, "tokens": texts,
    });
    fs::write(&input, case.to_string()).unwrap();
    let modules = harness::tools().join("emulators/node/node_modules");
    let judge = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/it/judge.cjs");
    let status = Command::new("node").arg(judge).arg(modules).arg(&input).arg(&output).status();
    assert!(status.unwrap().success(), "`make emulators` installs what judges");
    fs::read_to_string(output).unwrap().chars().map(|verdict| verdict == '1').collect()
}

fn cognito(settings: &mut IssuerSettings) {
    settings.issuer = ISSUER.to_owned();
    settings.audience = None;
    settings.client_ids = [CLIENT.to_owned()].into();
    settings.token_use = Some("access".to_owned());
    settings.algorithms = [Algorithm::Rs256].into();
    settings.roles_claim = Some("cognito:groups".to_owned());
    settings.leeway = Duration::ZERO;
}

#[tokio::test]
async fn whatever_is_believed_here_is_believed_by_the_vendors_verifier() {
    let home = Home::with(cognito).await;
    let clock = Arc::clone(&home.clock);
    let tokens = tokens(&clock);
    let theirs = their_verdicts(&clock, &tokens);
    assert_eq!(theirs.len(), TOKENS);
    let (mut both, mut neither, mut stricter) = (0, 0, BTreeMap::<&str, usize>::new());
    let (mut unexplained, mut alone) =
        (BTreeMap::<&[String], usize>::new(), BTreeMap::<&[String], usize>::new());
    for ((token, changes), theirs) in tokens.iter().zip(theirs) {
        match (home.believes(token).await, theirs) {
            (true, true) => both += 1,
            (false, false) => neither += 1,
            (true, false) => *alone.entry(changes).or_default() += 1,
            (false, true) => match changes.iter().find_map(|change| reason(change)) {
                Some(reason) => *stricter.entry(reason).or_default() += 1,
                None => *unexplained.entry(changes).or_default() += 1,
            },
        }
    }
    println!("believed by both {both}, by neither {neither}, stricter here {stricter:#?}");
    assert!(alone.is_empty(), "believed here alone: {alone:#?}");
    assert!(unexplained.is_empty(), "refused here alone: {unexplained:#?}");
    assert!(both > TOKENS / 10 && neither > TOKENS / 4, "{both} and {neither} show little");
}
