//! Platforms: where an image runs (OCI image-spec, image-index.md; Go's words for systems and CPUs; RC-086).

use std::fmt;
use std::str::FromStr;

use base::{Classified, Kind};
use serde::{Deserialize, Serialize};

use crate::json::null_is_default;

/// An operating system and a CPU.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Platform {
    /// The CPU architecture: `amd64`, `arm64`.
    #[serde(default)]
    pub architecture: String,
    /// The operating system: `linux`.
    #[serde(default)]
    pub os: String,
    /// Its version; for Windows.
    #[serde(rename = "os.version", default, skip_serializing_if = "Option::is_none")]
    pub os_version: Option<String>,
    /// What is demanded of it.
    #[serde(
        rename = "os.features",
        default,
        deserialize_with = "null_is_default",
        skip_serializing_if = "Vec::is_empty"
    )]
    pub os_features: Vec<String>,
    /// The variant of the CPU: `v7`, `v8`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub variant: Option<String>,
}

/// A text that is not a platform.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{} is not a platform: {reason}", base::text::bytes(.text.as_bytes()))]
pub struct PlatformError {
    /// What was given, at most 200 characters of it.
    pub text: String,
    /// What is wrong with it.
    pub reason: String,
    /// What would be right.
    pub hint: String,
}

impl Classified for PlatformError {
    fn kind(&self) -> Kind {
        Kind::Invalid
    }

    fn hint(&self) -> Option<String> {
        Some(self.hint.clone())
    }
}

/// The operating systems that Go knows: a word alone is one of these or an architecture.
const SYSTEMS: [&str; 18] = [
    "aix",
    "android",
    "darwin",
    "dragonfly",
    "freebsd",
    "hurd",
    "illumos",
    "ios",
    "js",
    "linux",
    "nacl",
    "netbsd",
    "openbsd",
    "plan9",
    "solaris",
    "wasip1",
    "windows",
    "zos",
];

/// The architectures that Go knows.
const ARCHITECTURES: [&str; 25] = [
    "386",
    "amd64",
    "amd64p32",
    "arm",
    "armbe",
    "arm64",
    "arm64be",
    "loong64",
    "mips",
    "mipsle",
    "mips64",
    "mips64le",
    "mips64p32",
    "mips64p32le",
    "ppc",
    "ppc64",
    "ppc64le",
    "riscv",
    "riscv64",
    "s390",
    "s390x",
    "sparc",
    "sparc64",
    "wasm",
    "wasm32",
];

impl Platform {
    /// A platform, in the words that Go uses.
    pub fn new(os: &str, architecture: &str, variant: Option<&str>) -> Self {
        Self {
            architecture: architecture.to_owned(),
            os: os.to_owned(),
            variant: variant.map(str::to_owned),
            ..Self::default()
        }
        .normalized()
    }

    /// Reads `os/architecture/variant`, `os/architecture`, or one of the two alone; the result is normalised.
    pub fn parse(text: &str) -> Result<Self, PlatformError> {
        let wrong = |reason: String, hint: String| {
            Err(PlatformError { text: text.chars().take(200).collect(), reason, hint })
        };
        let usual = || "a platform is written like linux/amd64 or linux/arm/v7".to_owned();
        let is_word = |part: &str| {
            !part.is_empty()
                && part.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'.' | b'-'))
        };
        if !text.split('/').all(is_word) {
            return wrong("its parts are not words of letters, digits, dots and hyphens".to_owned(), usual());
        }
        let parts: Vec<&str> = text.split('/').collect();
        let platform = match *parts.as_slice() {
            [word] => match Self::of_word(word) {
                Some(platform) => platform,
                None => {
                    return wrong(
                        "it is neither an operating system nor an architecture".to_owned(),
                        usual(),
                    );
                }
            },
            [os, architecture] => Self::new(os, architecture, None),
            [os, architecture, variant] => Self::new(os, architecture, Some(variant)),
            _ => return wrong("it has more than three parts".to_owned(), usual()),
        };
        if SYSTEMS.contains(&platform.os.as_str()) {
            return Ok(platform);
        }
        let reason = format!("{} is not an operating system", platform.os);
        match Self::new(&platform.architecture, &platform.os, None) {
            swapped if SYSTEMS.contains(&swapped.os.as_str()) => {
                wrong(reason, format!("did you mean {swapped}?"))
            }
            _ => wrong(reason, usual()),
        }
    }

    /// The platform of the host, but with this operating system or this architecture.
    fn of_word(word: &str) -> Option<Self> {
        let host = Self::host();
        let as_os = Self::new(word, &host.architecture, host.variant.as_deref());
        let as_cpu = Self::new(&host.os, word, None);
        let is_os = SYSTEMS.contains(&as_os.os.as_str());
        let is_cpu = ARCHITECTURES.contains(&as_cpu.architecture.as_str());
        is_os.then_some(as_os).or(is_cpu.then_some(as_cpu))
    }

    /// Where images run on the machine that this program was compiled for.
    ///
    /// The system is always Linux: elsewhere, containers run in a virtual machine of the same architecture (RC-087).
    pub fn host() -> Self {
        let little = cfg!(target_endian = "little");
        let architecture = match std::env::consts::ARCH {
            "x86" => "386",
            "loongarch64" => "loong64",
            "powerpc" => "ppc",
            "powerpc64" if little => "ppc64le",
            "powerpc64" => "ppc64",
            "mips" if little => "mipsle",
            "mips64" if little => "mips64le",
            // The others have the same name here and in Go, or one that is normalised.
            other => other,
        };
        Self::new("linux", architecture, None)
    }

    /// The same platform with each part in the one form that containerd gives it: `x86_64` is `amd64`, `arm` is
    /// `arm/v7`, `arm64/v8` is `arm64`, `amd64/v1` is `amd64`.
    pub fn normalized(&self) -> Self {
        let os = match self.os.to_ascii_lowercase() {
            macos if macos == "macos" => "darwin".to_owned(),
            os => os,
        };
        let architecture = self.architecture.to_ascii_lowercase();
        let variant = self.variant.as_deref().unwrap_or_default().to_ascii_lowercase();
        let (architecture, variant) = match (architecture.as_str(), variant.as_str()) {
            ("i386", _) => ("386", ""),
            ("x86_64" | "x86-64" | "amd64", "v1") => ("amd64", ""),
            ("x86_64" | "x86-64", variant) => ("amd64", variant),
            ("aarch64" | "arm64", "8" | "v8" | "v8.0") => ("arm64", ""),
            ("aarch64" | "arm64", "9" | "9.0" | "v9.0") => ("arm64", "v9"),
            ("aarch64", variant) => ("arm64", variant),
            ("armhf", _) | ("arm", "" | "7") => ("arm", "v7"),
            ("armel", _) | ("arm", "6") => ("arm", "v6"),
            ("arm", "5") => ("arm", "v5"),
            ("arm", "8") => ("arm", "v8"),
            other => other,
        };
        Self {
            architecture: architecture.to_owned(),
            os,
            os_version: self.os_version.clone().filter(|version| !version.is_empty()),
            os_features: self.os_features.clone(),
            variant: (!variant.is_empty()).then(|| variant.to_owned()),
        }
    }

    /// Whether an image for this platform runs where `wanted` is.
    pub fn matches(&self, wanted: &Platform) -> bool {
        self.normalized().fitness(&wanted.normalized()).is_some()
    }

    /// How well an image for this platform runs where `wanted` is, greater is better; `None` when it does not.
    /// Both are normalised.
    pub(crate) fn fitness(&self, wanted: &Platform) -> Option<Fitness> {
        let has_features = self.os_features.iter().all(|feature| wanted.os_features.contains(feature));
        if self.os != wanted.os || self.architecture != wanted.architecture || !has_features {
            return None;
        }
        let revision = match (&self.os_version, &wanted.os_version) {
            (Some(version), Some(wanted)) => revision(version, wanted)?,
            _ => 0,
        };
        if self.variant == wanted.variant {
            return Some(Fitness { exact: true, level: Level(0, 0), revision });
        }
        let level = match (self.level(), wanted.level()) {
            (Some(level), Some(wanted)) => level.is_within(wanted).then_some(level)?,
            // A variant whose order is not known can do what every CPU of its kind can.
            _ if self.variant.is_none() => Level(0, 0),
            _ => return None,
        };
        Some(Fitness { exact: false, level, revision })
    }

    /// What the CPU can do, where variants have an order.
    fn level(&self) -> Option<Level> {
        let default = match self.architecture.as_str() {
            "amd64" => Level(1, 0),
            "arm64" => Level(8, 0),
            "arm" => Level(7, 0),
            _ => return None,
        };
        let Some(variant) = &self.variant else { return Some(default) };
        let number = variant.strip_prefix('v')?;
        let (major, minor) = number.split_once('.').unwrap_or((number, "0"));
        Some(Level(major.parse().ok()?, minor.parse().ok()?))
    }
}

/// How well an image fits: the fields from the weightiest to the lightest.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Fitness {
    exact: bool,
    level: Level,
    revision: u64,
}

/// The number of a CPU's variant: `v8.2`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Level(u32, u32);

impl Level {
    /// Whether a CPU of level `cpu` can do all of this.
    fn is_within(self, cpu: Level) -> bool {
        match (self, cpu) {
            // Arm's v9.n is v8.(n + 5) and more.
            (Level(8, minor), Level(9, more)) => minor <= more.saturating_add(5),
            _ => self <= cpu,
        }
    }
}

/// The fourth number of a version of Windows whose first three are those that are wanted.
fn revision(version: &str, wanted: &str) -> Option<u64> {
    let build = |version: &str| version.split('.').take(3).map(str::to_owned).collect::<Vec<_>>();
    (build(version) == build(wanted))
        .then(|| version.split('.').nth(3).and_then(|revision| revision.parse().ok()).unwrap_or(0))
}

/// `linux/arm/v7`; the version and the features of the system are left out.
impl fmt::Display for Platform {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}/{}", base::text::line(&self.os), base::text::line(&self.architecture))?;
        match &self.variant {
            Some(variant) => write!(formatter, "/{}", base::text::line(variant)),
            None => Ok(()),
        }
    }
}

impl FromStr for Platform {
    type Err = PlatformError;

    fn from_str(text: &str) -> Result<Self, PlatformError> {
        Self::parse(text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn platform(text: &str) -> Platform {
        Platform::parse(text).unwrap_or_else(|error| panic!("{error}"))
    }

    #[test]
    fn rc_086_platforms_are_normalised() {
        for (text, expected) in [
            ("linux/amd64", "linux/amd64"),
            ("linux/x86_64", "linux/amd64"),
            ("Linux/X86-64/v1", "linux/amd64"),
            ("linux/amd64/v2", "linux/amd64/v2"),
            ("linux/i386", "linux/386"),
            ("linux/aarch64", "linux/arm64"),
            ("linux/arm64/v8", "linux/arm64"),
            ("linux/arm64/8", "linux/arm64"),
            ("linux/arm64/v9.0", "linux/arm64/v9"),
            ("linux/arm64/v8.2", "linux/arm64/v8.2"),
            ("linux/arm", "linux/arm/v7"),
            ("linux/arm/7", "linux/arm/v7"),
            ("linux/arm/v6", "linux/arm/v6"),
            ("linux/arm/5", "linux/arm/v5"),
            ("linux/armhf", "linux/arm/v7"),
            ("linux/armel", "linux/arm/v6"),
            ("linux/riscv64", "linux/riscv64"),
            ("macos/arm64", "darwin/arm64"),
            ("arm64", "linux/arm64"),
            ("aarch64", "linux/arm64"),
            ("armhf", "linux/arm/v7"),
            ("linux", &Platform::host().to_string()),
        ] {
            assert_eq!(platform(text).to_string(), expected, "{text}");
            assert_eq!(platform(expected).to_string(), expected, "{text}: twice");
        }
    }

    #[test]
    fn what_is_no_platform_is_told_why() {
        for (text, reason, hint) in [
            ("", "not words", "linux/amd64"),
            ("linux/", "not words", "linux/arm/v7"),
            ("linux/amd64,linux/arm64", "not words", ""),
            ("linux/am d64", "not words", ""),
            ("vax", "neither an operating system nor an architecture", ""),
            ("amd64/linux", "amd64 is not an operating system", "did you mean linux/amd64?"),
            ("unknown/unknown", "unknown is not an operating system", "linux/amd64"),
            ("linux/arm/v7/x", "more than three parts", ""),
        ] {
            let error = Platform::parse(text).expect_err(text);
            assert!(error.reason.contains(reason), "{text}: {error}");
            assert!(Classified::hint(&error).is_some_and(|given| given.contains(hint)), "{text}: {error:?}");
            assert_eq!(error.kind(), Kind::Invalid);
        }
    }

    #[test]
    fn rc_086_what_runs_where() {
        for (image, wanted, expected) in [
            ("linux/amd64", "linux/amd64", true),
            ("linux/amd64", "linux/amd64/v3", true),
            ("linux/amd64/v3", "linux/amd64/v3", true),
            ("linux/amd64/v3", "linux/amd64", false),
            ("linux/386", "linux/amd64", false),
            ("linux/arm/v6", "linux/arm/v7", true),
            ("linux/arm/v7", "linux/arm/v6", false),
            ("linux/arm/v7", "linux/arm64", false),
            ("linux/arm64/v8.5", "linux/arm64/v9", true),
            ("linux/arm64/v8.6", "linux/arm64/v9", false),
            ("linux/arm64", "linux/arm64/v9", true),
            ("windows/amd64", "linux/amd64", false),
            ("linux/riscv64", "linux/riscv64/rva22u64", true),
            ("linux/riscv64/rva22u64", "linux/riscv64", false),
        ] {
            assert_eq!(platform(image).matches(&platform(wanted)), expected, "{image} where {wanted} is");
        }
        let raw = Platform {
            os: "linux".into(),
            architecture: "arm64".into(),
            variant: Some("v8".into()),
            ..Platform::default()
        };
        assert!(raw.matches(&platform("linux/arm64")), "both sides are normalised");
    }

    #[test]
    fn the_host_is_a_platform_of_go() {
        let host = Platform::host();
        assert_eq!(host.os, "linux");
        assert!(ARCHITECTURES.contains(&host.architecture.as_str()), "{host}");
        assert_eq!(host.normalized(), host);
    }

    #[test]
    fn a_platform_from_outside_is_escaped() {
        assert_eq!(Platform::new("li\u{1b}nux", "x", None).to_string(), "li\\u{1b}nux/x");
    }

    #[test]
    fn null_and_absent_are_the_same() {
        let json = r#"{"architecture":"amd64","os":"linux","os.features":null,"variant":null}"#;
        assert_eq!(serde_json::from_str::<Platform>(json).ok(), Some(platform("linux/amd64")));
    }
}
