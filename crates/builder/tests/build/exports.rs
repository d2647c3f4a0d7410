//! Where results go besides the store (DF-190 … DF-194).

use base::{Cancel, Events};
use builder::{BuildError, Export};
use libtest_mimic::Trial;
use store::Store;

use crate::lab::{Lab, chain, request, trial};

pub fn trials() -> Vec<Trial> {
    vec![
        trial("df_192_an_archive_holds_the_image", df_192_an_archive_holds_the_image),
        trial("df_194_exports_of_root_filesystems", df_194_exports_of_root_filesystems),
        trial("an_export_that_fails_leaves_no_name", an_export_that_fails_leaves_no_name),
    ]
}

const DOCKERFILE: &str = "FROM busybox\nCOPY src /src\nRUN echo made > /made\nCMD [\"sh\"]\n";

fn lab() -> Lab {
    let lab = Lab::new();
    lab.file("src/one", "1");
    lab.file("src/deep/two", "22");
    lab
}

fn df_192_an_archive_holds_the_image() {
    let lab = lab();
    let exports = vec![Export::Oci, Export::Docker];
    let (outcome, _) = lab.build_with(builder::Request { exports, ..request(DOCKERFILE) });
    assert!(outcome.names.is_empty(), "the store was not asked to keep it (DF-190)");
    let archives = [0, 1].map(|export| std::fs::read(lab.output(export)).expect("an archive"));
    assert!(archives[0] == archives[1], "one archive serves both");

    let other = tempfile::tempdir().expect("a temporary directory");
    let store = Store::open(other.path()).expect("a store");
    let lease = store.lease("test").expect("a lease");
    let archive = Box::new(archives[0].as_slice());
    let loaded =
        archive::load::load(&store, &lease, archive, None, &Events::none(), &Cancel::new()).expect("images");
    assert_eq!(loaded.len(), 1);
    assert_eq!(loaded[0].image, outcome.image);
    let names: Vec<String> = loaded[0].names.iter().map(image::Reference::familiar).collect();
    assert_eq!(names, ["app:latest"]);
}

fn df_194_exports_of_root_filesystems() {
    let lab = lab();
    let directory = lab.output(7);
    let exports = vec![Export::Tar, Export::Local { directory: directory.clone() }];
    let (outcome, _) = lab.build_with(builder::Request { exports, ..request(DOCKERFILE) });
    let tar = std::fs::read(lab.output(0)).expect("a tar");
    assert!(tar.windows(12).any(|window| window == b"src/deep/two"), "names stand in it");
    assert_eq!(std::fs::read(directory.join("src/deep/two")).expect("a file"), b"22");
    assert_eq!(std::fs::read(directory.join("made")).expect("a file"), b"made\n");
    assert!(outcome.names.is_empty(), "the store was not asked to keep it");
    assert_eq!(lab.store.images().get(&outcome.image).expect("the store"), None);
}

fn an_export_that_fails_leaves_no_name() {
    let lab = lab();
    std::fs::create_dir(lab.output(1)).expect("a directory in the way");
    let exports = vec![Export::Store, Export::Oci];
    let request = builder::Request { exports, ..request(DOCKERFILE) };
    let (result, _) = lab.attempt(&request, &Cancel::new());
    let error = result.expect_err("a directory is no file");
    assert!(matches!(error, BuildError::Export { export: "oci", .. }), "{error:?}");
    assert!(chain(&error).starts_with("cannot write the oci export: "), "{}", chain(&error));
    let name = image::Reference::parse("app:latest").expect("a name");
    assert_eq!(lab.store.names().get(&name).expect("the store"), None);
}
