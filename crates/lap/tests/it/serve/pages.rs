//! The pages at `/` in a real browser, which executes no scripts of theirs: nothing is wider than a phone, everything can be read, by day and by night.
//!
//! What is in the pages is tested without a browser (`crates/registry/tests/pages.rs`).

use std::process::{Command, Output};

use serde_json::Value;

use super::{Served, said_aloud};
use crate::environment::{Environment, path_text, tool};

/// What is measured of a page that is shown in a frame. Of text it is how much it stands out from what lies behind it, as WCAG defines it.
const MEASURE: &str = r#"
const rgba = text => { const n = text.match(/[\d.]+/g).map(Number); return n.length < 4 ? [...n, 1] : n; };
const over = (top, below) => [0, 1, 2].map(i => top[i] * top[3] + below[i] * (1 - top[3])).concat(1);
const luminance = color => color.slice(0, 3).map(value => value / 255)
  .map(value => value <= 0.03928 ? value / 12.92 : ((value + 0.055) / 1.055) ** 2.4)
  .reduce((sum, value, i) => sum + value * [0.2126, 0.7152, 0.0722][i], 0);
function measure(frame) {
  const view = frame.contentWindow, page = frame.contentDocument, root = page.documentElement;
  page.querySelectorAll('details').forEach(details => details.open = true);
  page.body.style.backgroundColor = 'Canvas';
  let contrast = 21;
  for (const element of page.body.querySelectorAll('*')) {
    if (![...element.childNodes].some(node => node.nodeType == 3 && node.data.trim())) continue;
    let layers = [], behind = element;
    for (; behind != root; behind = behind.parentElement) layers.push(rgba(view.getComputedStyle(behind).backgroundColor));
    const background = layers.reverse().reduce((below, layer) => over(layer, below), [255, 255, 255, 1]);
    const text = over(rgba(view.getComputedStyle(element).color), background);
    const [dark, light] = [luminance(text), luminance(background)].sort((a, b) => a - b);
    contrast = Math.min(contrast, (light + 0.05) / (dark + 0.05));
  }
  const commands = [...page.querySelectorAll('pre')];
  return {
    width: frame.clientWidth, needed: root.scrollWidth, contrast,
    dark: view.matchMedia('(prefers-color-scheme: dark)').matches,
    selected: commands.length > 0 && commands.every(command => view.getComputedStyle(command).userSelect == 'all'),
    wide: [...page.querySelectorAll('.wide')].filter(cell => cell.offsetWidth > 0).length,
  };
}
onload = () => {
  const measured = [...document.querySelectorAll('iframe')].map(measure);
  document.getElementById('measured').textContent = JSON.stringify(measured);
};
"#;

/// Debian's chromium; what it prints, and what it complains about.
fn chromium(lap: &Environment, options: &[&str], address: &str) -> (String, String) {
    let profile = format!("--user-data-dir={}", lap.path("profile").display());
    let Output { status, stdout, stderr } = Command::new(tool("chromium", "chromium"))
        .args(["--headless=new", "--no-sandbox", "--disable-gpu", "--enable-logging=stderr", &profile])
        .args(["--virtual-time-budget=5000", "--window-size=1700,1000"])
        .args(options)
        .args(["--dump-dom", address])
        .output()
        .expect("chromium runs");
    let (shown, said) = (String::from_utf8_lossy(&stdout), String::from_utf8_lossy(&stderr));
    assert!(status.success() && !shown.is_empty(), "{said}");
    let complaints: Vec<&str> = said.lines().filter(|line| line.contains("CONSOLE")).collect();
    (shown.into_owned(), complaints.join("\n"))
}

/// Shows a page, without scripts, in a frame as wide as a phone and in a wide one, and measures both.
fn measure(lap: &Environment, options: &[&str], page: &str) -> Vec<Value> {
    let page = page.replace('&', "&amp;").replace('"', "&quot;");
    let frame = |width: u32| {
        format!(
            "<iframe sandbox='allow-same-origin' style='border:0;width:{width}px;height:900px' srcdoc=\"{page}\"></iframe>"
        )
    };
    let all = format!(
        "<!DOCTYPE html><meta charset=utf-8><meta name=color-scheme content='light dark'>{}{}<pre id=measured></pre><script>{MEASURE}</script>",
        frame(360),
        frame(1200)
    );
    let file = lap.write("measure.html", all);
    let (shown, complaints) = chromium(lap, options, &format!("file://{}", path_text(&file)));
    assert_eq!(complaints, "");
    let measured = shown.split("<pre id=\"measured\">").nth(1).and_then(|rest| rest.split("</pre>").next());
    serde_json::from_str(measured.expect("what was measured"))
        .unwrap_or_else(|error| panic!("{error}: {shown}"))
}

#[test]
fn rs_180_pages_in_a_browser() {
    if std::env::var_os("LAP_TEST_ALL").is_none() {
        said_aloud("the pages of the registry in a browser: LAP_TEST_ALL=1 tries chromium");
        return;
    }
    let lap = Environment::with_base();
    let long = "echo without-a-space-".to_owned() + &"x".repeat(300);
    lap.built(&format!(
        "FROM base:1\nENV WORDS=\"<b>bold</b> & 'quoted'\"\nRUN {long} >/made\nCMD [\"true\"]\n"
    ));
    lap.lap(["tag", "app", &format!("a-name/{}/that-is-long:1.0-rc.1", "long".repeat(20))]).success();
    let served = Served::start(&lap, 0, &[]);
    for path in ["/", "/r/app", "/r/nothing"] {
        let (_, reply) = served.request(&format!("GET {path} HTTP/1.1\r\nAccept: text/html"), b"");
        let page = reply.split_once("\r\n\r\n").expect("a body").1;
        // As it comes, it breaks no rule that the registry gives the browser.
        let address = format!("http://{}{path}", served.address);
        let (shown, complaints) = chromium(&lap, &[], &address);
        let complaints: Vec<&str> = complaints.lines().filter(|line| !line.contains("404")).collect();
        assert_eq!(complaints, [] as [&str; 0], "{path}");
        assert!(shown.contains("<main>"), "{shown}");
        for (options, is_dark) in [(&[][..], false), (&["--force-dark-mode"], true)] {
            for shown in measure(&lap, options, page) {
                assert_eq!(shown["dark"], is_dark, "{path}: {shown}");
                assert!(shown["needed"].as_u64() <= shown["width"].as_u64(), "{path} is too wide: {shown}");
                // WCAG's level AA.
                assert!(shown["contrast"].as_f64() >= Some(4.5), "{path} cannot be read: {shown}");
                assert_eq!(shown["selected"], path != "/r/nothing", "{path}: {shown}");
                let has_wide = shown["wide"].as_u64() > Some(0);
                assert_eq!(has_wide, path != "/r/nothing" && shown["width"] == 1200, "{path}: {shown}");
            }
        }
    }
    served.stop();
}
