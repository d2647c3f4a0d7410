//! How the pages look. They are well-formed XML, too: tests read them strictly.

use std::fmt::Write as _;
use std::time::SystemTime;

use image::Timestamp;
use store::RepositoryName;

use super::{Image, Line, Place, Tag, commands};

/// An icon, so that browsers ask for none: three layers.
const ICON: &str = "data:image/svg+xml,%3Csvg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 16 16'%3E%3Cg fill='%232563a8'%3E\
%3Cpath d='M1 4h14v2H1zM1 8h14v2H1zM1 12h14v2H1z'/%3E%3C/g%3E%3C/svg%3E";

const STYLE: &str = "\
:root{color-scheme:light dark;--line:#8884;--soft:#8882;--dim:#595959;--link:#2563a8}\
@media(prefers-color-scheme:dark){:root{--dim:#a8a8a8;--link:#8ab8f0}}\
body{font:16px/1.5 system-ui,sans-serif;max-width:60rem;margin:1.5rem auto;padding:0 1rem}\
h1{font-size:1.5rem;margin:1rem 0;overflow-wrap:anywhere}h2{font-size:1.15rem;margin:2rem 0 .5rem;overflow-wrap:anywhere}\
a{color:var(--link)}\
table{border-collapse:collapse;width:100%}th{text-align:left;font-weight:600;color:var(--dim)}\
td,th{padding:.35rem .75rem .35rem 0;border-bottom:1px solid var(--line);vertical-align:top;overflow-wrap:anywhere}\
td:last-child,th:last-child{padding-right:0}\
.n{text-align:right;white-space:nowrap;overflow-wrap:normal}\
code,pre{font:.875rem/1.45 ui-monospace,monospace;overflow-wrap:anywhere}\
pre{background:var(--soft);padding:.4rem .8rem;border-radius:.4rem;margin:.3rem 0;white-space:pre-wrap;user-select:all}\
td code{white-space:pre-wrap}.n code{white-space:nowrap;overflow-wrap:normal}details{margin:.5rem 0}summary{cursor:pointer}.dim{color:var(--dim)}\
@media(max-width:30rem){.wide{display:none}}";

/// All repositories.
pub(super) fn repositories(place: &Place, lines: &[Line], more: usize) -> String {
    let mut body = String::from("<h1>Repositories</h1>");
    if lines.is_empty() {
        body.push_str(
            "<p>Nothing is here yet. What <code>lap build -t app</code> makes appears at once.</p>",
        );
    } else {
        body.push_str(
            "<table><thead><tr><th scope='col'>Name</th><th scope='col'>Tags</th><th scope='col' class='n wide'>Changed</th></tr></thead><tbody>",
        );
        for line in lines {
            let name = escape(line.name.as_str());
            let shown = line.tags.iter().take(8).map(|tag| escape(tag)).collect::<Vec<_>>().join(", ");
            let rest = line.tags.len().saturating_sub(8);
            let rest =
                if rest > 0 { format!(" <span class='dim'>and {rest} more</span>") } else { String::new() };
            let changed = line.changed.map(ago).unwrap_or_default();
            let _ = write!(
                body,
                "<tr><td><a href='/r/{name}'>{name}</a></td><td>{shown}{rest}</td><td class='n wide'>{changed}</td></tr>"
            );
        }
        body.push_str("</tbody></table>");
    }
    rest(&mut body, more);
    if !place.read_only {
        body.push_str("<h2>To push an image</h2>");
        copied(&mut body, &commands::push(place));
    }
    configuration(&mut body, place);
    page("Repositories", &body)
}

/// One repository.
pub(super) fn repository(place: &Place, name: &RepositoryName, tags: &[Tag], more: usize) -> String {
    let name = escape(name.as_str());
    let mut body = format!("<nav><a href='/'>Repositories</a></nav><h1>{name}</h1>");
    if tags.is_empty() {
        body.push_str("<p>There are manifests in it, and none has a tag.</p>");
    }
    for tag in tags {
        section(&mut body, place, &name, tag);
    }
    rest(&mut body, more);
    configuration(&mut body, place);
    page(&name, &body)
}

/// Why something cannot be shown.
pub(super) fn refusal(title: &str, text: &str) -> String {
    page(title, &format!("<nav><a href='/'>Repositories</a></nav><h1>{title}</h1><p>{text}</p>"))
}

fn section(body: &mut String, place: &Place, name: &str, tag: &Tag) {
    let text = escape(&tag.name);
    let digest = tag.target.digest;
    let _ = write!(body, "<section><h2 id='{text}'>{text}</h2>");
    match tag.images.as_slice() {
        [image] if image.is_artifact => copied(body, &commands::pull_artifact(place, name, &tag.name)),
        _ => copied(body, &commands::pull(place, name, &tag.name)),
    }
    let _ = write!(body, "<p class='dim'>{} · <code>{digest}</code></p>", ago(tag.since));
    if tag.parts > tag.images.len() {
        let _ = write!(
            body,
            "<p class='dim'>An index of {} manifests, {} of them here.</p>",
            tag.parts,
            tag.images.len()
        );
    }
    for image in &tag.images {
        table(body, image);
    }
    if !tag.attached.is_empty() {
        body.push_str("<p>Attached:</p><ul>");
        for (kind, digest) in &tag.attached {
            let _ = write!(
                body,
                "<li>{} <code class='dim' title='{digest}'>{}</code></li>",
                escape(kind),
                digest.short()
            );
        }
        body.push_str("</ul>");
    }
    body.push_str("</section>");
}

/// Commands, each of which is selected as a whole by one click.
fn copied(body: &mut String, commands: &[String]) {
    for command in commands {
        let _ = write!(body, "<pre>{}</pre>", escape(command));
    }
}

/// What docker has to be told before its commands work.
fn configuration(body: &mut String, place: &Place) {
    if let Some(text) = commands::configuration(place) {
        let _ = write!(
            body,
            "<h2>Plain HTTP</h2><p>This registry does not speak TLS. docker takes that when its daemon's <code>daemon.json</code> has</p><pre>{}</pre>",
            escape(&text)
        );
    }
}

fn table(body: &mut String, image: &Image) {
    let count = image.layers.iter().filter(|layer| layer.blob.is_some()).count();
    let plural = if count == 1 { "" } else { "s" };
    let _ = write!(
        body,
        "<details><summary>{} · {} · {count} layer{plural}</summary><table><thead><tr><th scope='col'>Made by</th><th scope='col' class='n'>Size</th><th scope='col' class='n wide'>Layer</th></tr></thead><tbody>",
        escape(&image.what),
        size(image.size)
    );
    for layer in &image.layers {
        let instruction = if layer.instruction.is_empty() {
            "<span class='dim'>not said</span>".to_owned()
        } else {
            escape(&layer.instruction)
        };
        let (bytes, digest) = match &layer.blob {
            Some((digest, bytes)) => {
                (size(*bytes), format!("<code title='{digest}'>{}</code>", digest.short()))
            }
            None => (String::new(), String::new()),
        };
        let _ = write!(
            body,
            "<tr><td><code>{instruction}</code></td><td class='n'>{bytes}</td><td class='n wide'>{digest}</td></tr>"
        );
    }
    body.push_str("</tbody></table></details>");
}

fn rest(body: &mut String, more: usize) {
    if more > 0 {
        let _ = write!(body, "<p class='dim'>And {more} more, which the API lists.</p>");
    }
}

fn page(title: &str, body: &str) -> String {
    format!(
        "<!DOCTYPE html><html lang='en'><head><meta charset='utf-8'/><meta name='viewport' content='width=device-width, initial-scale=1'/>\
         <link rel='icon' href=\"{ICON}\"/><title>{title} · registry</title><style>{STYLE}</style></head><body><main>{body}</main></body></html>\n"
    )
}

/// Text in HTML. What would hide or reorder text is shown for what it is.
fn escape(text: &str) -> String {
    base::text::line(text)
        .replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
        .replace('"', "&quot;")
        .replace('\'', "&#39;")
}

/// `12.3 MB`
fn size(bytes: u64) -> String {
    const UNITS: [&str; 5] = ["kB", "MB", "GB", "TB", "PB"];
    if bytes < 1000 {
        return format!("{bytes} B");
    }
    let mut value = bytes as f64 / 1000.0;
    let mut unit = UNITS.iter();
    let mut name = unit.next().copied().unwrap_or_default();
    while value >= 999.95 {
        let Some(next) = unit.next().copied() else { break };
        (value, name) = (value / 1000.0, next);
    }
    format!("{value:.1} {name}")
}

/// `3 hours ago`, and exactly when.
fn ago(time: SystemTime) -> String {
    let seconds = time.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_secs();
    let exact = Timestamp::from_unix(i64::try_from(seconds).unwrap_or(i64::MAX));
    format!("<time datetime='{exact}' title='{exact}'>{}</time>", since(time))
}

/// `3 hours ago`
fn since(time: SystemTime) -> String {
    let seconds = SystemTime::now().duration_since(time).unwrap_or_default().as_secs();
    let (count, unit) = match seconds {
        0..60 => return "just now".to_owned(),
        60..3600 => (seconds / 60, "minute"),
        3600..86400 => (seconds / 3600, "hour"),
        _ => (seconds / 86400, "day"),
    };
    format!("{count} {unit}{} ago", if count == 1 { "" } else { "s" })
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn text_from_outside_stays_text() {
        assert_eq!(escape("<script>'\"&"), "&lt;script&gt;&#39;&quot;&amp;");
        assert_eq!(escape("a\u{202e}b\u{1b}"), "a\\u{202e}b\\u{1b}");
    }

    #[test]
    fn sizes_and_times() {
        for (bytes, text) in
            [(0, "0 B"), (999, "999 B"), (1000, "1.0 kB"), (999_949, "999.9 kB"), (999_950, "1.0 MB")]
        {
            assert_eq!(size(bytes), text);
        }
        for (seconds, text) in
            [(1, "just now"), (60, "1 minute ago"), (7200, "2 hours ago"), (864_000, "10 days ago")]
        {
            assert_eq!(since(SystemTime::now() - Duration::from_secs(seconds)), text);
        }
    }
}
