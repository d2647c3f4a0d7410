//! The process itself: user, environment, exit codes, what it may do.

use libtest_mimic::Trial;

use crate::lab::{Lab, Outcome, run, trial};
use crate::same;

pub fn trials() -> Vec<Trial> {
    vec![trial("it_runs", it_runs)]
}

fn it_runs() -> Outcome {
    let lab = Lab::new()?;
    let t = std::time::Instant::now(); for _ in 0..20 { run(&lab.script("true")).map_err(crate::lab::explain)?; } eprintln!("{:?} per run", t.elapsed()/20);  let r = run(&lab.script("cat /proc/self/mountinfo; grep -E 'Cap|Seccomp|NoNew' /proc/self/status; ls -la / /etc; ls /proc/self/fd; ps")).map_err(crate::lab::explain)?; println!("{}{} {:?} {:?}", r.stdout, r.stderr, lab.upper()?, r.exit); same!(1,2);
    Ok(())
}
