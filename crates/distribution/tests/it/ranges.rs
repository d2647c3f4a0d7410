//! Blobs that come in several ranges at a time, from registries of which each connection is slow (RC-066).

use std::sync::OnceLock;
use std::time::Duration;

use base::{Cancel, Classified, Kind};
use image::{Digest, Platform};

use crate::lab::{Lab, chain};
use crate::support::{Access, Fault, Registry, TestImage, image};

const MIB: usize = 1 << 20;
/// So much of it a second makes a connection slow.
const SLOW: Fault = Fault::Slow(12 * MIB);
/// How large a part is.
const PART: usize = 4 * MIB;

/// An image of one layer that is worth dividing. (It takes a while to make one.)
fn large() -> &'static TestImage {
    static IMAGE: OnceLock<TestImage> = OnceLock::new();
    IMAGE.get_or_init(|| image(&[36 * MIB]))
}

/// A registry with an image, of which the first answer is slow; and the digest of its layer.
fn slow(image: &TestImage) -> (Registry, String) {
    let registry = Registry::start();
    image.put(&registry, "app", "1");
    let layer = Digest::sha256(&image.layers[0]).to_string();
    registry.rule("GET", &layer, 1, SLOW);
    (registry, layer)
}

/// The ranges that were asked for: where they begin, and where they end if they say so.
fn ranges(registry: &Registry, layer: &str) -> Vec<Option<(usize, Option<usize>)>> {
    let range = |text: &str| {
        let (from, to) = text.strip_prefix("bytes=")?.split_once('-')?;
        Some((from.parse().ok()?, to.parse::<usize>().ok().map(|last| last + 1)))
    };
    registry.requests("GET", layer).iter().map(|request| range(request.header("range")?)).collect()
}

fn assert_came(lab: &Lab, image: &TestImage) {
    let layer = Digest::sha256(&image.layers[0]);
    assert!(lab.store.blobs().read(&layer, 1 << 30).expect("the layer") == image.layers[0]);
    assert_eq!(lab.partials(), []);
}

#[test]
fn rc_066_a_large_blob_comes_in_ranges_when_one_connection_is_slow() {
    let image = large();
    let (registry, layer) = slow(image);
    registry.rule("GET", &layer, usize::MAX, SLOW);
    let lab = Lab::new();
    lab.pull(&registry.name("app:1")).expect("a pull");
    assert_came(&lab, image);
    let asked = ranges(&registry, &layer);
    assert_eq!(asked[0], None, "it begins as one stream");
    let parts: Vec<_> = asked[1..].iter().map(|part| part.expect("a range")).collect();
    assert!(parts.len() >= 6, "{parts:?}");
    for pair in parts.windows(2) {
        assert_eq!(pair[0].1, Some(pair[1].0), "{parts:?}");
        assert_eq!(pair[1].0 - pair[0].0, PART, "{parts:?}");
    }
    assert_eq!(parts.last().expect("a range").1, Some(image.layers[0].len()));
}

#[test]
fn rc_066_what_is_small_or_nearly_there_comes_over_one_connection() {
    let small = image(&[12 * MIB]);
    let (registry, layer) = slow(&small);
    let lab = Lab::new();
    lab.pull(&registry.name("app:1")).expect("a pull");
    assert_came(&lab, &small);
    assert_eq!(ranges(&registry, &layer), [None]);
    let image = large();
    let (registry, layer) = slow(image);
    let mut lab = Lab::new();
    lab.config.patience.retries = 0;
    let broken = Registry::start();
    image.put(&broken, "app", "1");
    broken.rule("GET", &layer, 1, Fault::Cut(24 * MIB));
    lab.pull(&broken.name("app:1")).expect_err("a broken connection");
    lab.pull(&registry.name("app:1")).expect("a pull");
    assert_came(&lab, image);
    let asked = ranges(&registry, &layer);
    assert!(matches!(asked.as_slice(), [Some((_, None))]), "{asked:?}");
}

#[test]
fn rc_066_a_registry_that_does_not_give_parts_gives_one_stream() {
    let throttled = || Fault::Answer(429, vec![("Retry-After", "3600".to_owned())], vec![]);
    let faults = [
        Fault::IgnoreRange,
        Fault::WrongRange,
        throttled(),
        Fault::Answer(416, vec![], vec![]),
        Fault::HangUp,
    ];
    std::thread::scope(|scope| {
        for fault in faults {
            scope.spawn(move || {
                let image = large();
                let (registry, layer) = slow(image);
                registry.rule("GET", &layer, usize::MAX, fault);
                let lab = Lab::new();
                lab.pull(&registry.name("app:1")).expect("a pull");
                assert_came(&lab, image);
                // One part was asked for, and no other: the stream that was there went on.
                assert_eq!(ranges(&registry, &layer).len(), 2);
            });
        }
    });
}

#[test]
fn rc_066_where_a_part_breaks_it_goes_on_from_there() {
    let image = large();
    let (registry, layer) = slow(image);
    registry.rule("GET", &layer, 1, Fault::Slow(100 * MIB));
    registry.rule("GET", &layer, 1, Fault::Cut(1_000_000));
    let lab = Lab::new();
    lab.pull(&registry.name("app:1")).expect("a pull");
    assert_came(&lab, image);
    let asked = ranges(&registry, &layer);
    let second = asked[2].expect("a range").0;
    assert!(asked.contains(&Some((second + 1_000_000, None))), "{asked:?}");
}

#[test]
fn rc_066_wrong_parts_are_found_out_and_the_blob_comes_whole() {
    let image = large();
    let (registry, layer) = slow(image);
    registry.rule("GET", &layer, 1, Fault::WrongBytes);
    let lab = Lab::new();
    lab.pull(&registry.name("app:1")).expect("a pull");
    assert_came(&lab, image);
    let asked = ranges(&registry, &layer);
    assert!(asked.len() > 2 && asked[1].is_some(), "{asked:?}");
    assert_eq!(asked.last(), Some(&None));
}

#[test]
fn rc_052_rc_066_parts_come_from_where_the_registry_led_to_as_long_as_that_is_good() {
    let image = large();
    let (storage, layer) = slow(image);
    let (registry, lab) = (Registry::start(), Lab::new());
    image.put(&registry, "app", "1");
    registry.set_access(Access::Token(None));
    let location = format!("http://{}/v2/app/blobs/{layer}?signature=a%2Fb", storage.host());
    let led = Fault::Answer(307, vec![("Location", location)], vec![]);
    // The registry asks for a token first.
    registry.rule("GET", &layer, usize::MAX, led);
    storage.rule("GET", &layer, 2, Fault::Slow(100 * MIB));
    storage.rule("GET", &layer, 1, Fault::Answer(403, vec![], vec![]));
    lab.pull(&registry.name("app:1")).expect("a pull");
    assert_came(&lab, image);
    assert_eq!(registry.requests("GET", &layer).len(), 2, "once, and once more when the address had expired");
    let requests = storage.requests("GET", &layer);
    assert!(requests.len() > 8, "{}", requests.len());
    assert!(requests.iter().all(|request| request.header("authorization").is_none()));
}

#[test]
fn rc_065_rc_066_what_was_cancelled_in_parts_goes_on_where_it_was() {
    let image = large();
    let (registry, layer) = slow(image);
    registry.rule("GET", &layer, 1, Fault::Slow(100 * MIB));
    registry.rule("GET", &layer, 1, Fault::Stall(1_000_000));
    let lab = Lab::new();
    let cancel = Cancel::new();
    let later = cancel.clone();
    let stopper = std::thread::spawn(move || {
        std::thread::sleep(Duration::from_secs(3));
        later.cancel();
    });
    let name = registry.name("app:1");
    let error = lab.pull_for(&name, &Platform::host(), &cancel).expect_err("a cancellation");
    assert_eq!(error.kind(), Kind::Cancelled, "{}", chain(&error));
    stopper.join().expect("no panic");
    let stalled = ranges(&registry, &layer)[2].expect("a range").0 + 1_000_000;
    let partials = lab.partials();
    let [(_, size)] = partials.as_slice() else { panic!("{partials:?}") };
    let size = usize::try_from(*size).expect("a size");
    assert!((stalled - (256 << 10)..=stalled).contains(&size), "{size}, {stalled}");
    registry.forget_requests();
    lab.pull(&name).expect("a pull");
    assert_came(&lab, image);
    assert_eq!(ranges(&registry, &layer)[0], Some((size, None)));
}
