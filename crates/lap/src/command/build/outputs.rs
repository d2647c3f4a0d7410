//! `-o`: where the result of a build goes (DF-190 … DF-194).

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, IsTerminal};
use std::path::PathBuf;

use archive::partial::{self, Partial};
use base::{IoContext, Kind};
use builder::Export;
use layer::Encoding;

use super::Stream;
use crate::failure::{Failure, Outcome};

/// What was asked for, in order.
#[derive(Default)]
pub struct Outputs(Vec<Output>);

struct Output {
    export: Export,
    /// The file; none for standard output, and for what is not a stream.
    file: Option<PathBuf>,
    /// The file while it is written.
    partial: Option<Partial>,
}

impl Outputs {
    /// As the builder knows them.
    pub fn exports(&self) -> Vec<Export> {
        self.0.iter().map(|output| output.export.clone()).collect()
    }

    /// Clears what interrupted builds left beside the files.
    pub fn clear(&self, say: impl Fn(&str)) {
        self.0.iter().filter_map(|output| output.file.as_deref()).for_each(|file| partial::clear(file, &say));
    }

    /// Opens the stream of an output.
    pub fn stream(&mut self, index: usize) -> io::Result<Stream> {
        let output = self.0.get_mut(index).ok_or(io::ErrorKind::NotFound)?;
        let Some(file) = &output.file else { return Ok(Box::new(io::stdout())) };
        if file.metadata().is_ok_and(|metadata| !metadata.is_file()) {
            let opened = File::options().write(true).open(file).context("open", file).map_err(named)?;
            return Ok(Box::new(opened));
        }
        let (partial, stream) = Partial::create(file).map_err(named)?;
        output.partial = Some(partial);
        Ok(Box::new(stream))
    }

    /// Everything is written: files get their names.
    pub fn commit(mut self) -> Outcome {
        self.0
            .iter_mut()
            .filter_map(|output| output.partial.take())
            .try_for_each(|partial| Ok(partial.commit()?))
    }
}

/// An error of a file as the stream's users know errors, with its path.
fn named(error: base::IoError) -> io::Error {
    io::Error::new(error.source.kind(), error)
}

/// Reads all `-o`.
pub fn parse(texts: &[String]) -> Outcome<Outputs> {
    let outputs = texts.iter().map(|text| parse_one(text)).collect::<Outcome<Vec<_>>>()?;
    let to_stdout =
        outputs.iter().filter(|output| output.file.is_none() && is_stream(&output.export)).count();
    if to_stdout > 1 {
        return Err(Failure::new(Kind::Invalid, "only one output can go to standard output")
            .hint("give the others a dest"));
    }
    if to_stdout == 1 && io::stdout().is_terminal() {
        return Err(Failure::new(Kind::Invalid, "an archive cannot be written to a terminal")
            .hint("add dest=FILE, or redirect the output"));
    }
    Ok(Outputs(outputs))
}

fn is_stream(export: &Export) -> bool {
    matches!(export, Export::Oci | Export::Docker | Export::Tar)
}

fn parse_one(text: &str) -> Outcome<Output> {
    let wrong = |reason: String| {
        Failure::new(
            Kind::Invalid,
            format!("invalid output {}: {reason}", base::text::bytes(text.as_bytes())),
        )
    };
    let of = |export, file| Output { export, file, partial: None };
    if text == "-" {
        return Ok(of(Export::Tar, None));
    }
    if !text.contains('=') {
        return Ok(of(Export::Local { directory: PathBuf::from(text) }, None));
    }
    let mut fields: BTreeMap<&str, &str> = BTreeMap::new();
    for field in text.split(',') {
        let (name, value) =
            field.split_once('=').ok_or_else(|| wrong(format!("{field} is not of the form name=value")))?;
        fields.insert(name, value);
    }
    let directory = fields.get("dest").and_then(|path| std::path::Path::new(path).parent());
    if let Some(directory) = directory.filter(|path| !path.as_os_str().is_empty() && !path.is_dir())
        && fields.get("type") != Some(&"local")
    {
        // Said now, and not when everything is built.
        return Err(wrong(format!("there is no directory {}", base::text::path(directory)))
            .hint("create it first, or name another dest"));
    }
    let kind = fields.remove("type").ok_or_else(|| wrong("there is no type=".to_owned()))?;
    let destination = fields.remove("dest").filter(|path| *path != "-").map(PathBuf::from);
    if let Some(name) = fields.keys().next() {
        return Err(wrong(format!("the attribute {name} is not supported")));
    }
    match (kind, destination) {
        ("oci", file) => Ok(of(Export::Oci, file)),
        ("docker", file) => Ok(of(Export::Docker, file)),
        ("tar", file) => Ok(of(Export::Tar, file)),
        ("local", Some(directory)) => Ok(of(Export::Local { directory }, None)),
        ("local", None) => Err(wrong("dest= is required for type=local".to_owned())),
        ("image", None) => Ok(of(Export::Store, None)),
        ("image", Some(_)) => Err(wrong("dest= has no meaning for type=image".to_owned())),
        (other, _) => Err(wrong(format!("the type {other} is not supported"))
            .hint("the types are oci, docker, local, tar and image")),
    }
}

/// Reads `KIND[:LEVEL]`.
pub fn compression(text: &str) -> Result<Encoding, String> {
    let (kind, level) = match text.split_once(':') {
        Some((kind, level)) => {
            (kind, Some(level.parse::<u8>().map_err(|_| format!("{level} is not a level"))?))
        }
        None => (text, None),
    };
    match (kind, level) {
        ("gzip", None) => Ok(Encoding::DEFAULT),
        ("gzip", Some(level @ 0..=9)) => Ok(Encoding::Gzip(level)),
        ("zstd", None) => Ok(Encoding::Zstd(3)),
        ("zstd", Some(level @ 1..=22)) => Ok(Encoding::Zstd(level)),
        ("uncompressed", None) => Ok(Encoding::Plain),
        _ => Err("gzip[:0-9], zstd[:1-22] and uncompressed are known".to_owned()),
    }
}
