//! What no emulator does when it is asked to: throttling, silence, and exceptions whose messages say too much.

use std::{
    collections::VecDeque,
    error::Error as _,
    sync::{Arc, Mutex},
};

use adapters_aws::SignInFlow;
use ports::{
    ChallengeKind, Denial, Email, ErrorKind, Identity, NewUser, Outcome, SignIn, SignInContext, denial,
};
use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
};

use super::fixture::Pool;

const PASSWORD: &str = "correct horse battery";
const ADDRESS: &str = "anna@example.org";

/// A status and a body.
type Reply = (u16, Value);

/// Answers what it was told to, in order, and then nothing any more; remembers what it was asked.
struct Script {
    url: String,
    asked: Arc<Mutex<Vec<(String, Value)>>>,
}

impl Script {
    async fn start(replies: impl IntoIterator<Item = Reply>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let asked = Arc::new(Mutex::new(Vec::new()));
        let seen = Arc::clone(&asked);
        let mut replies: VecDeque<Reply> = replies.into_iter().collect();
        tokio::spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                let reply = replies.pop_front();
                tokio::spawn(serve(stream, reply, Arc::clone(&seen)));
            }
        });
        Self { url, asked }
    }

    async fn identity(&self) -> Identity {
        Pool::scripted(&self.url).open().await
    }

    async fn identity_by(&self, flow: SignInFlow) -> Identity {
        let mut pool = Pool::scripted(&self.url);
        pool.settings.sign_in_flow = flow;
        pool.open().await
    }

    fn asked(&self) -> Vec<(String, Value)> {
        self.asked.lock().unwrap().clone()
    }
}

async fn serve(mut stream: TcpStream, reply: Option<Reply>, asked: Arc<Mutex<Vec<(String, Value)>>>) {
    let mut request = Vec::new();
    let (head, length) = loop {
        if stream.read_buf(&mut request).await.unwrap_or(0) == 0 {
            return;
        }
        let Some(end) = request.windows(4).position(|window| window == b"\r\n\r\n") else { continue };
        let head = String::from_utf8(request[..end].to_vec()).unwrap();
        let header = |name: &str| {
            let line = head.lines().find(|line| line.to_lowercase().starts_with(name))?;
            Some(line.split_once(':')?.1.trim().to_owned())
        };
        let length: usize = header("content-length").map_or(0, |length| length.parse().unwrap());
        if request.len() >= end + 4 + length {
            break (header("x-amz-target").unwrap_or_default(), end + 4);
        }
    };
    let body = serde_json::from_slice(&request[length..]).unwrap_or_default();
    asked.lock().unwrap().push((head.rsplit('.').next().unwrap().to_owned(), body));
    let Some((status, body)) = reply else {
        // Until the other side has had enough.
        let _ended = stream.read(&mut [0; 1]).await;
        return;
    };
    let body = body.to_string();
    let head = format!(
        "HTTP/1.1 {status} X\r\ncontent-type: application/x-amz-json-1.1\r\ncontent-length: {}\r\nconnection: close\r\n\r\n",
        body.len()
    );
    let _sent = stream.write_all(&[head, body].concat().into_bytes()).await;
    let _ended = stream.shutdown().await;
}

fn exception(name: &str) -> Reply {
    // Cognito's messages quote what was sent.
    let message = format!("{name} of {ADDRESS} with {PASSWORD}");
    (400, json!({ "__type": name, "message": message }))
}

fn email() -> Email {
    Email::parse(ADDRESS).unwrap()
}

async fn sign_in(identity: &Identity) -> ports::Result<SignIn> {
    identity.accounts.sign_in(&email(), &PASSWORD.into(), &SignInContext::default()).await
}

#[tokio::test]
async fn a_throttled_call_is_tried_again_and_in_the_end_is_rate_limited() {
    for name in ["TooManyRequestsException", "LimitExceededException"] {
        let script =
            Script::start([exception(name), exception(name), exception("NotAuthorizedException")]).await;
        let refused = sign_in(&script.identity().await).await.unwrap_err();
        assert_eq!((denial(&refused), script.asked().len()), (Some(Denial::WrongCredentials), 3), "{name}");

        let script = Script::start((0..3).map(|_| exception(name))).await;
        let refused = sign_in(&script.identity().await).await.unwrap_err();
        assert_eq!((refused.kind(), denial(&refused)), (ErrorKind::RateLimited, None), "{name}");
    }
}

#[tokio::test]
async fn an_unknown_address_is_answered_as_a_wrong_password_is() {
    let mut answers = Vec::new();
    for name in ["NotAuthorizedException", "UserNotFoundException"] {
        let script =
            Script::start([exception(name), exception(name), exception(name), exception(name)]).await;
        let identity = script.identity().await;
        let (email, code) = (email(), "123456");
        answers.push([
            format!("{:?}", sign_in(&identity).await.unwrap_err()),
            format!("{:?}", identity.accounts.confirm(&email, code).await.unwrap_err()),
            format!("{:?}", identity.accounts.reset(&email, code, &PASSWORD.into()).await.unwrap_err()),
            format!("{:?}", identity.accounts.forgot(&email).await),
        ]);
    }
    assert_eq!(answers[0], answers[1]);
    assert_eq!(answers[0][3], "Ok(())");
}

#[tokio::test]
async fn silence_is_unavailable_and_what_became_of_a_write_is_unknown() {
    let script = Script::start([]).await;
    let identity = script.identity().await;
    let refused = sign_in(&identity).await.unwrap_err();
    assert_eq!((refused.kind(), script.asked().len()), (ErrorKind::Unavailable, 3));
    let new = NewUser {
        user_id: domain::ids::UserId(uuid::Uuid::nil()),
        email: email(),
        password: PASSWORD.into(),
        display_name: None,
    };
    let refused = identity.accounts.sign_up(new).await.unwrap_err();
    assert_eq!((refused.kind(), refused.outcome()), (ErrorKind::Unavailable, Outcome::Unknown));
}

#[tokio::test]
async fn a_code_by_text_message_is_asked_for_and_answered_with_proof_of_the_client() {
    let asked = json!({
        "ChallengeName": "SMS_MFA", "Session": "session-of-cognito-0123456789",
        "ChallengeParameters": { "USER_ID_FOR_SRP": "the-subject", "CODE_DELIVERY_DESTINATION": "+*******0123" },
    });
    let script = Script::start([(200, asked), exception("CodeMismatchException")]).await;
    let identity = script.identity().await;
    let SignIn::Challenge { kind: ChallengeKind::SmsMfa, session } = sign_in(&identity).await.unwrap() else {
        panic!("another challenge")
    };
    let (answer, from) = ("123456".into(), SignInContext::default());
    let refused =
        identity.accounts.respond(&session, ChallengeKind::SmsMfa, &answer, &from).await.unwrap_err();
    assert_eq!(denial(&refused), Some(Denial::WrongCode));
    let asked = script.asked();
    let parameters = &asked[0].1["AuthParameters"];
    assert_eq!(parameters["USERNAME"], ADDRESS);
    // HMAC-SHA-256 of the username and the client, by another program.
    assert_eq!(parameters["SECRET_HASH"], "uexUtj0ZRG3eWepa7ZWBAwLdRswpGGFI30Fq+iJV+kg=");
    assert_eq!(
        (asked[1].0.as_str(), &asked[1].1["Session"]),
        ("RespondToAuthChallenge", &json!("session-of-cognito-0123456789"))
    );
    let responses = &asked[1].1["ChallengeResponses"];
    assert_eq!(
        (&responses["USERNAME"], &responses["SMS_MFA_CODE"]),
        (&json!("the-subject"), &json!("123456"))
    );
}

#[tokio::test]
async fn errors_name_the_exception_and_nothing_of_what_was_sent() {
    for name in
        ["InvalidParameterException", "ResourceNotFoundException", "InternalErrorException", "SomethingNew"]
    {
        let script = Script::start((0..3).map(|_| exception(name))).await;
        let identity = script.identity().await;
        let refused = sign_in(&identity).await.unwrap_err();
        let cause = refused.source().unwrap().to_string();
        assert_eq!(cause, format!("Cognito answered {name}"));
        let shown = format!("{refused:?} {refused}");
        assert!(!shown.contains(ADDRESS) && !shown.contains(PASSWORD), "{shown}");
    }
}

#[tokio::test]
async fn a_proof_of_the_password_goes_without_the_password() {
    let asked = json!({
        "ChallengeName": "PASSWORD_VERIFIER",
        "ChallengeParameters": {
            "USER_ID_FOR_SRP": "the-subject", "USERNAME": "the-subject", "SECRET_BLOCK": "c2VjcmV0IGJsb2Nr",
            "SALT": "b3a9c1d4e5f60718293a4b5c6d7e8f90", "SRP_B": "f".repeat(700),
        },
    });
    let script = Script::start([(200, asked), exception("NotAuthorizedException")]).await;
    let refused = sign_in(&script.identity_by(SignInFlow::Srp).await).await.unwrap_err();
    assert_eq!(denial(&refused), Some(Denial::WrongCredentials));
    let asked = script.asked();
    assert_eq!(asked[0].1["AuthFlow"], "USER_SRP_AUTH");
    let responses = &asked[1].1["ChallengeResponses"];
    assert_eq!(
        (&responses["USERNAME"], &responses["PASSWORD_CLAIM_SECRET_BLOCK"]),
        (&json!("the-subject"), &json!("c2VjcmV0IGJsb2Nr"))
    );
    assert_eq!(responses["PASSWORD_CLAIM_SIGNATURE"].as_str().unwrap().len(), 44);
    assert!(responses["TIMESTAMP"].as_str().unwrap().contains(" UTC 20"));
    assert!(responses["SECRET_HASH"].is_string());
    assert!(asked.iter().all(|(_, body)| !body.to_string().contains(PASSWORD)));
}
