use std::time::Duration;

use base::Classified;

use super::{bad, good, kind, one, wrong};
use crate::instruction::{
    CommandLine, CopySource, Device, Healthcheck, HealthcheckCommand, NetworkMode, SecurityMode,
};
use crate::mount::Mount;
use crate::{Escape, InstructionKind, Keyword, Problem, WarningKind, Word, parse_instruction, parse_trigger};

fn raw(words: &[Word]) -> Vec<&str> {
    words.iter().map(|word| word.raw.as_str()).collect()
}

#[track_caller]
fn all_wrong(table: &[(&str, &str, &str)]) {
    for (source, message, place) in table {
        let (found, at) = wrong(source);
        assert!(found.contains(message), "{source:?}: {found}");
        assert_eq!(at, *place, "{source:?}: {found}");
    }
}

#[test]
fn df_020_flags() {
    all_wrong(&[
        ("COPY --form=a b c", "unknown flag for COPY: --form (did you mean --from?)", "--form"),
        ("RUN --mout=type=bind x", "(did you mean --mount?)", "--mout"),
        ("CMD --x y", "unknown flag for CMD: --x", "--x"),
        ("ENV --x y", "unknown flag for ENV: --x", "--x"),
        ("ADD --from=x a b", "unknown flag for ADD: --from", "--from"),
        ("COPY --from=a --from=b c d", "duplicate flag: --from", "--from=b"),
        ("COPY --link --link c d", "duplicate flag: --link", "--link"),
        ("COPY --from a b", "missing value for flag --from", "--from"),
        ("COPY --link=maybe a b", "expecting true or false", "maybe"),
    ]);
    let error = bad("FROM a\nUSER --x y");
    assert_eq!(error.hint().as_deref(), Some("USER has no flags"));
    let InstructionKind::Copy(copy) =
        kind("COPY --link --parents=TRUE --from=\"s\" --exclude=a --exclude='b c' --chown=$u:$g x y /z/")
    else {
        panic!("COPY")
    };
    assert!(copy.link && copy.parents);
    assert_eq!(raw(&copy.excludes), ["a", "b c"]);
    assert_eq!(copy.from.map(|word| word.raw).as_deref(), Some("s"));
    assert_eq!(copy.chown.map(|word| word.raw).as_deref(), Some("$u:$g"));
    let InstructionKind::Copy(copy) = kind("COPY --link=false -- --a b") else { panic!("COPY") };
    assert!(!copy.link);
    assert_eq!(copy.sources.len(), 1);
}

#[test]
fn df_021_df_022_exec_and_shell_forms() {
    for (source, exec, expected) in [
        ("CMD [\"a\", \"b c\"]", true, vec!["a", "b c"]),
        ("CMD []", true, vec![]),
        ("CMD ['a']", false, vec!["sh", "['a']"]),
        ("CMD [\"a\"] b", false, vec!["sh", "[\"a\"] b"]),
        ("CMD a  $b \"c\"", false, vec!["sh", "a  $b \"c\""]),
        ("CMD", false, vec!["sh", ""]),
    ] {
        let InstructionKind::Cmd(command) = kind(source) else { panic!("{source}") };
        assert_eq!(
            (command.is_exec(), command.arguments(&["sh".to_owned()])),
            (exec, to_owned(&expected)),
            "{source}"
        );
    }
    all_wrong(&[
        ("CMD [\"a\", 1]", "only string type", "1"),
        ("RUN [null]", "only string type", "null"),
        ("RUN []", "RUN [] has no command to run", "[]"),
        ("VOLUME [[\"a\"]]", "only string type", "[\"a\"]"),
    ]);
}

fn to_owned(words: &[&str]) -> Vec<String> {
    words.iter().map(|word| (*word).to_owned()).collect()
}

#[test]
fn df_049_no_variables_in_from() {
    all_wrong(&[
        ("COPY --from=$x a b", "--from doesn't support variable expansion", "$x"),
        ("RUN --mount=from=$x,target=/y z", "from doesn't support variable expansion", "$x"),
    ]);
    assert!(bad("FROM a\nCOPY --from=$x a b").hint().expect("a hint").contains("global ARG"));
}

#[test]
fn df_052_env_and_label() {
    for (source, legacy, expected) in [
        ("ENV a=b", false, vec![("a", "b")]),
        (
            "ENV a=b c=\"d e\" f=g\\ h i=",
            false,
            vec![("a", "b"), ("c", "\"d e\""), ("f", "g\\ h"), ("i", "")],
        ),
        ("ENV a=b=c", false, vec![("a", "b=c")]),
        ("ENV a  b c ", true, vec![("a", "b c")]),
        ("ENV a b=c", true, vec![("a", "b=c")]),
        ("ENV a \"b\"", true, vec![("a", "\"b\"")]),
        ("ENV a=b \\\n  c=d", false, vec![("a", "b"), ("c", "d")]),
        ("LABEL \"a b\"=c", false, vec![("\"a b\"", "c")]),
        ("LABEL a b", true, vec![("a", "b")]),
    ] {
        let (InstructionKind::Env(pairs) | InstructionKind::Label(pairs)) = kind(source) else {
            panic!("{source}")
        };
        let found: Vec<_> =
            pairs.pairs.iter().map(|pair| (pair.key.raw.as_str(), pair.value.raw.as_str())).collect();
        assert_eq!((pairs.is_legacy, found), (legacy, expected), "{source}");
    }
    all_wrong(&[
        ("ENV", "ENV requires at least one argument", "ENV"),
        ("ENV a", "ENV requires two arguments", "ENV a"),
        ("ENV a=b c", "can't find = in \"c\"", "c"),
        ("ENV a=b  =c", "ENV names can not be blank", ""),
        ("LABEL =c", "LABEL names can not be blank", ""),
    ]);
}

#[test]
fn df_055_arg() {
    let InstructionKind::Arg(arg) = kind("ARG a b=1 c=\"x y\" d=") else { panic!("ARG") };
    let found: Vec<_> = arg
        .declarations
        .iter()
        .map(|arg| (arg.name.raw.as_str(), arg.default.as_ref().map(|word| word.raw.as_str())))
        .collect();
    assert_eq!(found, [("a", None), ("b", Some("1")), ("c", Some("\"x y\"")), ("d", Some(""))]);
    all_wrong(&[
        ("ARG", "ARG requires at least one argument", "ARG"),
        ("ARG a =b", "ARG names can not be blank", ""),
    ]);
}

#[test]
fn df_066_df_075_from() {
    let file = good("FROM --platform=$BUILDPLATFORM a:b@c As N.1-x_");
    let from = &file.stages[0].from;
    assert_eq!(from.platform.as_ref().map(|word| word.raw.as_str()), Some("$BUILDPLATFORM"));
    assert_eq!((from.image.raw.as_str(), file.stages[0].name()), ("a:b@c", Some("n.1-x_")));
    for (source, message, place) in [
        ("FROM", "FROM requires either one argument, or three", "FROM"),
        ("FROM a b", "FROM requires either one argument", "FROM a b"),
        ("FROM a b c", "FROM requires either one argument", "FROM a b c"),
        ("FROM a AS b c", "FROM requires either one argument", "FROM a AS b c"),
        ("FROM a AS 1b", "invalid name for build stage: \"1b\"", "1b"),
        ("FROM a AS b/c", "invalid name for build stage", "b/c"),
        ("FROM a AS $x", "invalid name for build stage", "$x"),
        ("FROM --platform= a", "the platform can not be empty", ""),
        ("FROM --platfrom=x a", "did you mean --platform?", "--platfrom"),
    ] {
        let error = bad(source);
        assert!(error.to_string().contains(message), "{source}: {error}");
        assert_eq!(&source[error.span().range()], place, "{source}");
    }
    let error = bad("FROM a # comment");
    assert_eq!(error.hint().as_deref(), Some("a comment has to stand on a line of its own"));
}

#[test]
fn df_094_df_104_df_105_df_106_run_flags() {
    let InstructionKind::Run(run) = kind(
        "RUN --mount=type=cache,target=/c --mount=target=/b --network=host --security=insecure \
         --device=v.com/c=n,required --device=name=x make",
    ) else {
        panic!("RUN")
    };
    let mounts: Vec<_> = run.mounts.iter().map(|spec| spec.resolve(|word| Ok(word.raw.clone()))).collect();
    assert!(matches!(mounts.as_slice(), [Ok(Mount::Cache(_)), Ok(Mount::Bind(_))]));
    assert_eq!(run.network.map(|(mode, _)| mode), Some(NetworkMode::Host));
    assert_eq!(run.security.map(|(mode, _)| mode), Some(SecurityMode::Insecure));
    let devices: Vec<_> =
        run.devices.iter().map(|Device { name, required, .. }| (name.as_str(), *required)).collect();
    assert_eq!(devices, [("v.com/c=n", true), ("x", false)]);
    assert_eq!(
        run.command,
        CommandLine::Shell(Word { raw: "make".to_owned(), span: run_word_span(&run.command) })
    );
    all_wrong(&[
        ("RUN --network=hots x", "did you mean host?", "hots"),
        ("RUN --security=none x", "it has to be one of sandbox, insecure", "none"),
        ("RUN --device= x", "one device's name", ""),
        ("RUN --device=required x", "no device is named", "required"),
        ("RUN --mount=type=bind,tarket=/x y", "unexpected key \"tarket\"", "tarket"),
        ("RUN --mount=type=cache,target=/x,uid=me y", "invalid value for mount option uid", "me"),
    ]);
}

fn run_word_span(command: &CommandLine) -> crate::Span {
    match command {
        CommandLine::Shell(word) => word.span,
        CommandLine::Exec(_) => crate::Span::default(),
    }
}

#[test]
fn df_110_copy_and_add() {
    let paths = |source: &str| {
        let (sources, destination) = match kind(source) {
            InstructionKind::Copy(copy) => (copy.sources, copy.destination),
            InstructionKind::Add(add) => (add.sources, add.destination),
            other => panic!("{other:?}"),
        };
        let path = |source: CopySource| match source {
            CopySource::Path(word) => word.raw,
            CopySource::Heredoc(heredoc) => heredoc.name,
        };
        sources.into_iter().map(path).chain([destination.raw]).collect::<Vec<_>>()
    };
    assert_eq!(paths("COPY a b"), ["a", "b"]);
    assert_eq!(paths("COPY a \\\n  b\tc/"), ["a", "b", "c/"]);
    assert_eq!(paths("COPY [\"a b\", \"$c\"]"), ["a b", "$c"]);
    assert_eq!(paths("ADD https://x/y [z]* /"), ["https://x/y", "[z]*", "/"]);
    all_wrong(&[
        ("COPY", "COPY requires at least two arguments", "COPY"),
        ("COPY a", "destination could not be determined", "COPY a"),
        ("ADD [\"a\"]", "ADD requires at least two arguments, but only one was provided", "ADD [\"a\"]"),
        ("COPY [\"a\", 1]", "only string type", "1"),
        ("COPY --chmod=888 a b", "invalid mode \"888\"", "888"),
        ("COPY --chmod=u+q a b", "invalid mode", "u+q"),
        ("ADD --checksum=sha256:0 a b c", "--checksum can't be specified for multiple sources", "sha256:0"),
    ]);
    let InstructionKind::Add(add) = kind("ADD --keep-git-dir --unpack=false --checksum=$c --chmod=$m a b")
    else {
        panic!("ADD")
    };
    assert_eq!((add.keep_git_dir, add.unpack, add.link), (Some(true), Some(false), false));
}

#[test]
fn df_148_to_df_153_values() {
    for (source, expected) in [
        ("USER a b", "a b"),
        ("USER $u:$g", "$u:$g"),
        ("WORKDIR /a b", "/a b"),
        ("WORKDIR \"/a b\"", "\"/a b\""),
        ("MAINTAINER A <a@b.c>", "A <a@b.c>"),
        ("STOPSIGNAL SIGRTMIN+3", "SIGRTMIN+3"),
        ("STOPSIGNAL $s", "$s"),
    ] {
        let value = match kind(source) {
            InstructionKind::User(word)
            | InstructionKind::Workdir(word)
            | InstructionKind::Maintainer(word)
            | InstructionKind::Stopsignal(word) => word.raw,
            other => panic!("{other:?}"),
        };
        assert_eq!(value, expected, "{source}");
    }
    let InstructionKind::Expose(expose) = kind("EXPOSE 80 $PORTS 53/udp") else { panic!("EXPOSE") };
    assert_eq!(raw(&expose.ports), ["80", "$PORTS", "53/udp"]);
    for (source, expected) in [("VOLUME /a $b", ["/a", "$b"]), ("VOLUME [\" /a \", \"b c\"]", ["/a", "b c"])]
    {
        let InstructionKind::Volume(volume) = kind(source) else { panic!("{source}") };
        assert_eq!(raw(&volume.paths), expected, "{source}");
    }
    all_wrong(&[
        ("USER", "USER requires exactly one argument", "USER"),
        ("WORKDIR  ", "WORKDIR requires exactly one argument", "WORKDIR"),
        ("EXPOSE", "EXPOSE requires at least one argument", "EXPOSE"),
        ("VOLUME", "VOLUME requires at least one argument", "VOLUME"),
        ("VOLUME []", "VOLUME requires at least one argument", "VOLUME []"),
        ("VOLUME [\"a\", \" \"]", "can not be empty", "\" \""),
        ("STOPSIGNAL SIGFOO", "invalid signal: \"SIGFOO\"", "SIGFOO"),
    ]);
}

#[test]
fn df_156_healthcheck() {
    assert_eq!(kind("HEALTHCHECK none"), InstructionKind::Healthcheck(Healthcheck::None));
    let InstructionKind::Healthcheck(Healthcheck::Command(check)) = kind(
        "HEALTHCHECK --interval=1m30s --timeout=0s --start-period=5s --start-interval=1ms --retries=3 CMD curl x || exit 1",
    ) else {
        panic!("HEALTHCHECK")
    };
    let HealthcheckCommand { interval, timeout, start_period, start_interval, retries, command } = check;
    assert_eq!((interval, timeout), (Some(Duration::from_secs(90)), None));
    assert_eq!(
        (start_period, start_interval),
        (Some(Duration::from_secs(5)), Some(Duration::from_millis(1)))
    );
    assert_eq!((retries, command.is_exec()), (Some(3), false));
    assert_eq!(command.arguments(&[]), ["curl x || exit 1"]);
    let InstructionKind::Healthcheck(Healthcheck::Command(check)) = kind("HEALTHCHECK CMD [\"a\"]") else {
        panic!("HEALTHCHECK")
    };
    assert!(check.command.is_exec() && check.interval.is_none());
    all_wrong(&[
        ("HEALTHCHECK", "HEALTHCHECK requires at least one argument", "HEALTHCHECK"),
        ("HEALTHCHECK CMD", "a command after CMD", "HEALTHCHECK CMD"),
        ("HEALTHCHECK CMD []", "a command after CMD", "HEALTHCHECK CMD []"),
        ("HEALTHCHECK NONE x", "no arguments after NONE", "HEALTHCHECK NONE x"),
        ("HEALTHCHECK curl x", "unknown type \"curl\" in HEALTHCHECK: try CMD", "curl"),
        ("HEALTHCHECK --interval=5 CMD x", "invalid duration \"5\"", "5"),
        ("HEALTHCHECK --interval=5us CMD x", "cannot be less than 1ms", "5us"),
        ("HEALTHCHECK --retries=-1 CMD x", "invalid retries", "-1"),
        ("HEALTHCHECK --retires=1 CMD x", "did you mean --retries?", "--retires"),
    ]);
    let file = good("FROM a\nHEALTHCHECK --interval=1s NONE");
    assert_eq!(file.warnings[0].kind, WarningKind::FlagsWithoutCheck);
}

#[test]
fn df_158_shell() {
    let InstructionKind::Shell(shell) = kind("SHELL [\"/bin/bash\", \"-c\"]") else { panic!("SHELL") };
    assert_eq!(raw(&shell), ["/bin/bash", "-c"]);
    all_wrong(&[
        ("SHELL", "SHELL requires at least one argument", "SHELL"),
        ("SHELL []", "SHELL requires at least one argument", "SHELL []"),
        ("SHELL /bin/bash -c", "SHELL requires the arguments to be in JSON form", "/bin/bash -c"),
    ]);
}

#[test]
fn df_159_onbuild() {
    let InstructionKind::Onbuild(onbuild) = kind("onbuild  run a \\\n b") else { panic!("ONBUILD") };
    assert_eq!((onbuild.trigger.as_str(), onbuild.keyword), ("run a  b", Keyword::Run));
    all_wrong(&[
        ("ONBUILD", "ONBUILD requires at least one argument", "ONBUILD"),
        ("ONBUILD ONBUILD RUN a", "ONBUILD isn't allowed as an ONBUILD trigger", "ONBUILD"),
        ("ONBUILD from a", "FROM isn't allowed as an ONBUILD trigger", "from"),
        ("ONBUILD MAINTAINER a", "MAINTAINER isn't allowed as an ONBUILD trigger", "MAINTAINER"),
        ("ONBUILD RUNN a", "unknown instruction: RUNN (did you mean RUN?)", "RUNN"),
    ]);
    let file = good("FROM a\nONBUILD COPY --form=x a b");
    let WarningKind::BadTrigger(error) = &file.warnings[0].kind else { panic!("{:?}", file.warnings) };
    assert!(matches!(error.problem(), Problem::UnknownFlag { .. }));
    for (trigger, message) in [
        ("FROM a", "FROM isn't allowed"),
        ("ONBUILD RUN a", "ONBUILD isn't allowed"),
        ("RUN a\nRUN b", "single instruction"),
        ("", "single instruction"),
        ("RUNN", "did you mean RUN?"),
    ] {
        let error = parse_trigger(trigger, Escape::Backslash).expect_err(trigger);
        assert!(error.to_string().contains(message), "{trigger}: {error}");
    }
    let instruction = parse_instruction("FROM a AS b", Escape::Backslash).expect("a FROM");
    assert!(matches!(instruction.kind, InstructionKind::From(_)));
}

#[test]
fn the_text_of_a_step_is_one_line() {
    assert_eq!(one("RUN --network=none \\\n a && \\\n# c\n b").text, "RUN --network=none  a &&  b");
}
