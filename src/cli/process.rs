//! What the process asks of the kernel before it serves.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Gets ready to serve: as many descriptors as may be had.
pub(super) fn as_a_server() {
    // Shells and old units give 1024 and allow more; each connection takes two.
    let limit = getrlimit(Resource::Nofile);
    let raised = Rlimit { current: limit.maximum, maximum: limit.maximum };
    // Where it isn't allowed the server does with what it has, and `doctor` says so.
    let _ = setrlimit(Resource::Nofile, raised);
}
