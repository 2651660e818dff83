//! Who may see whom: `domain <- ports <- {conformance, app, inference, metered, adapters-*} <- api`, and which crate may speak to which
//! part of the outside world. The rule is a pure function over the manifests' dependencies, so each test below that plants a
//! violation into the real graph shows that it would be found.

use std::{fs, path::Path};

use cargo_metadata::{DependencyKind, MetadataCommand};

/// One line of a manifest: `from` depends on `to`.
#[derive(Clone, PartialEq, Eq, Debug)]
struct Edge {
    from: String,
    to: String,
    kind: DependencyKind,
}

struct Graph {
    members: Vec<String>,
    edges: Vec<Edge>,
}

/// A source file of a crate, by its path from the root of the workspace.
struct Source {
    path: String,
    text: String,
}

/// Which crates of this workspace each crate may use, and which more in its own tests. A `*` at the end stands for anything.
/// `None` where a crate has no room in the house yet.
fn may_use(member: &str) -> Option<(&'static [&'static str], &'static [&'static str])> {
    Some(match member {
        // The harness starts servers, and knows nothing of what is tested against them.
        "domain" | "harness" | "open-inference" | "retina" => (&[], &[]),
        "ports" | "report" | "simulator" => (&["domain"], &[]),
        "apple-health" => (&["domain"], &["simulator"]),
        "conformance" => (&["domain", "ports"], &[]),
        // Use cases are tested on adapters that need nothing installed, not on mocks, and by the suite's clock.
        // Both ways in must read a simulated person's data alike.
        "app" => (
            &["apple-health", "domain", "ports", "retina"],
            &["adapters-insight", "adapters-local", "conformance", "simulator"],
        ),
        // Models lie in an object store, and are tested in one that needs nothing installed.
        "metered" | "inference" => (&["domain", "ports"], &["adapters-local", "conformance"]),
        "migration" => (&["domain", "ports"], &["conformance"]),
        "api" => (
            &[
                "adapters-*",
                "app",
                "domain",
                "inference",
                "metered",
                "migration",
                "open-inference",
                "ports",
                "report",
                "retina",
                "simulator",
            ],
            &["conformance"],
        ),
        "e2e" => (&["*"], &[]),
        // Its accounts need a verifier, a store and locks, which the composition root gives them, and in tests the tests.
        "adapters-aws" => {
            (&["domain", "ports"], &["adapters-jwks", "adapters-local", "app", "conformance", "harness"])
        }
        adapters if adapters.starts_with("adapters-") => (&["domain", "ports"], &["conformance", "harness"]),
        _ => return None,
    })
}

/// Crates of the outside world, and who alone may name them in a manifest.
const OWNED: [(&str, &[&str]); 18] = [
    // Of the tests, only the floor of the benchmark: see `HTTP`.
    ("actix-*", &["api", "e2e"]),
    ("aws-config", &["adapters-aws", "adapters-insight"]),
    ("aws-credential-types", &["adapters-aws"]),
    // A language model; the first line that fits counts.
    ("aws-sdk-bedrockruntime", &["adapters-insight"]),
    ("aws-sdk-*", &["adapters-aws"]),
    ("aws-smithy-*", &["adapters-aws", "adapters-insight"]),
    ("figment", &["api"]),
    ("firestore", &["adapters-gcp"]),
    ("google-cloud-auth", &["adapters-gcp", "adapters-insight"]),
    ("google-cloud-*", &["adapters-gcp"]),
    // Whatever a stranger calls a picture is decoded behind its limits only.
    ("image", &["retina"]),
    // And the benchmark's floor, which runs models without a server.
    ("ort", &["inference", "e2e"]),
    ("redis", &["adapters-redis"]),
    ("reqwest", &["adapters-*", "api", "e2e"]),
    ("rusqlite", &[]),
    // The benchmark's floor inserts rows by itself.
    ("sqlx", &["adapters-local", "adapters-postgres", "e2e"]),
    ("tonic", &["adapters-gcp"]),
    // The tests hold the document against the routes.
    ("utoipa*", &["api", "e2e"]),
];

/// The part of the API that speaks HTTP, and so may name actix; and the echo server that it is measured against.
const HTTP: [&str; 9] = [
    "crates/api/src/address",
    "crates/api/src/connection",
    "crates/api/src/extract",
    "crates/api/src/middleware",
    "crates/api/src/terms",
    "crates/api/src/problem",
    "crates/api/src/routes",
    "crates/api/src/server",
    "tests/src/bin/floor-echo",
];

/// What would bring I/O, async code, a clock or randomness into `domain`.
const IMPURE: [&str; 9] =
    ["async-*", "futures*", "getrandom", "hyper*", "rand", "rand_*", "tokio*", "tracing*", "chrono"];

fn fits(name: &str, patterns: &[&str]) -> bool {
    patterns.iter().any(|pattern| match pattern.strip_suffix('*') {
        Some(start) => name.starts_with(start),
        None => name == *pattern,
    })
}

/// One line for each dependency that the rule forbids.
fn violations(graph: &Graph) -> Vec<String> {
    let homeless = graph.members.iter().filter(|member| may_use(member).is_none());
    let mut found: Vec<String> =
        homeless.map(|member| format!("{member} has no room in the rule: give it one")).collect();
    found.extend(graph.edges.iter().filter_map(|edge| violation(edge, &graph.members)));
    found
}

fn violation(edge: &Edge, members: &[String]) -> Option<String> {
    let Edge { from, to, kind } = edge;
    let dev = *kind == DependencyKind::Development;
    if members.contains(to) {
        let (always, in_tests) = may_use(from)?;
        let allowed = fits(to, always) || (dev && fits(to, in_tests));
        return (!allowed)
            .then(|| format!("{from} must not use {to}{}", if dev { ", not even in tests" } else { "" }));
    }
    if let Some((_, owners)) = OWNED.iter().find(|(pattern, _)| fits(to, &[pattern]))
        && !fits(from, owners)
    {
        return Some(format!("{from} must not name {to}: that is for {}", owners.join(", ")));
    }
    (from == "domain" && !dev && fits(to, &IMPURE)).then(|| format!("domain must stay pure, without {to}"))
}

/// One line for each source file that reaches past its crate's part of the house.
fn trespasses(sources: &[Source]) -> Vec<String> {
    let mut found = Vec::new();
    for Source { path, text } in sources {
        let at_the_door = HTTP.iter().any(|start| path.starts_with(start));
        let code = || text.lines().map(str::trim_start).filter(|line| !line.starts_with("//"));
        if !at_the_door && code().any(|line| line.contains("actix_")) {
            found.push(format!("{path} names actix, which is for the API's HTTP side"));
        }
        let reads = ["env::var(", "env::var_os(", "env::vars(", "env::vars_os("];
        if path != "crates/api/src/config.rs"
            && code().any(|line| reads.iter().any(|read| line.contains(read)))
        {
            found.push(format!("{path} reads the environment, which is for the configuration"));
        }
    }
    found
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("this crate lies in the workspace's root")
}

/// The workspace as its manifests describe it, optional dependencies and those of tests included.
fn workspace() -> Graph {
    let metadata =
        MetadataCommand::new().current_dir(root()).no_deps().exec().expect("cargo describes the workspace");
    let mut graph = Graph { members: Vec::new(), edges: Vec::new() };
    for package in metadata.workspace_packages() {
        let from = package.name.to_string();
        let edge = |dependency: &cargo_metadata::Dependency| Edge {
            from: from.clone(),
            to: dependency.name.clone(),
            kind: dependency.kind,
        };
        graph.edges.extend(package.dependencies.iter().map(edge));
        graph.members.push(from);
    }
    graph
}

fn sources() -> Vec<Source> {
    fn walk(folder: &Path, found: &mut Vec<Source>) {
        for entry in fs::read_dir(folder).expect("a folder of sources") {
            let path = entry.expect("an entry").path();
            if path.is_dir() {
                walk(&path, found);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let text = fs::read_to_string(&path).expect("a source file");
                let path = path.strip_prefix(root()).expect("a path below the root");
                found.push(Source { path: path.to_str().expect("a name in Unicode").to_owned(), text });
            }
        }
    }
    let mut found = Vec::new();
    let crates = fs::read_dir(root().join("crates")).expect("the folder of crates");
    let members = crates.map(|member| member.expect("a crate").path()).chain([root().join("tests")]);
    for folder in members.map(|member| member.join("src")).filter(|folder| folder.is_dir()) {
        walk(&folder, &mut found);
    }
    found
}

/// What the rule says of the real workspace with one dependency more.
fn planted(from: &str, to: &str, kind: DependencyKind) -> Vec<String> {
    let mut graph = workspace();
    for name in [from, to] {
        let ours = name.starts_with("adapters-") && !graph.members.iter().any(|member| member == name);
        if ours {
            graph.members.push(name.to_owned());
        }
    }
    graph.edges.push(Edge { from: from.to_owned(), to: to.to_owned(), kind });
    violations(&graph)
}

#[test]
fn the_workspace_keeps_the_dependency_rule() {
    let graph = workspace();
    assert!(graph.members.len() >= 9 && graph.edges.len() >= 50, "the manifests were not read");
    assert_eq!(violations(&graph), Vec::<String>::new());
}

#[test]
fn the_sources_keep_to_their_part_of_the_house() {
    let sources = sources();
    assert!(
        sources.iter().any(|source| source.path == "crates/api/src/config.rs"),
        "the sources were not read"
    );
    assert_eq!(trespasses(&sources), Vec::<String>::new());
}

#[test]
fn every_forbidden_dependency_is_reported() {
    for (from, to, report) in [
        ("domain", "ports", "domain must not use ports"),
        ("domain", "tokio", "domain must stay pure, without tokio"),
        ("domain", "rand", "domain must stay pure, without rand"),
        ("ports", "app", "ports must not use app"),
        ("report", "ports", "report must not use ports"),
        ("open-inference", "ports", "open-inference must not use ports"),
        ("ports", "aws-sdk-s3", "ports must not name aws-sdk-s3: that is for adapters-aws"),
        (
            "ports",
            "google-cloud-storage",
            "ports must not name google-cloud-storage: that is for adapters-gcp",
        ),
        ("app", "adapters-local", "app must not use adapters-local"),
        ("app", "inference", "app must not use inference"),
        ("app", "report", "app must not use report"),
        ("app", "actix-web", "app must not name actix-web: that is for api, e2e"),
        ("app", "sqlx", "app must not name sqlx: that is for adapters-local, adapters-postgres, e2e"),
        ("inference", "app", "inference must not use app"),
        ("adapters-local", "app", "adapters-local must not use app"),
        ("adapters-local", "adapters-insight", "adapters-local must not use adapters-insight"),
        ("adapters-aws", "adapters-gcp", "adapters-aws must not use adapters-gcp"),
        ("adapters-aws", "firestore", "adapters-aws must not name firestore: that is for adapters-gcp"),
        ("adapters-local", "ort", "adapters-local must not name ort: that is for inference, e2e"),
        ("adapters-local", "conformance", "adapters-local must not use conformance"),
        ("conformance", "adapters-local", "conformance must not use adapters-local"),
        ("conformance", "reqwest", "conformance must not name reqwest: that is for adapters-*, api, e2e"),
        ("api", "conformance", "api must not use conformance"),
        ("api", "e2e", "api must not use e2e"),
        ("api", "aws-config", "api must not name aws-config: that is for adapters-aws, adapters-insight"),
    ] {
        assert_eq!(planted(from, to, DependencyKind::Normal), [report]);
    }
}

#[test]
fn tests_may_use_more_but_not_everything() {
    let dev = DependencyKind::Development;
    assert_eq!(planted("adapters-aws", "conformance", dev), Vec::<String>::new());
    assert_eq!(planted("app", "adapters-local", dev), Vec::<String>::new());
    assert_eq!(planted("domain", "rand", dev), Vec::<String>::new());
    assert_eq!(planted("domain", "ports", dev), ["domain must not use ports, not even in tests"]);
    assert_eq!(
        planted("adapters-local", "adapters-insight", dev),
        ["adapters-local must not use adapters-insight, not even in tests"]
    );
    assert_eq!(planted("app", "actix-web", dev), ["app must not name actix-web: that is for api, e2e"]);
}

#[test]
fn a_build_script_is_bound_like_its_crate() {
    assert_eq!(planted("ports", "app", DependencyKind::Build), ["ports must not use app"]);
}

#[test]
fn a_new_crate_needs_a_room() {
    let mut graph = workspace();
    graph.members.push("helpers".to_owned());
    assert_eq!(violations(&graph), ["helpers has no room in the rule: give it one"]);
}

#[test]
fn every_trespass_is_reported() {
    let source = |path: &str, text: &str| Source { path: path.to_owned(), text: text.to_owned() };
    let actix = "use actix_web::web;\n";
    let environment = "let url = std::env::var(\"DATABASE_URL\");\n";
    let trespassing = [
        source("crates/app/src/ingest.rs", actix),
        source("crates/api/src/platform.rs", actix),
        source("crates/api/src/main.rs", environment),
        source("tests/src/phone.rs", actix),
        source("crates/domain/src/time.rs", "for (name, value) in env::vars() {}\n"),
    ];
    assert_eq!(
        trespasses(&trespassing),
        [
            "crates/app/src/ingest.rs names actix, which is for the API's HTTP side",
            "crates/api/src/platform.rs names actix, which is for the API's HTTP side",
            "crates/api/src/main.rs reads the environment, which is for the configuration",
            "tests/src/phone.rs names actix, which is for the API's HTTP side",
            "crates/domain/src/time.rs reads the environment, which is for the configuration",
        ]
    );
    let at_home = [
        source("crates/api/src/routes/health.rs", actix),
        source("crates/api/src/server.rs", actix),
        source("tests/src/bin/floor-echo.rs", actix),
        source("crates/api/src/config.rs", environment),
        source(
            "crates/app/src/ingest.rs",
            "// actix_web has no read timeout of its own.\nlet root = env!(\"CARGO_MANIFEST_DIR\");\n",
        ),
    ];
    assert_eq!(trespasses(&at_home), Vec::<String>::new());
}
