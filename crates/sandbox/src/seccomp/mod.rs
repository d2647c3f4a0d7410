//! The filter of system calls.

use crate::capability::CapabilitySet;

pub(crate) fn filter(_granted: CapabilitySet) -> Vec<libc::sock_filter> {
    vec![libc::sock_filter { code: 0x06, jt: 0, jf: 0, k: 0x7fff_0000 }]
}
