//! The same filter in the words of an OCI runtime, which knows the numbers itself.

use serde_json::{Value, json};

use super::profile::{FAMILIES, NAMESPACES, PERSONALITIES, Rule};
use super::table::TABLE;
use crate::capability::CapabilitySet;

/// The filter for a process with these capabilities; `None` for a machine that is not known.
///
/// What is newer than every name here does not exist for runc, as in the filter of the built-in runner; crun refuses it. Both
/// end a process that makes a call of x32.
pub(crate) fn oci(granted: CapabilitySet) -> Option<Value> {
    let architectures: &[&str] = if cfg!(target_arch = "x86_64") {
        &["SCMP_ARCH_X86_64", "SCMP_ARCH_X86"]
    } else if cfg!(target_arch = "aarch64") {
        &["SCMP_ARCH_AARCH64", "SCMP_ARCH_ARM"]
    } else {
        return None;
    };
    let has = |name: &str| CapabilitySet::from_name(name).is_some_and(|one| granted.contains(one));
    let mut always = Vec::new();
    let mut rules = Vec::new();
    for (name, rule, _) in &TABLE {
        match rule {
            Rule::Always => always.push(*name),
            Rule::AnyOf(names) if names.iter().any(|name| has(name)) => always.push(*name),
            Rule::AnyOf(_) => {}
            Rule::Clone | Rule::Clone3 if has("SYS_ADMIN") => always.push(*name),
            Rule::Clone => rules
                .push(when(name, json!({"value": NAMESPACES, "valueTwo": 0, "op": "SCMP_CMP_MASKED_EQ"}))),
            Rule::Clone3 => {
                rules.push(json!({"names": [name], "action": "SCMP_ACT_ERRNO", "errnoRet": libc::ENOSYS}));
            }
            Rule::Socket => rules.extend(one_of(name, &FAMILIES)),
            Rule::Personality => rules.extend(one_of(name, &PERSONALITIES)),
        }
    }
    rules.insert(0, json!({"names": always, "action": "SCMP_ACT_ALLOW"}));
    Some(json!({
        "defaultAction": "SCMP_ACT_ERRNO",
        "defaultErrnoRet": libc::EPERM,
        "architectures": architectures,
        "syscalls": rules,
    }))
}

/// Allowed for each of these values of the first argument: a rule's conditions hold all at once, so each value has a
/// rule of its own.
fn one_of<'a>(
    name: &'a str,
    ranges: &'a [std::ops::RangeInclusive<u32>],
) -> impl Iterator<Item = Value> + 'a {
    ranges
        .iter()
        .cloned()
        .flatten()
        .map(move |value| when(name, json!({"value": value, "op": "SCMP_CMP_EQ"})))
}

fn when(name: &str, mut condition: Value) -> Value {
    condition["index"] = json!(0);
    json!({"names": [name], "action": "SCMP_ACT_ALLOW", "args": [condition]})
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rules_for(granted: CapabilitySet, name: &str) -> Vec<Value> {
        let filter = oci(granted).expect("a known machine");
        let rules = filter["syscalls"].as_array().expect("rules").clone();
        let names = |rule: &Value| rule["names"].as_array().expect("names").contains(&json!(name));
        rules.into_iter().filter(names).collect()
    }

    #[test]
    fn ct_034_the_same_rules_in_other_words() {
        let docker = |name| rules_for(CapabilitySet::DOCKER, name);
        assert_eq!(docker("read").len(), 1);
        assert_eq!(docker("mount"), Vec::<Value>::new());
        assert_eq!(docker("clone3")[0]["errnoRet"], libc::ENOSYS);
        assert_eq!(docker("clone")[0]["args"][0]["value"], 0x7e02_0000);
        let families = docker("socket");
        let allows = |family: u32| families.iter().any(|rule| rule["args"][0]["value"] == family);
        assert!(allows(1) && allows(2) && !allows(38) && !allows(40));
        assert_eq!(docker("personality").len(), 5);
        let admin = CapabilitySet::from_name("SYS_ADMIN").expect("known");
        for name in ["mount", "clone", "clone3", "unshare"] {
            let rules = rules_for(admin, name);
            assert_eq!((rules.len(), &rules[0]["action"]), (1, &json!("SCMP_ACT_ALLOW")), "{name}");
        }
    }
}
