//! Names that sound like secrets (DF-236).

/// Words that a secret's name has.
const SECRET: [&str; 10] =
    ["apikey", "auth", "credential", "credentials", "key", "password", "pword", "passwd", "secret", "token"];

/// Words that say that it is none: a public key, the path of a file, a version.
const HARMLESS: [&str; 3] = ["public", "file", "version"];

/// Whether a variable of this name would hold a secret. Words are what stands between underscores, in any case.
pub fn is_secret(name: &str) -> bool {
    let has =
        |words: &[&str]| name.split('_').any(|part| words.iter().any(|word| word.eq_ignore_ascii_case(part)));
    has(&SECRET) && !has(&HARMLESS)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn df_236_secrets() {
        for name in [
            "API_KEY",
            "key",
            "MY_auth",
            "GITHUB_TOKEN",
            "secret_message",
            "A_APIKEY_B",
            "DB_PASSWD",
            "PWORD",
        ] {
            assert!(is_secret(name), "{name}");
        }
        for name in
            ["monkey", "KEYS", "xAPIKEY", "PUBLIC_KEY", "TOKEN_FILE", "KEY_VERSION", "api-key", "AUTHOR", ""]
        {
            assert!(!is_secret(name), "{name}");
        }
    }
}
