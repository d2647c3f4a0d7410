use super::*;

fn ignores(source: &str) -> IgnoreFile {
    IgnoreFile::parse(source.as_bytes()).expect(source)
}

#[track_caller]
fn check(source: &str, table: &[(&str, bool)]) {
    let file = ignores(source);
    for (path, expected) in table {
        assert_eq!(file.verdict(path.as_bytes()).is_excluded, *expected, "{source:?} {path}");
    }
}

#[test]
fn df_185_lines() {
    let file = ignores("\u{feff}a\n# comment\n\n  b/  \r\n#c\n! d \n /e\n  # f\n./g/../h\n");
    let lines: Vec<_> = file.patterns().iter().map(|p| (p.line(), p.text.as_str(), p.is_exception)).collect();
    let expected = [
        (1, "a", false),
        (4, "b/", false),
        (6, "! d", true),
        (7, "/e", false),
        (8, "# f", false),
        (9, "./g/../h", false),
    ];
    assert_eq!(lines, expected);
    check(
        "\u{feff}a\n b/ \r\n/e\n./g/../h\n",
        &[("a", true), ("b", true), ("b/x", true), ("e", true), ("h", true), ("g", false)],
    );
    assert_eq!(file.patterns()[3].span.start, "\u{feff}a\n# comment\n\n  b/  \r\n#c\n! d \n ".len());
}

#[test]
fn df_185_df_186_malformed_lines_are_errors() {
    for (source, line) in [("a\n!\n", 2), ("!  ", 1), ("a\nb\n[", 3), ("a[]x", 1), ("\\", 1), ("[a-]", 1)] {
        let error = IgnoreFile::parse(source.as_bytes()).expect_err(source);
        assert_eq!(error.line(), line, "{source:?}");
        assert!(error.to_string().contains(&format!("on line {line}")), "{error}");
    }
}

#[test]
fn df_186_one_pattern() {
    for (pattern, path, expected) in [
        ("**", "file", true),
        ("**", "dir/file", true),
        ("**/", "file", true),
        ("**/**", "dir/file", true),
        ("dir/**", "dir/file", true),
        ("dir/**", "dir/dir2/file", true),
        ("dir/**", "dir", false),
        ("**/dir", "dir", true),
        ("**/dir2/*", "dir/dir2/file", true),
        ("**/dir2/*", "dir/dir2/dir2/file", true),
        ("**file", "file", true),
        ("**file", "dir/file", true),
        ("**file", "xfile", true),
        ("**/file", "xfile", false),
        ("**/file", "dir/dir/file", true),
        ("**/file*", "dir/dir/file.txt", true),
        ("**/file*txt", "dir/dir/file.txt", true),
        ("**/file*.txt*", "dir/dir/file.txt", true),
        ("**/**/*.txt", "dir/dir/file.txt", true),
        ("**/**/*.txt2", "dir/dir/file.txt", false),
        ("a**/*.txt", "a/file.txt", true),
        ("a**/*.txt", "a/dir/file.txt", true),
        ("a**/*.txt", "a/dir/dir/file.txt", true),
        ("a/*.txt", "a/dir/file.txt", false),
        ("a/*.txt", "a/file.txt", true),
        ("a/*.txt**", "a/file.txt", true),
        ("a**", "ab", true),
        ("a**", "a/b", true),
        ("a**b", "ab", true),
        ("a**b", "ax/b", true),
        ("a**b", "axb", false),
        ("a[b-d]e", "ae", false),
        ("a[b-d]e", "ace", true),
        ("a[^b-d]e", "aze", true),
        (".*", ".foo", true),
        (".*", "foo", false),
        ("abc.def", "abcdef", false),
        ("abc.def", "abc.def", true),
        ("abc.def", "abcZdef", false),
        ("abc?def", "abcZdef", true),
        ("abc?def", "abc/def", false),
        ("abc?def", "abcdef", false),
        ("a\\*b", "a*b", true),
        ("a\\*b", "axb", false),
        ("**/foo/bar", "foo/bar", true),
        ("**/foo/bar", "dir/foo/bar", true),
        ("abc/**", "abc/def/ghi", true),
        ("**/.foo", ".foo", true),
        ("**/.foo", "bar.foo", false),
        ("./bar.*", "bar.x", true),
        ("a(b)c/def", "a(b)c/def", true),
        ("a.|)$(}+{bc", "a.|)$(}+{bc", true),
        (
            "dist/proxy.py-2.4.0rc3.dev36+g08acad9-py3-none-any.whl",
            "dist/proxy.py-2.4.0rc3.dev36+g08acad9-py3-none-any.whl",
            true,
        ),
        ("dist/*.whl", "dist/proxy.py-2.4.0rc3.dev36+g08acad9-py3-none-any.whl", true),
        ("A", "a", false),
        ("../x", "x", false),
        ("*", "a", true),
        ("*", "a/b", true),
    ] {
        assert_eq!(ignores(pattern).verdict(path.as_bytes()).is_excluded, expected, "{pattern} {path}");
    }
}

#[test]
fn df_186_the_last_matching_line_wins() {
    check("docs\n!docs/README.md", &[("docs", true), ("docs/a", true), ("docs/README.md", false)]);
    check("!docs/README.md\ndocs", &[("docs/README.md", true)]);
    check(
        "docs/\n!docs/a\ndocs/a/b",
        &[("docs/x", true), ("docs/a", false), ("docs/a/c", false), ("docs/a/b", true)],
    );
    check(
        "*.md\n!README*.md\nREADME-secret.md",
        &[("a.md", true), ("README.md", false), ("README-secret.md", true)],
    );
    check("a\n!a\na", &[("a", true), ("a/b", true)]);
    let file = ignores("x\n\ndocs\n!docs/README.md\n");
    let verdict = file.verdict(b"docs/README.md");
    assert_eq!(file.pattern(verdict).map(IgnorePattern::line), Some(4));
    assert_eq!(file.pattern(file.verdict(b"docs/a")).map(IgnorePattern::line), Some(3));
    assert!(file.pattern(file.verdict(b"src")).is_none());
}

#[test]
fn df_187_excluded_directories_are_looked_into() {
    check("*\n!src\n", &[("a", true), ("src", false), ("src/a/b", false)]);
    for (source, directory, expected) in [
        ("*\n!src/keep", "src", true),
        ("*\n!src/keep", "other", false),
        ("*\n!src/keep", "srcs", false),
        ("*\n!src/keep", "src/other", false),
        ("*\n!src", "src/any", true),
        ("a\n!**/keep", "a/b/c", true),
        ("a\n!*/keep", "a", true),
        ("a\n!*/keep", "a/b", false),
        ("!a/keep\na", "a", false),
        ("a", "a", false),
        ("a", "b", true),
        ("a\n!a/b/**", "a", true),
        ("a\n!a/b/**", "a/c", false),
        ("a\n!a/[bc]/x", "a/b", true),
        ("a\n!a/[bc]/x", "a/d", false),
        ("*\n!x", "", true),
    ] {
        assert_eq!(
            ignores(source).could_include_below(directory.as_bytes()),
            expected,
            "{source:?} {directory}"
        );
    }
}

#[test]
fn df_188_the_files_themselves_can_be_ignored() {
    check("Dockerfile\n.dockerignore", &[("Dockerfile", true), (".dockerignore", true)]);
}

#[test]
fn df_189_the_root_is_never_ignored() {
    check(".\n/\n", &[("a", false), ("a/b", false)]);
}

#[test]
fn patterns_from_flags() {
    let file = IgnoreFile::of_patterns(["*.o", "!keep.o"]).expect("patterns");
    assert!(file.verdict(b"a.o").is_excluded && !file.verdict(b"keep.o").is_excluded);
}

#[test]
fn cleans_paths_as_go_does() {
    for (path, expected) in [
        ("a//b/", "a/b"),
        ("./a", "a"),
        ("a/..", "."),
        ("../../a", "../../a"),
        ("/../a", "/a"),
        ("/", "/"),
        ("a/./b/../c", "a/c"),
    ] {
        assert_eq!(clean(path.as_bytes()), expected.as_bytes(), "{path}");
    }
}

mod equals_the_plain_definition {
    use proptest::prelude::*;

    use super::*;

    /// Every pattern against the path and all directories above it, in order.
    fn plainly(file: &IgnoreFile, path: &[u8]) -> bool {
        let mut excluded = false;
        for pattern in file.patterns() {
            let ends = path
                .iter()
                .enumerate()
                .filter(|(_, byte)| **byte == b'/')
                .map(|(at, _)| at)
                .chain([path.len()]);
            if ends.into_iter().any(|end| pattern.tokens.matches(&path[..end])) {
                excluded = !pattern.is_exception;
            }
        }
        excluded
    }

    proptest! {
        #[test]
        fn for_any_patterns(lines in prop::collection::vec("!?[ab*?/]{1,6}", 1..6), path in "[ab]{1,2}(/[ab]{1,2}){0,3}") {
            let file = IgnoreFile::parse(lines.join("\n").as_bytes()).expect("patterns without classes");
            let excluded = plainly(&file, path.as_bytes());
            prop_assert_eq!(file.verdict(path.as_bytes()).is_excluded, excluded);
            if !excluded {
                for (at, _) in path.match_indices('/') {
                    prop_assert!(file.could_include_below(&path.as_bytes()[..at]), "{}", &path[..at]);
                }
            }
        }

        #[test]
        fn any_bytes_are_a_file_or_an_error(source in prop::collection::vec(any::<u8>(), 0..60)) {
            if let Ok(file) = IgnoreFile::parse(&source) {
                file.verdict(&source);
                file.could_include_below(&source);
            }
        }
    }
}
