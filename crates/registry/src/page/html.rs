//! How the pages look.

use std::fmt::Write as _;
use std::time::SystemTime;

use store::RepositoryName;

use super::{Image, Line, Tag};

const STYLE: &str = "\
:root{color-scheme:light dark;--line:#8884;--soft:#8882;--dim:#777}\
body{font:16px/1.5 system-ui,sans-serif;max-width:60rem;margin:2rem auto;padding:0 1rem}\
h1{font-size:1.5rem;overflow-wrap:anywhere}h2{font-size:1.15rem;margin:2rem 0 .5rem}\
a{color:#2563a8}@media(prefers-color-scheme:dark){a{color:#8ab8f0}:root{--dim:#999}}\
table{border-collapse:collapse;width:100%}th{text-align:left;font-weight:600;color:var(--dim)}\
td,th{padding:.35rem .75rem .35rem 0;border-bottom:1px solid var(--line);vertical-align:top;overflow-wrap:anywhere}\
td.n,th.n{text-align:right;white-space:nowrap;overflow-wrap:normal}\
code,pre{font:.875rem/1.45 ui-monospace,monospace}pre{background:var(--soft);padding:.6rem .8rem;border-radius:.4rem;overflow-x:auto;margin:.5rem 0}\
details{margin:.5rem 0}summary{cursor:pointer}.dim{color:var(--dim)}";

/// All repositories.
pub(super) fn repositories(host: &str, lines: &[Line], more: usize) -> String {
    let mut body = String::from("<h1>Repositories</h1>");
    if lines.is_empty() {
        let _ = write!(
            body,
            "<p>Nothing is here yet. What <code>lap build -t app</code> makes appears at once; push with</p>\
             <pre>docker tag app {host}/app\ndocker push {host}/app</pre>",
            host = escape(host)
        );
    } else {
        body.push_str("<table><thead><tr><th>Name<th>Tags<th class=n>Changed</thead><tbody>");
        for line in lines {
            let name = escape(line.name.as_str());
            let shown = line.tags.iter().take(8).map(|tag| escape(tag)).collect::<Vec<_>>().join(", ");
            let rest = line.tags.len().saturating_sub(8);
            let rest =
                if rest > 0 { format!(" <span class=dim>and {rest} more</span>") } else { String::new() };
            let changed = line.changed.map(ago).unwrap_or_default();
            let _ = write!(
                body,
                "<tr><td><a href=\"/r/{name}\">{name}</a><td>{shown}{rest}<td class=n>{changed}"
            );
        }
        body.push_str("</tbody></table>");
    }
    rest(&mut body, more);
    page("Repositories", &body)
}

/// One repository.
pub(super) fn repository(host: &str, name: &RepositoryName, tags: &[Tag], more: usize) -> String {
    let name = escape(name.as_str());
    let mut body = format!("<p><a href=\"/\">Repositories</a></p><h1>{name}</h1>");
    if tags.is_empty() {
        body.push_str("<p>There are manifests in it, and none has a tag.</p>");
    }
    for tag in tags {
        section(&mut body, host, &name, tag);
    }
    rest(&mut body, more);
    page(&name, &body)
}

fn section(body: &mut String, host: &str, name: &str, tag: &Tag) {
    let (host, text) = (escape(host), escape(&tag.name));
    let digest = tag.target.digest;
    let _ = write!(
        body,
        "<section><h2 id=\"{text}\">{text}</h2><pre>docker pull {host}/{name}:{text}\npodman pull {host}/{name}:{text}</pre>\
         <p class=dim>{} · <code>{digest}</code></p>",
        ago(tag.since)
    );
    if tag.parts > tag.images.len() {
        let _ = write!(
            body,
            "<p class=dim>An index of {} manifests, {} of them here.</p>",
            tag.parts,
            tag.images.len()
        );
    }
    for image in &tag.images {
        table(body, image);
    }
    body.push_str("</section>");
}

fn table(body: &mut String, image: &Image) {
    let count = image.layers.iter().filter(|layer| layer.blob.is_some()).count();
    let plural = if count == 1 { "" } else { "s" };
    let _ = write!(
        body,
        "<details><summary>{} · {} · {count} layer{plural}</summary><table><thead><tr><th>Made by<th class=n>Size<th class=n>Layer</thead><tbody>",
        escape(&image.what),
        size(image.size)
    );
    for layer in &image.layers {
        let instruction = if layer.instruction.is_empty() {
            "<span class=dim>not said</span>".to_owned()
        } else {
            escape(&layer.instruction)
        };
        let (bytes, digest) = match &layer.blob {
            Some((digest, bytes)) => {
                (size(*bytes), format!("<code title=\"{digest}\">{}</code>", digest.short()))
            }
            None => (String::new(), String::new()),
        };
        let _ = write!(body, "<tr><td><code>{instruction}</code><td class=n>{bytes}<td class=n>{digest}");
    }
    body.push_str("</tbody></table></details>");
}

fn rest(body: &mut String, more: usize) {
    if more > 0 {
        let _ = write!(body, "<p class=dim>And {more} more, which the API lists.</p>");
    }
}

fn page(title: &str, body: &str) -> String {
    format!(
        "<!doctype html><html lang=en><meta charset=utf-8><meta name=viewport content=\"width=device-width\">\
         <title>{title}</title><style>{STYLE}</style><body>{body}</body></html>\n"
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

/// `3 hours ago`
fn ago(time: SystemTime) -> String {
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
            assert_eq!(ago(SystemTime::now() - Duration::from_secs(seconds)), text);
        }
    }
}
