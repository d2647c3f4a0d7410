//! The same inputs give the same image ID (the design: "No clock in a digest").

use libtest_mimic::Trial;

use crate::lab::{Lab, request, trial};

pub fn trials() -> Vec<Trial> {
    vec![
        trial("the_same_image_in_two_stores_at_any_thread_count", the_same_image_anywhere),
        trial("df_166_the_epoch_makes_runs_identical", df_166_the_epoch_makes_runs_identical),
    ]
}

fn lab() -> Lab {
    let lab = Lab::new();
    for number in 0..50 {
        lab.file(&format!("src/{}/file{number}", number % 7), &"x".repeat(number * 100));
    }
    lab.link("src/link", "0/file0");
    std::fs::File::open(lab.context().join("src"))
        .expect("a directory")
        .set_modified(std::time::UNIX_EPOCH)
        .expect("a time");
    for number in 0..7 {
        crate::lab::set_time(&lab.context().join(format!("src/{number}")), 900_000_000);
    }
    lab
}

const COPIES: &str = "FROM busybox AS one\nWORKDIR /one\nCOPY src/[0-4]/* /one/\n\
                      FROM busybox AS two\nWORKDIR /two\nCOPY <<h src/5/file5 /two/d/\nhere\nh\n\
                      FROM scratch\nCOPY --from=one /one /\nCOPY --from=two --chown=7:8 /two /t\nENV x=y\n";

fn the_same_image_anywhere() {
    let images: Vec<_> = [1, 2, 2]
        .into_iter()
        .map(|threads| {
            let lab = lab();
            lab.build_with(builder::Request { threads, ..request(COPIES) }).0
        })
        .collect();
    assert_eq!(images[0].image, images[1].image);
    assert_eq!(images[0].manifest, images[2].manifest);
}

fn df_166_the_epoch_makes_runs_identical() {
    let dockerfile = "FROM busybox\nRUN mkdir -p /a/b && date +%s > /dev/null && echo x > /a/b/c\nCOPY src /src\nCMD [\"sh\"]\n";
    let image = |lab: &Lab| {
        let clamped = builder::Request {
            source_date_epoch: Some(builder::Epoch::At(800_000_000)),
            ..request(dockerfile)
        };
        lab.build_with(clamped).0.image
    };
    let (one, other) = (lab(), lab());
    let first = image(&one);
    // File times are whole seconds: the second build has another one.
    std::thread::sleep(std::time::Duration::from_millis(1_100));
    assert_eq!(first, image(&other));
    let config = one.config(first);
    assert_eq!(config.created.map(|time| time.unix()), Some(800_000_000));
    let view = one.view(first);
    assert!(view.walk(b"").all(|(_, node)| view.entry(node).mtime <= 800_000_000), "in all layers");
}
