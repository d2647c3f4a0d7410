//! What cannot be served is said before anything is.

use std::path::Path;

use crate::environment::{Environment, path_text};

#[test]
fn bad_input_to_serve() {
    let lap = Environment::new();
    let missing = lap.path("missing");
    let missing = path_text(&missing);
    let not_pem = lap.write("not.pem", "not a certificate");
    let not_pem = path_text(&not_pem);
    let md5 = lap.write("md5", "ann:$apr1$salt$hash\n");
    let md5 = path_text(&md5);
    let taken =
        std::net::TcpListener::bind("127.0.0.1:0").and_then(|socket| Ok((socket.local_addr()?, socket)));
    let taken = taken.expect("a port");
    let address = taken.0.to_string();
    for (arguments, code, said) in [
        (
            vec!["--addr", &address],
            1,
            vec!["cannot listen on 127.0.0.1:", "hint: another program has this port"],
        ),
        (vec!["--tls-cert", missing, "--tls-key", missing], 1, vec!["cannot read", "missing"]),
        (
            vec!["--tls-cert", not_pem, "--tls-key", not_pem],
            1,
            vec!["not.pem cannot be used", "no certificate"],
        ),
        (vec!["--htpasswd", not_pem], 1, vec!["not.pem cannot be used: there is no colon in line 1"]),
        (
            vec!["--htpasswd", md5],
            1,
            vec!["the password of ann in line 1 is not hashed with bcrypt", "htpasswd -B"],
        ),
        (vec!["--rules", not_pem], 1, vec!["not an action"]),
        (vec!["--addr", "192.0.2.1:5000"], 1, vec!["cannot listen on 192.0.2.1:5000", "hint: no interface"]),
        (vec!["--addr", "nowhere"], 2, vec!["--addr"]),
        (vec!["--tls-cert", not_pem], 2, vec!["--tls-key"]),
        (vec!["--token-realm", "https://x"], 2, vec!["--token-keys"]),
    ] {
        lap.lap([&["serve"], arguments.as_slice()].concat()).failure(code, &said);
    }
    assert!(!Path::new(missing).exists());
}
