//! `SOURCE_DATE_EPOCH=context`: the newest time of a file in the main context, found out before anything is planned (DF-166).

use std::borrow::Cow;

use dockerfile::{Dockerfile, InstructionKind};

use super::globals::EPOCH;
use super::{Resolver, unresolved};
use crate::error::BuildError;
use crate::request::{Epoch, Request};

/// The request with the number in place of the word, wherever that was said: so it is the value of the ARG, too.
pub(super) fn resolved<'r>(
    file: &Dockerfile,
    request: &'r Request,
    resolver: &dyn Resolver,
) -> Result<Cow<'r, Request>, BuildError> {
    let newest = || resolver.newest().map_err(|error| unresolved(error, span(file)));
    let text = |seconds: Option<i64>| seconds.map_or_else(String::new, |seconds| seconds.to_string());
    let argument = request.build_args.iter().rposition(|(name, _)| name == EPOCH);
    let said = argument.and_then(|place| request.build_args.get(place)).map(|(_, value)| value.as_str());
    match (request.source_date_epoch, said) {
        (Some(Epoch::Context), _) => {
            let source_date_epoch = newest()?.map(Epoch::At);
            Ok(Cow::Owned(Request { source_date_epoch, ..request.clone() }))
        }
        (None, Some(Epoch::CONTEXT)) | (None, None) if said.is_some() || is_default(file) => {
            let mut resolved = request.clone();
            resolved.build_args.push((EPOCH.to_owned(), text(newest()?)));
            Ok(Cow::Owned(resolved))
        }
        _ => Ok(Cow::Borrowed(request)),
    }
}

/// Whether a global ARG has the word as its default.
fn is_default(file: &Dockerfile) -> bool {
    declarations(file).any(|declaration| {
        let default = declaration.default.as_ref().map(|word| word.raw.trim_matches(['"', '\'']));
        default == Some(Epoch::CONTEXT)
    })
}

/// Where the ARG stands, if there is one.
fn span(file: &Dockerfile) -> dockerfile::Span {
    declarations(file).last().map(|declaration| declaration.span).unwrap_or_default()
}

fn declarations(file: &Dockerfile) -> impl Iterator<Item = &dockerfile::instruction::ArgDeclaration> {
    let declarations = file.globals.iter().flat_map(|instruction| match &instruction.kind {
        InstructionKind::Arg(arg) => arg.declarations.as_slice(),
        _ => &[],
    });
    declarations.filter(|declaration| declaration.name.raw == EPOCH)
}
