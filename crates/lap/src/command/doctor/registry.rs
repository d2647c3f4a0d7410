//! `lap doctor HOST`: a registry, looked at from the name of its server to the right to push.

use base::{Finding, Kind, State};
use distribution::examine::{Examined, Wish, examine};
use distribution::host::Host;
use image::Reference;
use serde_json::{Value, json};

use super::{finding_lines, finding_report};
use crate::cli::Context;
use crate::failure::{Failure, Outcome};
use crate::{network, signals};

/// What is looked at, from the text of a user.
#[derive(Debug, PartialEq, Eq)]
struct Subject {
    host: Host,
    image: Option<Reference>,
}

impl Subject {
    /// `HOST[:PORT]`, or `HOST[:PORT]/REPOSITORY[:TAG|@DIGEST]`; addresses of the web are taken for what they mean.
    fn parse(text: &str) -> Outcome<Self> {
        let bare = text.strip_prefix("https://").or_else(|| text.strip_prefix("http://")).unwrap_or(text);
        match bare.split_once('/') {
            Some((host, path)) if !matches!(path, "" | "v1/" | "v2" | "v2/") => {
                // A word before the slash is a host here, also where it would be a part of the path in a name.
                let host = network::host(host)?;
                let image = Reference::parse(&format!("{}/{path}", host.name()))?;
                Ok(Self { host: Host::of(&image), image: Some(image) })
            }
            _ => Ok(Self { host: network::host(text)?, image: None }),
        }
    }
}

/// Looks at the registry, and says what was found; the exit code is 0 when everything works that was tried.
pub fn run(context: &Context, text: &str, push: bool, json: bool, network: &network::Args) -> Outcome<u8> {
    let subject = Subject::parse(text)?;
    if push && subject.image.is_none() {
        let name = subject.host.name();
        return Err(Failure::new(Kind::Invalid, "--push has to know where to")
            .hint(format!("name a repository: lap doctor --push {name}/REPOSITORY")));
    }
    let client = network.client()?;
    let cancel = signals::cancel_on_signal()?;
    let wish = Wish { host: &subject.host, image: subject.image.as_ref(), push };
    let examined = examine(&client, wish, &cancel).map_err(distribution::DistributionError::from)?;
    context.printer.data(match json {
        true => crate::json::pretty(&report(&examined)),
        false => said(&examined),
    })?;
    Ok(u8::from(!works(&examined)))
}

fn findings(examined: &Examined) -> impl Iterator<Item = &Finding> {
    std::iter::once(&examined.places).chain(examined.servers.iter().flat_map(|server| &server.findings))
}

fn works(examined: &Examined) -> bool {
    findings(examined).all(|finding| finding.state != State::Missing)
}

/// Names of fields stay as they are; new ones may come.
fn report(examined: &Examined) -> Value {
    let servers = examined.servers.iter().map(|server| {
        let findings: Vec<_> = server.findings.iter().map(finding_report).collect();
        json!({"server": server.name, "findings": findings})
    });
    json!({
        "works": works(examined),
        "places": finding_report(&examined.places),
        "servers": servers.collect::<Vec<_>>(),
    })
}

fn said(examined: &Examined) -> String {
    let width = findings(examined).map(|finding| finding.name.len()).max().unwrap_or_default();
    let mut text = finding_lines(std::slice::from_ref(&examined.places), width);
    for server in &examined.servers {
        if examined.servers.len() > 1 {
            text.push_str(&format!("\n{}\n", server.name));
        }
        text.push_str(&finding_lines(&server.findings, width));
    }
    let broken: Vec<_> = findings(examined)
        .filter(|finding| finding.state == State::Missing)
        .map(|finding| finding.name)
        .collect();
    text.push('\n');
    text.push_str(&match broken.as_slice() {
        [] => "Everything that was tried works.\n".to_owned(),
        names => format!("What does not work: {}.\n", names.join(", ")),
    });
    text
}

#[cfg(test)]
mod tests {
    use distribution::examine::Server;

    use super::*;

    #[test]
    fn what_is_looked_at() {
        for (text, host, image) in [
            ("docker.io", "docker.io", None),
            ("https://index.docker.io/v1/", "docker.io", None),
            ("registry.example.com", "registry.example.com", None),
            ("https://registry.example.com/v2/", "registry.example.com", None),
            ("localhost:5000/app", "localhost:5000", Some("localhost:5000/app")),
            ("docker.io/debian:12", "docker.io", Some("docker.io/library/debian:12")),
            ("registry:5000/team/app:1", "registry:5000", Some("registry:5000/team/app:1")),
        ] {
            let subject = Subject::parse(text).unwrap_or_else(|error| panic!("{text}: {}", error.message()));
            assert_eq!(subject.host.name(), host, "{text}");
            assert_eq!(subject.image.map(|image| image.to_string()).as_deref(), image, "{text}");
        }
        for text in ["a b", "", "localhost:5000/App"] {
            assert!(Subject::parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn what_is_said_of_a_registry_with_a_mirror() {
        let server = |name: &str, findings| Server { name: name.to_owned(), findings };
        let examined = Examined {
            places: Finding::ok(
                "places",
                "mirror:5000 (hosts.toml, line 3) for tags and blobs, then r.example",
            ),
            servers: vec![
                server(
                    "mirror:5000 (hosts.toml, line 3)",
                    vec![Finding::missing(
                        "dns",
                        "mirror: there is no host of this name",
                        Some("spell it".to_owned()),
                    )],
                ),
                server(
                    "r.example",
                    vec![Finding::ok("proxy", "none"), Finding::better("tls", "TLS 1.2", None)],
                ),
            ],
        };
        insta::assert_snapshot!(said(&examined));
        let report = report(&examined);
        assert_eq!(report["works"], false);
        assert_eq!(report["servers"][0]["findings"][0]["remedy"], "spell it");
    }
}
