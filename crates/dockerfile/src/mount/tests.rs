use super::*;

fn mount(text: &str) -> Result<Mount, String> {
    let spec = MountSpec::parse(&Word::unplaced(text)).map_err(|error| error.to_string())?;
    spec.resolve(|word| Ok(word.raw.replace("$V", "value"))).map_err(|error| error.to_string())
}

#[test]
fn df_094_df_095_bind() {
    let expected = BindMount { from: None, source: None, target: "/x".to_owned(), read_only: true };
    assert_eq!(mount("target=/x"), Ok(Mount::Bind(expected.clone())));
    assert_eq!(mount("TYPE=bind,dst=/x"), Ok(Mount::Bind(expected.clone())));
    assert_eq!(mount("type=BIND,destination=/x,ro"), Ok(Mount::Bind(expected.clone())));
    let writable = BindMount { read_only: false, ..expected.clone() };
    for text in ["target=/x,rw", "target=/x,readwrite=true", "target=/x,readonly=false"] {
        assert_eq!(mount(text), Ok(Mount::Bind(writable.clone())), "{text}");
    }
    let full = BindMount {
        from: Some(Word::unplaced("stage")),
        source: Some("a,b".to_owned()),
        target: "/value".to_owned(),
        ..expected
    };
    assert_eq!(mount("from=stage,\"source=a,b\",target=/$V"), Ok(Mount::Bind(full)));
}

#[test]
fn df_097_cache() {
    let Ok(Mount::Cache(cache)) = mount("type=cache,target=/c,id=$V,sharing=locked,mode=0700,uid=7,gid=8")
    else {
        panic!("a cache");
    };
    assert_eq!(cache.id.as_deref(), Some("value"));
    assert_eq!(
        (cache.sharing, cache.mode, cache.uid, cache.gid),
        (Sharing::Locked, Some(0o700), Some(7), Some(8))
    );
    assert!(!cache.read_only);
}

#[test]
fn df_100_df_101_df_102_tmpfs_secret_ssh() {
    let tmpfs = TmpfsMount { target: "/t".to_owned(), size: Some(64 << 20), read_only: false };
    assert_eq!(mount("type=tmpfs,target=/t,size=64m"), Ok(Mount::Tmpfs(tmpfs)));
    for (text, id, file, env) in [
        ("type=secret,id=a", "a", Some("/run/secrets/a"), None),
        ("type=secret,id=a/b", "a/b", Some("/run/secrets/b"), None),
        ("type=secret,source=a,target=/s", "a", Some("/s"), None),
        ("type=secret,target=/x/y", "y", Some("/x/y"), None),
        ("type=secret,id=a,env=A", "a", None, Some("A")),
        ("type=secret,id=a,env=A,target=/s,required,mode=0444", "a", Some("/s"), Some("A")),
    ] {
        let Ok(Mount::Secret(secret)) = mount(text) else { panic!("{text}") };
        assert_eq!(
            (secret.id.as_str(), secret.file().as_deref(), secret.env.as_deref()),
            (id, file, env),
            "{text}"
        );
    }
    let Ok(Mount::Ssh(ssh)) = mount("type=ssh,required=true") else { panic!("ssh") };
    assert_eq!((ssh.id.as_str(), ssh.required, ssh.target), ("default", true, None));
}

#[test]
fn df_049_df_103_refused() {
    for (text, message) in [
        ("", "unexpected key \"\""),
        ("type=bind", "target is required"),
        ("target=/", "can not be /"),
        ("type=volume,target=/x", "one of bind, cache, tmpfs, secret, ssh"),
        ("type=cahce,target=/x", "did you mean cache?"),
        ("tarket=/x", "did you mean target?"),
        ("target", "must be a key=value pair"),
        ("target=/x,size=1m", "size is not allowed for mounts of type bind"),
        ("target=/x,uid=1", "uid is not allowed for mounts of type bind"),
        ("type=tmpfs,target=/x,mode=7", "mode is not allowed for mounts of type tmpfs"),
        ("type=tmpfs,target=/x,size=big", "invalid size"),
        ("type=cache,target=/x,required", "required is not allowed"),
        ("type=secret,id=a,sharing=shared", "sharing is not allowed"),
        ("type=secret,id=a,from=x", "from is not allowed"),
        ("type=secret,id=a,source=b", "both source and id"),
        ("type=secret", "one of id and target"),
        ("type=ssh,source=x", "source is not allowed"),
        ("type=cache,target=/x,sharing=lockd", "did you mean locked?"),
        ("type=cache,target=/x,mode=9", "octal"),
        ("type=cache,target=/x,uid=-1", "has to be a number"),
        ("target=/x,ro=maybe", "true or false"),
        ("target=/x,from=$V", "doesn't support variable expansion"),
        ("target=$T,from=$V", "doesn't support variable expansion"),
        ("target=/x,\"source=a", "does not end"),
        ("\"target=/x\"y", "text after"),
        ("target=/\"x\"", "double quote within"),
        ("target=/x,", "unexpected key \"\""),
    ] {
        let error = mount(text).expect_err(text);
        assert!(error.contains(message), "{text}: {error}");
    }
}

#[test]
fn df_094_values_are_checked_after_expansion() {
    let spec = MountSpec::parse(&Word::unplaced("type=$T,target=/x,uid=$U")).expect("splits");
    let resolve = |kind: &str, uid: &str| {
        spec.resolve(|word| Ok(word.raw.replace("$T", kind).replace("$U", uid)))
            .map_err(|error| error.to_string())
    };
    assert!(matches!(resolve("cache", "5"), Ok(Mount::Cache(CacheMount { uid: Some(5), .. }))));
    assert!(resolve("bind", "5").expect_err("an error").contains("not allowed"));
    assert!(resolve("cache", "x").expect_err("an error").contains("has to be a number"));
}

#[test]
fn df_094_options_have_places() {
    let span = crate::span::Span { start: 50, end: 66, line: 3, column: 13, end_line: 3 };
    let error = MountSpec::parse(&Word { raw: "target=/x,sise=1".to_owned(), span }).expect_err("an error");
    assert_eq!(error.span().range(), 60..64);
}
