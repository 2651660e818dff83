//! External issuers, `[[identity.issuers]]`.

use std::collections::{BTreeMap, BTreeSet};

use serde::Deserialize;
use url::Url;

use super::{Identity, Provider, rules::is_plain_text_to_another_machine};

const LEEWAY_S_MAX: u64 = 60;
const LIFETIME_S: std::ops::RangeInclusive<u64> = 60..=2_592_000;

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Issuer {
    pub name: String,
    pub issuer: String,
    pub jwks_url: Option<String>,
    pub audience: Option<String>,
    #[serde(default)]
    pub client_ids: Vec<String>,
    pub token_use: Option<String>,
    #[serde(default = "all_signatures")]
    pub algorithms: Vec<Signature>,
    pub roles_claim: Option<String>,
    #[serde(default)]
    pub roles: BTreeMap<String, Group>,
    #[serde(default = "leeway_s")]
    pub leeway_s: u64,
    #[serde(default = "token_lifetime_max_s")]
    pub token_lifetime_max_s: u64,
}

/// How an issuer signs.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Deserialize)]
pub enum Signature {
    #[serde(rename = "RS256")]
    Rs256,
    #[serde(rename = "ES256")]
    Es256,
    #[serde(rename = "EdDSA")]
    EdDsa,
}

/// What a group of an issuer may do.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Group {
    User,
    Clinician,
    Operator,
}

fn all_signatures() -> Vec<Signature> {
    vec![Signature::Rs256, Signature::Es256, Signature::EdDsa]
}

const fn leeway_s() -> u64 {
    LEEWAY_S_MAX
}

const fn token_lifetime_max_s() -> u64 {
    86_400
}

/// Everything that is wrong with the issuers, each with the name of the one it is about.
pub(super) fn faults(identity: &Identity) -> Vec<String> {
    let mut names = BTreeSet::new();
    let mut issuers = BTreeSet::from([identity.issuer.as_str()]);
    let mut faults = Vec::new();
    for issuer in &identity.issuers {
        let mut problems = issuer.problems();
        if !names.insert(issuer.name.as_str()) {
            problems.push("another issuer has that name".to_owned());
        }
        if !issuers.insert(issuer.issuer.as_str()) {
            problems
                .push("its `issuer` is another's, or identity.issuer: each token has one judge".to_owned());
        }
        faults.extend(problems.into_iter().map(|problem| format!("issuer `{}`: {problem}", issuer.name)));
    }
    faults
}

impl Issuer {
    fn problems(&self) -> Vec<String> {
        let is_filled = |text: &String| !text.trim().is_empty();
        let providers = [Provider::Local, Provider::Aws, Provider::Gcp].map(Provider::as_str);
        let is_name = (1..=32).contains(&self.name.len())
            && self
                .name
                .bytes()
                .all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-')
            && !providers.contains(&self.name.as_str());
        let texts = [&self.audience, &self.token_use, &self.roles_claim];
        let rules = [
            (is_name, "its name must be 1 to 32 of a-z, 0-9 and -, and none of a provider"),
            (
                self.keys_are_safe(),
                "its keys must be fetched by https:// (http:// only from this machine): give a jwks_url",
            ),
            (
                is_filled(&self.issuer) && texts.into_iter().flatten().all(is_filled),
                "issuer, audience, token_use and roles_claim must not be empty",
            ),
            (
                self.audience.is_some() || !self.client_ids.is_empty(),
                "it needs an audience or client_ids: without either, tokens for any other service would be taken",
            ),
            (self.client_ids.iter().all(is_filled), "a client id must not be empty"),
            (!self.algorithms.is_empty(), "it needs an algorithm: RS256, ES256 or EdDSA"),
            (
                self.roles.is_empty() == self.roles_claim.is_none(),
                "roles and roles_claim need each other: which claim holds the groups, and what they may do",
            ),
            (self.leeway_s <= LEEWAY_S_MAX, "leeway_s must be at most 60"),
            (
                LIFETIME_S.contains(&self.token_lifetime_max_s),
                "token_lifetime_max_s must be from 60 to 2592000 (30 days)",
            ),
        ];
        rules.into_iter().filter(|(holds, _)| !holds).map(|(_, problem)| problem.to_owned()).collect()
    }

    fn keys_are_safe(&self) -> bool {
        let text = self.jwks_url.as_ref().unwrap_or(&self.issuer);
        Url::parse(text).is_ok_and(|url| matches!(url.scheme(), "http" | "https") && url.has_host())
            && !is_plain_text_to_another_machine(text)
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::super::{Config, Fault, Loaded, Sources};

    const GOOD: &str = r#"
        [[identity.issuers]]
        name = "cognito"
        issuer = "https://issuer.example/pool"
        client_ids = ["app"]
    "#;

    fn load(text: &str) -> Result<Loaded, Vec<Fault>> {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("development.toml"), text).unwrap();
        let sources = Sources { config_dir: Some(folder.path().to_owned()), ..Sources::default() };
        Config::load(&sources).map_err(|faults| faults.0)
    }

    #[test]
    fn an_issuer_needs_little_and_says_the_rest_itself() {
        let loaded = load(GOOD).unwrap();
        let [issuer] = &loaded.config.identity.issuers[..] else { panic!("one issuer") };
        assert_eq!(
            (issuer.name.as_str(), issuer.leeway_s, issuer.token_lifetime_max_s),
            ("cognito", 60, 86_400)
        );
        assert_eq!((issuer.algorithms.len(), &issuer.jwks_url), (3, &None));
        let more = r#"
            algorithms = ["ES256"]
            token_use = "access"
            jwks_url = "http://127.0.0.1:1/keys"
            audience = "clarity"
            roles_claim = "cognito:groups"
            roles = { doctors = "clinician", admins = "operator" }
            leeway_s = 0
        "#;
        let loaded = load(&format!("{GOOD}{more}")).unwrap();
        assert_eq!(loaded.config.identity.issuers[0].roles["doctors"], super::Group::Clinician);
        assert!(load("").unwrap().config.identity.issuers.is_empty());
    }

    #[test]
    fn each_fault_of_an_issuer_is_named_with_what_to_do() {
        let fault = |text: &str| {
            let mut faults = load(text).expect_err(text);
            assert_eq!(faults.len(), 1, "{faults:?}");
            assert_eq!(faults[0].key, "identity.issuers");
            faults.remove(0).problem
        };
        for (member, part) in [
            ("leeway_s = 61", "leeway_s must be at most 60"),
            ("token_lifetime_max_s = 59", "token_lifetime_max_s"),
            ("algorithms = []", "RS256, ES256 or EdDSA"),
            ("algorithms = [\"HS256\"]", "HS256"),
            ("algorithms = [\"none\"]", "none"),
            ("jwks_url = \"http://issuer.example/keys\"", "https://"),
            ("jwks_url = \"ftp://issuer.example/keys\"", "https://"),
            ("jwks_url = \"keys\"", "https://"),
            ("audience = \"\"", "must not be empty"),
            ("roles_claim = \"groups\"", "need each other"),
            ("roles = { a = \"user\" }", "need each other"),
            ("roles_claim = \"groups\"\nroles = { a = \"root\" }", "root"),
            ("leeway = 1", "did you mean `leeway_s`"),
            ("leeway_s = \"a\"", "whole number"),
        ] {
            let problem = fault(&format!("{GOOD}{member}"));
            assert!(problem.contains(part), "{member}: {problem}");
        }
        for (from, to, part) in [
            ("client_ids = [\"app\"]", "", "audience or client_ids"),
            ("client_ids = [\"app\"]", "client_ids = [\"\"]", "client id must not be empty"),
            ("name = \"cognito\"", "name = \"local\"", "none of a provider"),
            ("name = \"cognito\"", "name = \"My Issuer\"", "its name"),
            ("name = \"cognito\"", "", "name"),
            ("https://issuer.example/pool", "http://issuer.example/pool", "https://"),
            ("https://issuer.example/pool", "clarity", "https://"),
        ] {
            let text = GOOD.replace(from, to);
            assert_ne!(text, GOOD);
            let problems: Vec<_> =
                load(&text).expect_err(&text).into_iter().map(|fault| fault.problem).collect();
            assert!(problems.iter().any(|problem| problem.contains(part)), "{to}: {problems:?}");
        }
    }

    #[test]
    fn each_token_has_one_judge() {
        let problems = load(&format!("{GOOD}{GOOD}")).unwrap_err();
        assert!(problems.iter().any(|fault| fault.problem.contains("another issuer has that name")));
        assert!(problems.iter().any(|fault| fault.problem.contains("one judge")));
        let own = format!("[identity]\nissuer = \"https://issuer.example/pool\"\n{GOOD}");
        assert!(load(&own).unwrap_err()[0].problem.contains("one judge"));
    }
}
