//! Commands to copy: each works where the page is read.

use std::net::IpAddr;

use super::Place;

/// What pulls an image.
pub(super) fn pull(place: &Place, name: &str, tag: &str) -> [String; 3] {
    let image = format!("{}/{name}:{tag}", place.host);
    let insecure = if place.is_tls || is_loopback(&place.host) {
        String::new()
    } else {
        format!("--insecure {} ", place.host)
    };
    [
        format!("docker pull {image}"),
        format!("podman pull {}{image}", unverified(place)),
        format!("lap pull {insecure}{image}"),
    ]
}

/// What pulls something that is no image.
pub(super) fn pull_artifact(place: &Place, name: &str, tag: &str) -> [String; 1] {
    let plain = if place.is_tls { "" } else { "--plain-http " };
    [format!("oras pull {plain}{}/{name}:{tag}", place.host)]
}

/// What pushes an image.
pub(super) fn push(place: &Place) -> [String; 2] {
    let image = format!("{}/app", place.host);
    [
        format!("docker tag app {image} && docker push {image}"),
        format!("podman push {}app {image}", unverified(place)),
    ]
}

/// podman tries TLS alone, unless it is told not to.
fn unverified(place: &Place) -> &'static str {
    if place.is_tls { "" } else { "--tls-verify=false " }
}

/// What docker's daemon has to be told, since it takes plain HTTP from this machine only.
pub(super) fn configuration(place: &Place) -> Option<String> {
    let is_needed = !place.is_tls && !is_loopback(&place.host);
    is_needed.then(|| format!("{{\"insecure-registries\": [\"{}\"]}}", place.host))
}

/// Whether a host, perhaps with a port, is this machine as clients see it.
fn is_loopback(host: &str) -> bool {
    let name = match host.strip_prefix('[') {
        Some(rest) => rest.split(']').next().unwrap_or_default(),
        None => host.split(':').next().unwrap_or_default(),
    };
    name == "localhost" || name.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rs_180_commands_work_where_they_are_read() {
        for (host, is_tls, expected, is_told) in [
            ("localhost:5000", false, ["", "--tls-verify=false ", ""], false),
            ("[::1]:5000", false, ["", "--tls-verify=false ", ""], false),
            ("127.0.0.2", false, ["", "--tls-verify=false ", ""], false),
            ("registry:5000", false, ["", "--tls-verify=false ", "--insecure registry:5000 "], true),
            ("registry.example.com", true, ["", "", ""], false),
        ] {
            let place = Place { host: host.to_owned(), is_tls, read_only: false };
            let programs = ["docker", "podman", "lap"];
            let expected: Vec<String> = programs
                .iter()
                .zip(expected)
                .map(|(program, options)| format!("{program} pull {options}{host}/app:1"))
                .collect();
            assert_eq!(pull(&place, "app", "1").to_vec(), expected);
            assert_eq!(configuration(&place).is_some(), is_told, "{host}");
        }
    }
}
