//! lap build --check and --call, and the warnings of ordinary builds.

use serde_json::{Value, json};

use crate::environment::{Environment, Ran};

const DOCKERFILE: &str = "\
# VERSION is what to build
ARG VERSION=1
# tools makes tools
FROM base:1 as tools
ARG VERSION
ARG FLAVOUR=sweet-${VERSION}
RUN true
FROM tools
MAINTAINER me
CMD echo $x
";

fn call(lap: &Environment, dockerfile: &str, arguments: &[&str]) -> Ran {
    lap.write("context/Dockerfile", dockerfile);
    let command = ["build", "--progress", "plain", "context"];
    lap.lap([&command[..], arguments].concat())
}

fn document(ran: &Ran) -> Value {
    serde_json::from_str(&ran.stdout).expect("JSON on standard output")
}

#[test]
fn df_216_check_speaks_as_docker_does() {
    let lap = Environment::with_base();
    let ran = call(&lap, DOCKERFILE, &["--check"]);
    assert_eq!(ran.code, 1, "{}", ran.stderr);
    let expected = "\
Check complete, 3 warnings have been found!

WARNING: FromAsCasing - https://docs.docker.com/go/dockerfile/rule/from-as-casing/
'as' and 'FROM' keywords' casing do not match
context/Dockerfile:4
--------------------
   2 |     ARG VERSION=1
   3 |     # tools makes tools
   4 | >>> FROM base:1 as tools
   5 |     ARG VERSION
   6 |     ARG FLAVOUR=sweet-${VERSION}
--------------------

WARNING: MaintainerDeprecated - https://docs.docker.com/go/dockerfile/rule/maintainer-deprecated/
Maintainer instruction is deprecated in favor of using label
context/Dockerfile:9
--------------------
   7 |     RUN true
   8 |     FROM tools
   9 | >>> MAINTAINER me
  10 |     CMD echo $x
  11 |     \n--------------------

WARNING: JSONArgsRecommended - https://docs.docker.com/go/dockerfile/rule/json-args-recommended/
JSON arguments recommended for CMD to prevent unintended behavior related to OS signals
context/Dockerfile:10
--------------------
   8 |     FROM tools
   9 |     MAINTAINER me
  10 | >>> CMD echo $x
  11 |     \n--------------------
";
    assert_eq!(ran.stdout, expected);
    let ran = call(&lap, DOCKERFILE, &["--check", "--build-arg", "BUILDKIT_DOCKERFILE_CHECK=skip=all"]);
    assert_eq!((ran.code, ran.stdout.as_str()), (0, "Check complete, no warnings found.\n"));
    let ran = call(&lap, DOCKERFILE, &["--call", "check,ignorestatus"]);
    assert_eq!(ran.code, 0, "{}", ran.stderr);
    assert!(lap.lap(["images", "--quiet"]).success().stdout.lines().count() == 1, "nothing was built");
}

#[test]
fn df_216_check_as_json() {
    let lap = Environment::with_base();
    let ran = call(&lap, "FROM base:1\nENV a b\nRUM true\n", &["--call=check,format=json"]);
    assert_eq!(ran.code, 1);
    let found = document(&ran);
    assert_eq!(found["warnings"], Value::Null);
    let place = json!({"ranges": [{"start": {"line": 3}, "end": {"line": 3}}]});
    assert_eq!(found["buildError"]["location"], place);
    assert_eq!(found["buildError"]["message"], "unknown instruction: RUM (did you mean RUN?)");

    let ran = call(&lap, "FROM base:1\nENV a \\\n b\n", &["--call=check,format=json"]);
    let found = document(&ran);
    let line = |line: u32| json!({"start": {"line": line}, "end": {"line": line}});
    assert_eq!(
        found["warnings"],
        json!([{
            "ruleName": "LegacyKeyValueFormat",
            "description": "Legacy key/value format with whitespace separator should not be used",
            "url": "https://docs.docker.com/go/dockerfile/rule/legacy-key-value-format/",
            "detail": "\"ENV key=value\" should be used instead of legacy \"ENV key value\" format",
            "location": {"ranges": [line(2), line(3)]},
        }])
    );
    assert_eq!(found["sources"][0]["data"], "RlJPTSBiYXNlOjEKRU5WIGEgXAogYgo=");

    let ran = call(&lap, "# check=error=true\nFROM base:1\nENV a b\n", &["--call=check,format=json"]);
    let found = document(&ran);
    let message = "lint violation found for rules: LegacyKeyValueFormat";
    assert_eq!((ran.code, &found["buildError"]), (1, &json!({"message": message, "location": {}})));
}

#[test]
fn df_216_outline_and_targets() {
    let lap = Environment::with_base();
    let ran = call(&lap, DOCKERFILE, &["--call=outline", "--target=tools"]).success();
    let expected = "\
TARGET:      tools
DESCRIPTION: makes tools

BUILD ARG   VALUE     DESCRIPTION
VERSION     1         is what to build
FLAVOUR     sweet-1
";
    assert_eq!(ran.stdout, expected);
    let ran = call(&lap, DOCKERFILE, &["--call=outline,format=json", "--build-arg=VERSION=7"]).success();
    let outline = document(&ran);
    assert_eq!(outline["args"][0]["value"], "7");
    assert_eq!(outline["args"][1]["value"], "sweet-7");
    assert_eq!(
        outline["args"][1]["location"],
        json!({"ranges": [{"start": {"line": 6}, "end": {"line": 6}}]})
    );

    let ran = call(&lap, DOCKERFILE, &["--call=targets"]).success();
    assert_eq!(ran.stdout, "TARGET      DESCRIPTION\ntools       makes tools\n(default)\n");
    let ran = call(&lap, DOCKERFILE, &["--call=targets,format=json"]).success();
    let place = |line: u32| json!({"ranges": [{"start": {"line": line}, "end": {"line": line}}]});
    assert_eq!(
        document(&ran)["targets"],
        json!([
            {"name": "tools", "description": "makes tools", "base": "base:1", "location": place(4)},
            {"default": true, "base": "tools", "location": place(8)},
        ])
    );
    call(&lap, DOCKERFILE, &["--call=nothing"]).failure(2, &["build, check, outline or targets"]);
}

#[test]
fn df_017_builds_say_what_looks_like_a_mistake() {
    let lap = Environment::with_base();
    let ran = lap.build("FROM base:1\nCMD echo hi\n").success();
    let excerpt = "\
warning: JSONArgsRecommended: JSON arguments recommended for CMD to prevent unintended behavior related to OS signals
 --> context/Dockerfile:2:5
  |
2 | CMD echo hi
  |     ^^^^^^^
";
    assert!(ran.stderr.contains(excerpt), "{}", ran.stderr);
    let ran = lap.build("# check=error=true\nFROM base:1\nRUN false\nCMD echo hi\n");
    ran.failure(1, &["lint violation found for rules: JSONArgsRecommended", "CMD echo hi", "skip="]);
}

#[test]
fn df_025_an_excerpt_shows_all_lines_of_a_step() {
    let lap = Environment::with_base();
    let ran = lap.build("FROM base:1\nRUN true && \\\n  false\n");
    ran.failure(1, &["2 | / RUN true && \\", "3 | |   false"]);
}
